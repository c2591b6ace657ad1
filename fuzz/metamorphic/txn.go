package metamorphic

import (
	"errors"
	"slices"
	"strings"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

func init() { register("transaction", 500, (*generator).transaction) }

// transaction reads and writes the root and scopes in a transaction, while others commit, or
// reads them in one that only reads.
type transaction struct {
	Acts  []deed
	View  bool `json:",omitempty"`
	Abort bool `json:",omitempty"`
	Sync  bool `json:",omitempty"`
}

// deed is what a transaction does: an act, or get, scan, back, walk or outside. The latter
// is a set by somebody else. A walk is through the root.
type deed struct {
	act
	Steps []step `json:",omitempty"` // of a walk
}

func (g *generator) transaction() transaction {
	t := transaction{View: g.oneIn(8), Abort: g.oneIn(12), Sync: g.sync()}
	disturbed := g.oneIn(2) // what a walk counts as read is not for the model to say
	home := g.place()       // where most is done, so that there is something to conflict
	for range 1 + g.rnd.IntN(8) {
		d := deed{act: g.act(false)}
		if !g.oneIn(5) {
			d.In = home
		}
		n := g.rnd.IntN(100)
		switch {
		case n < 25:
			d.act = act{Do: "get", In: d.In, Key: g.key()}
		case n < 40:
			d.act = act{Do: []string{"scan", "back"}[g.rnd.IntN(2)], In: d.In}
			d.Key, d.Upper = g.bounds()
		case n < 60 && disturbed:
			d.act = act{Do: "outside", In: d.In, Key: g.key(), Value: g.value()}
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
	sees   State // the snapshot with its own writes
	writes []act
	known  map[place]bool // keys that it has set or deleted itself
	gone   []act          // ranges that it has deleted
	keys   []place        // read of the snapshot
	ranges []act          // read
	looked map[text]bool  // scopes that it has read in
	cursor cursor
}

// place is a key in a scope, or in the root.
type place struct {
	in  text
	key string
}

// within reports whether a key lies in one of some ranges.
func within(p place, ranges []act) bool {
	return slices.ContainsFunc(ranges, func(a act) bool {
		return p.in == a.In && p.key >= string(a.Key) && (a.Upper == "" || p.key < string(a.Upper))
	})
}

func (o *transaction) model(m *Model) string {
	t := txnModel{sees: m.now, known: map[place]bool{}, looked: map[text]bool{}}
	id := m.write()
	conflict := false
	var outside []place
	made := map[text]bool{} // scopes, by others
	var line strings.Builder
	for i := range o.Acts {
		d := &o.Acts[i]
		if d.Do == "outside" {
			if _, there := m.now.find(string(d.In)); !there {
				made[d.In] = true
			}
			s, _ := (&act{Do: "set", In: d.In, Key: d.Key, Value: d.Value}).in(m.now, m.write())
			m.commit(s, false)
			outside = append(outside, place{d.In, string(d.Key)})
			continue
		}
		line.WriteString(t.do(d, id))
	}
	for _, p := range outside {
		conflict = conflict || slices.Contains(t.keys, p) || within(p, t.ranges) || made[p.in] && t.looked[p.in]
	}
	switch {
	case o.Abort:
		return line.String() + "aborted"
	case len(t.writes) == 0:
		return line.String() + "ok"
	case conflict:
		return line.String() + "conflict"
	}
	s, some := m.now, false
	for i := range t.writes {
		var ok bool
		s, ok = t.writes[i].in(s, id)
		some = some || ok
	}
	if some {
		m.commit(s, o.Sync)
	}
	return line.String() + "ok"
}

// do does one deed and returns what it shows.
func (t *txnModel) do(d *deed, id int) string {
	p := place{d.In, string(d.Key)}
	keys, _ := t.sees.find(string(d.In))
	switch d.Do {
	case "get":
		if !t.known[p] && !within(p, t.gone) {
			t.keys = append(t.keys, p)
			t.looked[d.In] = true
		}
		return keys.get(p.key).line() + "; "
	case "scan", "back":
		if d.Upper == "" || d.Key < d.Upper {
			t.ranges = append(t.ranges, d.act)
			t.looked[d.In] = true
		}
		return keys.within(p.key, string(d.Upper)).pass(d.Do == "back") + "; "
	case "walk":
		t.cursor.keys = keys
		return t.cursor.walk(d.Steps)
	}
	t.sees, _ = d.in(t.sees, id)
	switch {
	case d.Do != "range":
		t.writes = append(t.writes, d.act)
		t.known[p] = true
	case d.Upper == "" || d.Key < d.Upper:
		t.writes = append(t.writes, d.act)
		t.gone = append(t.gone, d.act)
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
		in, err := inside(tx, d.In)
		if err != nil {
			return err
		}
		switch d.Do {
		case "get":
			shown, err = found(in.Get(key))
			shown += "; "
		case "scan", "back":
			seq := in.Scan
			if d.Do == "back" {
				seq = in.ScanReverse
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
			var to target
			if to, err = p.target(d.In); err == nil {
				err = to.Set(key, []byte(d.Value.text()), lsm.NoSync)
			}
		case "set":
			err = in.Set(key, []byte(d.Value.text()))
		case "delete":
			err = in.Delete(key)
		default:
			err = in.DeleteRange(key, d.Upper.bound())
		}
		if err != nil {
			return err
		}
		line.WriteString(shown)
	}
	return nil
}

// inside returns the transaction as it acts in a scope, or in the root.
func inside(tx *lsm.Txn, in text) (*lsm.Txn, error) {
	if in == "" {
		return tx, nil
	}
	name, err := scope.Parse(string(in))
	if err != nil {
		return nil, err
	}
	return tx.Scope(name)
}
