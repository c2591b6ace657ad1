package metamorphic

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/lsm"
)

func init() {
	register("get", 1300, func(g *generator) get { return get{g.place(), g.key(), g.snap()} })
	register("scan", 450, func(g *generator) scan {
		s := scan{In: g.place(), Snap: g.snap(), Reverse: g.oneIn(2)}
		s.Lower, s.Upper = g.bounds()
		return s
	})
	register("snapshot", 200, func(g *generator) snapshot { return snapshot{g.slot()} })
	register("release", 120, func(g *generator) release { return release{g.slot()} })
	register("check", 60, func(*generator) check { return check{} })
}

// show makes a line of a value.
func show(key, value string) string {
	return fmt.Sprintf("%d bytes %x", len(value), entryHash(key, value))
}

const absent = "absent"

// line is the line of reading an entry, which is nil if there is none.
func (t *tree) line() string {
	if t == nil {
		return absent
	}
	return show("", t.value)
}

// found is the line of what a read has returned.
func found(v []byte, err error) (string, error) {
	if errors.Is(err, lsm.ErrNotFound) {
		return absent, nil
	}
	return show("", string(v)), err
}

// get reads a key, and asks whether it is there.
type get struct {
	In   text `json:",omitempty"`
	Key  text
	Snap int `json:",omitempty"`
}

func (o *get) model(m *Model) string {
	keys, ok := m.view(o.In, o.Snap)
	if !ok {
		return "no snapshot"
	}
	return keys.get(string(o.Key)).line()
}

func (o *get) apply(p *player) (string, error) {
	r, err := p.reader(o.In, o.Snap)
	if r == nil || err != nil {
		return "no snapshot", err
	}
	const before = "before"
	v, err := r.AppendGet([]byte(before), []byte(o.Key))
	if len(v) < len(before) || string(v[:len(before)]) != before {
		return "what was there is gone", err
	}
	line, err := found(v[len(before):], err)
	if t, ok := r.(target); ok && err == nil {
		has, err := t.Has([]byte(o.Key))
		if has != (line != absent) || err != nil {
			return fmt.Sprintf("%s, and it is there: %v", line, has), err
		}
	}
	return line, err
}

// scan reads a range in either direction.
type scan struct {
	In      text `json:",omitempty"`
	Lower   text
	Upper   text
	Snap    int  `json:",omitempty"`
	Reverse bool `json:",omitempty"`
}

// passed sums up entries in the order in which they were met.
type passed struct {
	entries     int
	hash        uint64
	first, last string
}

func (s *passed) add(key, value string) {
	if s.entries == 0 {
		s.first = key
	}
	s.entries, s.last = s.entries+1, key
	s.hash = s.hash*31 + entryHash(key, value)
}

// String returns the sum as a line.
func (s *passed) String() string {
	return fmt.Sprintf("%d from %q to %q %x", s.entries, s.first, s.last, s.hash)
}

func (t *tree) pass(reverse bool) string {
	var s passed
	seq := t.all()
	if reverse {
		seq = t.backward()
	}
	for e := range seq {
		s.add(e.key, e.value)
	}
	return s.String()
}

func (o *scan) model(m *Model) string {
	keys, ok := m.view(o.In, o.Snap)
	if !ok {
		return "no snapshot"
	}
	return keys.within(string(o.Lower), string(o.Upper)).pass(o.Reverse)
}

func (o *scan) apply(p *player) (string, error) {
	r, err := p.reader(o.In, o.Snap)
	if r == nil || err != nil {
		return "no snapshot", err
	}
	seq := r.Scan
	if o.Reverse {
		seq = r.ScanReverse
	}
	var s passed
	for e, err := range seq([]byte(o.Lower), o.Upper.bound()) {
		if err != nil {
			return "", err
		}
		s.add(string(e.Key), string(e.Value))
	}
	return s.String(), nil
}

// snapshot takes one, and closes the one that was in its slot.
type snapshot struct{ Slot int }

func (o *snapshot) model(m *Model) string {
	if m.window > 0 {
		return notNow
	}
	m.release(o.Slot)
	now := m.now
	m.snaps[o.Slot-1] = &now
	return "ok"
}

func (o *snapshot) apply(p *player) (string, error) {
	if p.window > 0 {
		return notNow, nil
	}
	if err := p.release(o.Slot); err != nil {
		return "", err
	}
	s, err := p.db.NewSnapshot()
	if err == nil {
		p.snaps[o.Slot-1] = &held{s, p.at, p.clock.hour()}
	}
	return "ok", err
}

// release reads all of a snapshot and closes it.
type release struct{ Slot int }

func (o *release) model(m *Model) string {
	s := m.state(o.Slot)
	if s == nil {
		return "no snapshot"
	}
	m.release(o.Slot)
	return fmt.Sprint(s.digest())
}

func (o *release) apply(p *player) (string, error) {
	s := p.snaps[o.Slot-1]
	if s == nil {
		return "no snapshot", nil
	}
	d, err := digestOf(s)
	return fmt.Sprint(d), errors.Join(err, p.release(o.Slot))
}

// check reads all of the store.
type check struct{}

func (*check) model(m *Model) string { return fmt.Sprint(m.now.digest()) }

func (*check) apply(p *player) (string, error) {
	d, err := digestOf(p.db)
	return fmt.Sprint(d), err
}
