package metamorphic

import (
	"errors"
	"slices"

	"github.com/loamdb/loam/lsm"
)

func init() {
	register("write", 3000, func(g *generator) write { return write{g.act(true), g.sync()} })
	register("batch", 800, (*generator).batch)
	register("remember", 400, func(g *generator) remember {
		return remember{Slot: g.slot(), In: g.place(), Key: g.key(), Snap: g.snap()}
	})
}

// act is one write, of its own or in a batch or a transaction.
type act struct {
	Do    string // set, delete or range
	In    text   `json:",omitempty"`
	Key   text
	Upper text  `json:",omitempty"` // of a range
	Value value `json:",omitzero"`  // of a set
}

// act makes one. A range that ends before it begins is refused: there are a few, if they
// are wanted.
func (g *generator) act(refused bool) act {
	a := act{Do: "set", In: g.place(), Key: g.key()}
	switch n := g.rnd.IntN(100); {
	case n < 8:
		a.Do = "range"
		a.Key, a.Upper = g.bounds()
		if refused && g.oneIn(20) && a.Upper != "" {
			a.Key, a.Upper = a.Upper, a.Key
		}
	case n < 28:
		a.Do = "delete"
	default:
		a.Value = g.value()
	}
	return a
}

// inverted reports whether it is a range that ends before it begins.
func (a *act) inverted() bool { return a.Do == "range" && a.Upper != "" && a.Upper < a.Key }

// in does the act to a state, as the write id. It reports whether there is anything to
// commit: nothing can be deleted of a scope that is not there, and an empty range is none.
func (a *act) in(s State, id int) (State, bool) {
	keys, ok := s.find(string(a.In))
	switch {
	case a.Do == "set":
		return s.with(string(a.In), keys.set(string(a.Key), a.Value.text(), id)), true
	case !ok:
		return s, false
	case a.Do == "delete":
		return s.with(string(a.In), keys.remove(string(a.Key), next(string(a.Key)))), true
	case a.Upper != "" && a.Upper <= a.Key:
		return s, false
	}
	return s.with(string(a.In), keys.remove(string(a.Key), string(a.Upper))), true
}

// bound turns an upper bound into what lsm takes.
func (t text) bound() []byte {
	if t == "" {
		return nil
	}
	return []byte(t)
}

func writeOptions(sync bool) *lsm.WriteOptions {
	if sync {
		return lsm.Sync
	}
	return lsm.NoSync
}

// outcome makes a line of what a write has returned. What its caller must be ready for is a
// line; other errors stay errors.
func outcome(err error) (string, error) {
	for known, line := range map[error]string{
		lsm.ErrConflict: "conflict", lsm.ErrScopeExists: "exists", lsm.ErrNotFound: "not found",
		lsm.ErrInvalidRange: "invalid range", lsm.ErrReadOnly: "read-only",
	} {
		if errors.Is(err, known) {
			return line, nil
		}
	}
	return "ok", err
}

// write is one act on its own.
type write struct {
	act
	Sync bool `json:",omitempty"`
}

func (o *write) model(m *Model) string {
	if o.inverted() {
		return "invalid range"
	}
	if s, ok := o.in(m.now, m.write()); ok {
		m.commit(s, o.Sync)
	}
	return "ok"
}

func (o *write) apply(p *player) (string, error) {
	t, err := p.target(o.In)
	if err != nil {
		return "", err
	}
	w := writeOptions(o.Sync)
	switch o.Do {
	case "set":
		err = t.Set([]byte(o.Key), []byte(o.Value.text()), w)
	case "delete":
		err = t.Delete([]byte(o.Key), w)
	default:
		err = t.DeleteRange([]byte(o.Key), o.Upper.bound(), w)
	}
	return outcome(err)
}

// batch is acts that are committed together, if the keys in some slots have the versions
// that were remembered.
type batch struct {
	Acts    []act
	Require []int `json:",omitempty"` // slots; empty ones require nothing
	Sync    bool  `json:",omitempty"`
}

func (g *generator) batch() batch {
	b := batch{Sync: g.sync()}
	n := g.rnd.IntN(8)
	if g.oneIn(20) {
		n = g.rnd.IntN(80)
	}
	for range n {
		b.Acts = append(b.Acts, g.act(false))
	}
	if g.oneIn(3) {
		for range 1 + g.rnd.IntN(2) {
			b.Require = append(b.Require, g.slot())
		}
	}
	return b
}

func (o *batch) model(m *Model) string {
	if slices.ContainsFunc(o.Acts, func(a act) bool { return a.inverted() }) {
		return "invalid range"
	}
	for _, slot := range o.Require {
		v := m.versions[slot-1]
		if !v.set {
			continue
		}
		if keys, _ := m.now.find(v.in); keys.get(v.key).version() != v.id {
			return "conflict"
		}
	}
	s, some := m.now, false
	id := m.write()
	for i := range o.Acts {
		var ok bool
		s, ok = o.Acts[i].in(s, id)
		some = some || ok
	}
	if some {
		m.commit(s, o.Sync)
	}
	return "ok"
}

func (o *batch) apply(p *player) (string, error) {
	b := p.db.NewBatch()
	for _, slot := range o.Require {
		v := p.versions[slot-1]
		if !v.set {
			continue
		}
		if err := p.into(b, v.in); err != nil {
			return "", err
		}
		b.Require([]byte(v.key), v.version)
	}
	for _, a := range o.Acts {
		if err := p.into(b, a.In); err != nil {
			return "", err
		}
		switch a.Do {
		case "set":
			b.Set([]byte(a.Key), []byte(a.Value.text()))
		case "delete":
			b.Delete([]byte(a.Key))
		default:
			b.DeleteRange([]byte(a.Key), a.Upper.bound())
		}
	}
	return outcome(p.db.Apply(b, writeOptions(o.Sync)))
}

// into makes what is added to a batch act in a scope.
func (p *player) into(b *lsm.Batch, in text) error {
	if in == "" {
		b.In(nil)
		return nil
	}
	sc, err := p.scope(in)
	if err == nil {
		b.In(sc)
	}
	return err
}

// remember keeps the version of a key, for a batch to require.
type remember struct {
	Slot, Snap int
	In         text `json:",omitempty"`
	Key        text
}

func (o *remember) model(m *Model) string {
	if m.window > 0 {
		return notNow
	}
	keys, ok := m.view(o.In, o.Snap)
	if !ok {
		return "no snapshot"
	}
	e := keys.get(string(o.Key))
	m.versions[o.Slot-1] = version{true, string(o.In), string(o.Key), e.version()}
	return e.line()
}

func (o *remember) apply(p *player) (string, error) {
	if p.window > 0 {
		return notNow, nil
	}
	r, err := p.reader(o.In, o.Snap)
	if r == nil || err != nil {
		return "no snapshot", err
	}
	v, version, err := r.GetWithVersion([]byte(o.Key))
	line, err := found(v, err)
	if err == nil {
		p.versions[o.Slot-1] = remembered{true, o.In, o.Key, version}
	}
	return line, err
}

// version returns that of an entry, 0 if it is not there.
func (t *tree) version() int {
	if t == nil {
		return 0
	}
	return t.id
}
