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

// deed is what a transaction does: an act, or get, scan, back, walk, outside or wait. Outside is
// a set by somebody else; wait moves the clock, by as many hours as the act has.
type deed struct {
	act
	Steps []step `json:",omitempty"` // of a walk
}

func (g *generator) transaction() transaction {
	t := transaction{View: g.oneIn(8), Abort: g.oneIn(12), Sync: g.sync()}
	disturbed := g.oneIn(2) // what a walk counts as read is not for the model to say
	home := g.place()       // where most is done, so that there is something to conflict
	defer func() { g.again = g.again[:0] }()
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
		case n < 57 && disturbed:
			d.act = act{Do: "outside", In: d.In, Key: g.key(), Value: g.value()}
		case n < 60 && disturbed:
			d.act = act{Do: "wait", Hours: 1 + g.rnd.IntN(3)}
		case n < 60:
			d.act, d.Steps = act{Do: "walk", In: d.In}, g.steps()
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
	base    State // the snapshot
	sees    State // the same with its own writes
	writes  []act
	known   map[place]bool // keys that it has set or deleted itself
	gone    []act          // ranges that it has deleted
	keys    []place        // read of the snapshot
	ranges  []act          // read
	looked  map[text]bool  // scopes that it has read in
	expires int            // the hour at which something is gone that it has read, 0: never
	cursors map[text]*cursor
}

// place is a key in a scope, or in the root.
type place struct {
	in  text
	key string
}

// foreign reports whether a key is none that it has set or deleted itself.
func (t *txnModel) foreign(p place) bool { return !t.known[p] && !within(p, t.gone) }

// within reports whether a key lies in one of some ranges.
func within(p place, ranges []act) bool {
	return slices.ContainsFunc(ranges, func(a act) bool {
		return p.in == a.In && p.key >= string(a.Key) && (a.Upper == "" || p.key < string(a.Upper))
	})
}

func (o *transaction) model(m *Model) string {
	t := txnModel{base: m.now, sees: m.now, known: map[place]bool{}, looked: map[text]bool{}, cursors: map[text]*cursor{}}
	id := m.write()
	var outside []place
	made := map[text]bool{} // scopes, by others
	var line strings.Builder
	for i := range o.Acts {
		d := &o.Acts[i]
		switch {
		case d.Do == "outside":
			if _, there := m.now.find(string(d.In)); !there {
				made[d.In] = true
			}
			s, _ := (&act{Do: "set", In: d.In, Key: d.Key, Value: d.Value}).in(m, m.now, m.write())
			m.commit(s, false)
			outside = append(outside, place{d.In, string(d.Key)})
		case d.Do != "wait":
			line.WriteString(t.do(m, d, id))
		case m.window == 0:
			m.wait(d.Hours)
		}
	}
	conflict := t.expires != 0 && t.expires <= m.hour
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
		s, ok = t.writes[i].in(m, s, id)
		some = some || ok
	}
	if some {
		m.commit(s, o.Sync)
	}
	return line.String() + "ok"
}

// do does one deed and returns what it shows.
func (t *txnModel) do(m *Model, d *deed, id int) string {
	p := place{d.In, string(d.Key)}
	keys, _ := t.sees.find(string(d.In))
	base, _ := t.base.find(string(d.In))
	some := d.Upper == "" || d.Key < d.Upper // of a range
	switch d.Do {
	case "get":
		if t.foreign(p) {
			t.keys = append(t.keys, p)
			t.looked[d.In] = true
			t.note(base.get(p.key))
		}
		return keys.get(p.key).line() + "; "
	case "scan", "back":
		if some {
			t.ranges = append(t.ranges, d.act)
			t.looked[d.In] = true
		}
		for e := range base.within(p.key, string(d.Upper)).all() {
			if t.foreign(place{d.In, e.key}) {
				t.note(e)
			}
		}
		return keys.within(p.key, string(d.Upper)).pass(d.Do == "back") + "; "
	case "walk":
		c := t.cursors[d.In]
		if c == nil {
			c = new(cursor)
			t.cursors[d.In] = c
		}
		c.keys = keys
		return c.walk(d.Steps)
	case "range":
		if !some {
			return ""
		}
		t.gone = append(t.gone, d.act)
	case "set", "delete":
		t.known[p] = true
	}
	t.writes = append(t.writes, d.act) // also where there is nothing to delete yet
	t.sees, _ = d.in(m, t.sees, id)
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
		after := p.ref.after[p.at] // the state before it is what others have made of the store
		if err := p.repair(max(p.ref.before(p.at), after-1), after); err != nil {
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
	iters := map[text]*lsm.TxnIterator{}
	hour := p.ref.hours[p.at]
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
			if iters[d.In] == nil {
				iters[d.In], err = in.NewIter(nil)
			}
			if err == nil {
				shown, err = walk(iters[d.In], d.Steps)
			}
		case "outside":
			var to target
			if to, err = p.target(d.In); err == nil {
				err = to.Set(key, []byte(d.text()), lsm.NoSync)
			}
		case "wait":
			if p.window == 0 {
				hour += d.Hours
				p.clock.advance(hour)
			}
		default:
			err = p.write(in, &d.act)
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
