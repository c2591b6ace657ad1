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

// deed is what a transaction does: an act, or get, scan, back, walk, outside or wait. Outside is
// a set by somebody else; wait moves the clock, by as many hours as the act has.
type deed struct {
	act
	Steps []step `json:",omitempty"` // of a walk
}

func (g *generator) transaction() transaction {
	t := transaction{View: g.oneIn(8), Abort: g.oneIn(12), Sync: g.sync()}
	disturbed := g.oneIn(2) // what a walk counts as read is not for the model to say
	defer func() { g.again = g.again[:0] }()
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
		case n < 57 && disturbed:
			d.act = act{Do: "outside", Key: g.key(), Value: g.value()}
		case n < 60 && disturbed:
			d.act = act{Do: "wait", Hours: 1 + g.rnd.IntN(3)}
		case n < 60:
			d.act, d.Steps = act{Do: "walk"}, g.steps()
		case t.View:
			continue
		case disturbed:
			d.Hours, d.TTL = 0, false // what has expired by the commit is not for the model to say
		}
		t.Acts = append(t.Acts, d)
		g.again = append(g.again, d.Key)
	}
	return t
}

// txnModel is what the model knows of a transaction.
type txnModel struct {
	base    *tree // the snapshot
	sees    *tree // the same with its own writes
	writes  []act
	known   map[string]bool // keys that it has set or deleted itself
	gone    []act           // ranges that it has deleted
	keys    []string        // read of the snapshot
	ranges  []act           // read
	expires int             // the hour at which something is gone that it has read, 0: never
	cursor  cursor
}

// foreign reports whether a key is none that it has set or deleted itself.
func (t *txnModel) foreign(key string) bool { return !t.known[key] && !within(key, t.gone) }

// within reports whether a key lies in one of some ranges.
func within(key string, ranges []act) bool {
	return slices.ContainsFunc(ranges, func(a act) bool {
		return key >= string(a.Key) && (a.Upper == "" || key < string(a.Upper))
	})
}

func (o *transaction) model(m *Model) string {
	sees, _ := m.now.find("")
	t := txnModel{base: sees, sees: sees, known: map[string]bool{}}
	id := m.write()
	var outside []string
	var line strings.Builder
	for i := range o.Acts {
		d := &o.Acts[i]
		if d.Do == "outside" {
			s, _ := (&act{Do: "set", Key: d.Key, Value: d.Value}).in(m, m.now, m.write())
			m.commit(s, false)
			outside = append(outside, string(d.Key))
			continue
		}
		if d.Do == "wait" {
			if m.window == 0 {
				m.wait(d.Hours)
			}
			continue
		}
		line.WriteString(t.do(m, d, id))
	}
	conflict := t.expires != 0 && t.expires <= m.hour
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
		s, _ = t.writes[i].in(m, s, id)
	}
	m.commit(s, o.Sync)
	return line.String() + "ok"
}

// do does one deed and returns what it shows.
func (t *txnModel) do(m *Model, d *deed, id int) string {
	key := string(d.Key)
	switch d.Do {
	case "get":
		if t.foreign(key) {
			t.keys = append(t.keys, key)
			t.note(t.base.get(key))
		}
		return t.sees.get(key).line() + "; "
	case "scan", "back":
		t.ranges = append(t.ranges, d.act)
		for e := range t.base.within(key, string(d.Upper)).all() {
			if t.foreign(e.key) {
				t.note(e)
			}
		}
		return t.sees.within(key, string(d.Upper)).pass(d.Do == "back") + "; "
	case "walk":
		t.cursor.keys = t.sees
		return t.cursor.walk(d.Steps)
	}
	s, some := d.in(m, emptyState().with("", t.sees), id)
	if t.sees, _ = s.find(""); some {
		t.writes = append(t.writes, d.act)
		switch d.Do {
		case "range":
			t.gone = append(t.gone, d.act)
		case "set", "delete":
			t.known[key] = true
		}
	}
	return ""
}

// note notes that it has read an entry of the snapshot, nil for none: what expires must still be
// there when it commits.
func (t *txnModel) note(e *tree) {
	if e != nil {
		t.expires = sooner(t.expires, e.expires)
	}
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
	if want := p.ref.lines[p.at]; end == "conflict" && line.String()+"ok" == want && p.sweeps() {
		// The store has deleted what had expired, in a range that was read, to tell of it. It may
		// refuse for that.
		if err := p.repair(p.ref.before(p.at), p.ref.after[p.at]); err != nil {
			return "", err
		}
		return want, nil
	}
	return line.String() + end, err
}

// sweeps reports whether the store may delete what has expired.
func (p *player) sweeps() bool {
	some, _ := p.set.whether(func(w *Way) bool { return w.ExpiryEvents })
	return some
}

func (o *transaction) run(p *player, tx *lsm.Txn, line *strings.Builder) error {
	var it *lsm.TxnIterator
	hour := p.ref.hours[p.at]
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
			err = p.db.Set(key, []byte(d.text()), lsm.NoSync)
		case "wait":
			if p.window == 0 {
				hour += d.Hours
				p.clock.advance(hour)
			}
		default:
			err = p.write(tx, &d.act)
		}
		if err != nil {
			return err
		}
		line.WriteString(shown)
	}
	return nil
}

// write does an act in a transaction.
func (p *player) write(tx *lsm.Txn, a *act) error {
	key, value := []byte(a.Key), []byte(a.text())
	switch {
	case a.Do == "delete":
		return tx.Delete(key)
	case a.Do == "range":
		return tx.DeleteRange(key, a.Upper.bound())
	case a.Do != "set":
		return tx.Merge(operators[a.Do], key, value)
	case a.TTL:
		return tx.SetWithTTL(key, value, a.ttl())
	case a.Hours != 0:
		return tx.SetWithExpiry(key, value, p.expiry(a))
	}
	return tx.Set(key, value)
}
