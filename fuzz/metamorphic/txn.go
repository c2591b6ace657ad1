package metamorphic

import (
	"errors"
	"slices"
	"strings"

	"github.com/loamdb/loam/lsm"
)

func init() { register("transaction", 500, (*generator).transaction) }

// transaction reads and writes the root in a transaction, while others commit, or reads it
// in one that only reads.
type transaction struct {
	Acts  []deed
	View  bool `json:",omitempty"`
	Abort bool `json:",omitempty"`
	Sync  bool `json:",omitempty"`
}

// deed is what a transaction does: an act, or get, scan, back, walk or outside. The latter
// is a set by somebody else.
type deed struct {
	act
	Steps []step `json:",omitempty"` // of a walk
}

func (g *generator) transaction() transaction {
	t := transaction{View: g.oneIn(8), Abort: g.oneIn(12), Sync: g.sync()}
	disturbed := g.oneIn(2) // what a walk counts as read is not for the model to say
	for range 1 + g.rnd.IntN(8) {
		d := deed{act: g.act(false)}
		d.In = ""
		n := g.rnd.IntN(100)
		switch {
		case n < 25:
			d.act = act{Do: "get", Key: g.key()}
		case n < 40:
			d.act = act{Do: []string{"scan", "back"}[g.rnd.IntN(2)]}
			d.Key, d.Upper = g.bounds()
		case n < 60 && disturbed:
			d.act = act{Do: "outside", Key: g.key(), Value: g.value()}
		case n < 60:
			d.act, d.Steps = act{Do: "walk"}, g.steps()
		case t.View:
			continue
		}
		t.Acts = append(t.Acts, d)
	}
	return t
}

// txnModel is what the model knows of a transaction.
type txnModel struct {
	sees   *tree // the snapshot with its own writes
	writes []act
	known  map[string]bool // keys that it has set or deleted itself
	gone   []act           // ranges that it has deleted
	keys   []string        // read of the snapshot
	ranges []act           // read
	cursor cursor
}

// within reports whether a key lies in one of some ranges.
func within(key string, ranges []act) bool {
	return slices.ContainsFunc(ranges, func(a act) bool {
		return key >= string(a.Key) && (a.Upper == "" || key < string(a.Upper))
	})
}

func (o *transaction) model(m *Model) string {
	sees, _ := m.now.find("")
	t := txnModel{sees: sees, known: map[string]bool{}}
	id := m.write()
	conflict := false
	var outside []string
	var line strings.Builder
	for i := range o.Acts {
		d := &o.Acts[i]
		if d.Do == "outside" {
			s, _ := (&act{Do: "set", Key: d.Key, Value: d.Value}).in(m.now, m.write())
			m.commit(s, false)
			outside = append(outside, string(d.Key))
			continue
		}
		line.WriteString(t.do(d, id))
	}
	for _, key := range outside {
		conflict = conflict || slices.Contains(t.keys, key) || within(key, t.ranges)
	}
	switch {
	case o.Abort:
		return line.String() + "aborted"
	case len(t.writes) == 0:
		return line.String() + "ok"
	case conflict:
		return line.String() + "conflict"
	}
	s := m.now
	for i := range t.writes {
		s, _ = t.writes[i].in(s, id)
	}
	m.commit(s, o.Sync)
	return line.String() + "ok"
}

// do does one deed and returns what it shows.
func (t *txnModel) do(d *deed, id int) string {
	key := string(d.Key)
	switch d.Do {
	case "get":
		if !t.known[key] && !within(key, t.gone) {
			t.keys = append(t.keys, key)
		}
		return t.sees.get(key).line() + "; "
	case "scan", "back":
		t.ranges = append(t.ranges, d.act)
		return t.sees.within(key, string(d.Upper)).pass(d.Do == "back") + "; "
	case "walk":
		t.cursor.keys = t.sees
		return t.cursor.walk(d.Steps)
	}
	s, some := d.in(emptyState().with("", t.sees), id)
	if t.sees, _ = s.find(""); some {
		t.writes = append(t.writes, d.act)
		if d.Do == "range" {
			t.gone = append(t.gone, d.act)
		} else {
			t.known[key] = true
		}
	}
	return ""
}

// errAborted ends a transaction that shall not commit.
var errAborted = errors.New("aborted")

func (o *transaction) apply(p *player) (string, error) {
	var line strings.Builder
	run := func(tx *lsm.Txn) error {
		tx.SetWriteOptions(writeOptions(o.Sync))
		line.Reset()
		if err := o.run(p, tx, &line); err != nil {
			return err
		}
		if o.Abort {
			return errAborted
		}
		return nil
	}
	begin := p.db.Update
	if o.View {
		begin = p.db.View
	}
	err := begin(run)
	if errors.Is(err, errAborted) {
		return line.String() + "aborted", nil
	}
	end, err := outcome(err)
	return line.String() + end, err
}

func (o *transaction) run(p *player, tx *lsm.Txn, line *strings.Builder) error {
	var it *lsm.TxnIterator
	for _, d := range o.Acts {
		key := []byte(d.Key)
		var shown string
		var err error
		switch d.Do {
		case "get":
			shown, err = found(tx.Get(key))
			shown += "; "
		case "scan", "back":
			seq := tx.Scan
			if d.Do == "back" {
				seq = tx.ScanReverse
			}
			var s passed
			for e, serr := range seq(key, d.Upper.bound()) {
				if err = serr; err == nil {
					s.add(string(e.Key), string(e.Value))
				}
			}
			shown = s.String() + "; "
		case "walk":
			if it == nil {
				it, err = tx.NewIter(nil)
			}
			if err == nil {
				shown, err = walk(it, d.Steps)
			}
		case "outside":
			err = p.db.Set(key, []byte(d.Value.text()), lsm.NoSync)
		case "set":
			err = tx.Set(key, []byte(d.Value.text()))
		case "delete":
			err = tx.Delete(key)
		default:
			err = tx.DeleteRange(key, d.Upper.bound())
		}
		if err != nil {
			return err
		}
		line.WriteString(shown)
	}
	return nil
}
