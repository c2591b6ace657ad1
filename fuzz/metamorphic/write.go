package metamorphic

import (
	"errors"
	"slices"
	"strings"

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
	Do    string // set, delete, range, or a merge: add, max, min, append or tail
	In    text   `json:",omitempty"`
	Key   text
	Upper text  `json:",omitempty"` // of a range
	Value value `json:",omitzero"`  // of a set or a merge
	// Hours are those that what is set is to live; 0: for ever, negative: none. TTL says that
	// the store counts them.
	Hours int  `json:",omitempty"`
	TTL   bool `json:",omitempty"`
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
	case n < 26:
		a.Do = "delete"
	case n < 44:
		a.Do, a.Value = g.merge(a.Key), g.value()
	case n < 58:
		a.Value = g.value()
		a.Hours, a.TTL = 1+g.rnd.IntN(8), g.oneIn(2)
		if g.oneIn(8) {
			a.Hours, a.TTL = -1, false
		}
	default:
		a.Value = g.value()
	}
	return a
}

// text returns the value that is set, or the operand.
func (a *act) text() string {
	if a.counts() {
		return a.Value.integer()
	}
	return a.Value.text()
}

// counts reports whether the key is a counter's.
func (a *act) counts() bool { return strings.HasPrefix(string(a.Key), counters) }

// inverted reports whether it is a range that ends before it begins.
func (a *act) inverted() bool { return a.Do == "range" && a.Upper != "" && a.Upper < a.Key }

// in does the act to a state, as the write id. It reports whether there is anything to
// commit: nothing can be deleted of a scope that is not there, and an empty range is none.
func (a *act) in(m *Model, s State, id int) (State, bool) {
	keys, ok := s.find(string(a.In))
	key := string(a.Key)
	switch {
	case a.Do == "set" && a.Hours == 0:
		return s.with(string(a.In), keys.set(key, a.text(), id, 0)), true
	case a.Do == "set":
		expires := m.hour + max(a.Hours, 0)
		m.mortals[mortal{key: key, expires: expires}] = true
		return s.with(string(a.In), keys.set(key, a.text(), id, expires).alive(m.hour)), true
	case operators[a.Do] != "":
		value, expires := folded(operators[a.Do], keys.get(key), a.text())
		return s.with(string(a.In), keys.set(key, value, id, expires)), true
	case !ok:
		return s, false
	case a.Do == "delete":
		return s.with(string(a.In), keys.remove(key, next(key))), true
	case a.Upper != "" && a.Upper <= a.Key:
		return s, false
	}
	return s.with(string(a.In), keys.remove(key, string(a.Upper))), true
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
	if s, ok := o.in(m, m.now, m.write()); ok {
		m.commit(s, o.Sync)
	}
	return "ok"
}

func (o *write) apply(p *player) (string, error) {
	t, err := p.target(o.In)
	if err != nil {
		return "", err
	}
	return outcome(p.act(t, &o.act, writeOptions(o.Sync)))
}

// act does an act to a scope.
func (p *player) act(t target, a *act, w *lsm.WriteOptions) error {
	key, value := []byte(a.Key), []byte(a.text())
	switch {
	case a.Do == "delete":
		return t.Delete(key, w)
	case a.Do == "range":
		return t.DeleteRange(key, a.Upper.bound(), w)
	case a.Do != "set":
		return t.Merge(operators[a.Do], key, value, w)
	case a.TTL:
		return t.SetWithTTL(key, value, a.ttl(), w)
	case a.Hours != 0:
		return t.SetWithExpiry(key, value, p.expiry(a), w)
	}
	return t.Set(key, value, w)
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
		s, ok = o.Acts[i].in(m, s, id)
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
		p.add(b, &a)
	}
	return outcome(p.db.Apply(b, writeOptions(o.Sync)))
}

// add adds an act to a batch.
func (p *player) add(b *lsm.Batch, a *act) {
	key, value := []byte(a.Key), []byte(a.text())
	switch {
	case a.Do == "delete":
		b.Delete(key)
	case a.Do == "range":
		b.DeleteRange(key, a.Upper.bound())
	case a.Do != "set":
		b.Merge(operators[a.Do], key, value)
	case a.TTL:
		b.SetWithTTL(key, value, a.ttl())
	case a.Hours != 0:
		b.SetWithExpiry(key, value, p.expiry(a))
	default:
		b.Set(key, value)
	}
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
