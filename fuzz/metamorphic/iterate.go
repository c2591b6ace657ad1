package metamorphic

import (
	"fmt"
	"strings"

	"github.com/loamdb/loam/lsm"
)

func init() {
	register("iterator", 250, func(g *generator) iterate {
		o := iterate{Slot: g.slot(), In: g.place(), Snap: g.snap()}
		if g.oneIn(2) {
			o.Lower, o.Upper = g.bounds()
		}
		return o
	})
	register("move", 900, func(g *generator) move { return move{Slot: g.slot(), Steps: g.steps()} })
	register("end-iterator", 60, func(g *generator) endIterator { return endIterator{g.slot()} })
}

// step is one move of an iterator.
type step struct {
	To  string // first, last, next, prev, ge or lt
	Key text   `json:",omitempty"` // of the last two
}

func (g *generator) steps() (steps []step) {
	for range 1 + g.rnd.IntN(10) {
		s := step{To: []string{"first", "last", "next", "next", "next", "prev", "prev", "prev", "ge", "lt"}[g.rnd.IntN(10)]}
		if s.To == "ge" || s.To == "lt" {
			s.Key = g.key()
		}
		steps = append(steps, s)
	}
	return steps
}

// moving is an iterator of the store, or one of a transaction.
type moving interface {
	First() bool
	Last() bool
	Next() bool
	Prev() bool
	SeekGE(key []byte) bool
	SeekLT(key []byte) bool
	Valid() bool
	Key() []byte
	Value() []byte
	Err() error
}

// walk moves an iterator and makes a line of where it comes to.
func walk(it moving, steps []step) (string, error) {
	var line strings.Builder
	for _, s := range steps {
		var ok bool
		switch s.To {
		case "first":
			ok = it.First()
		case "last":
			ok = it.Last()
		case "next":
			ok = it.Next()
		case "prev":
			ok = it.Prev()
		case "ge":
			ok = it.SeekGE([]byte(s.Key))
		default:
			ok = it.SeekLT([]byte(s.Key))
		}
		switch {
		case it.Err() != nil:
			return "", it.Err()
		case ok != it.Valid():
			fmt.Fprintf(&line, "%v, and valid %v; ", ok, it.Valid())
		case !ok:
			line.WriteString("none; ")
		default:
			fmt.Fprintf(&line, "%q %s; ", it.Key(), show("", string(it.Value())))
			if it.Err() != nil { // of a value in a blob file
				return "", it.Err()
			}
		}
	}
	return line.String(), nil
}

// cursor is an iterator of the model.
type cursor struct {
	keys *tree // those within the bounds
	at   *tree // nil: at no entry
	past bool  // then: after the last one
	set  bool  // it was moved
	snap int
}

// walk moves it as the function of that name moves an iterator of a store.
func (c *cursor) walk(steps []step) string {
	var line strings.Builder
	for _, s := range steps {
		if c.step(s); c.at == nil {
			line.WriteString("none; ")
		} else {
			fmt.Fprintf(&line, "%q %s; ", c.at.key, c.at.line())
		}
	}
	return line.String()
}

func (c *cursor) step(s step) {
	switch s.To {
	case "first":
		c.at, c.past = c.keys.first(), true
	case "last":
		c.at, c.past = c.keys.last(), false
	case "ge":
		c.at, c.past = c.keys.seekGE(string(s.Key)), true
	case "lt":
		c.at, c.past = c.keys.seekLT(string(s.Key)), false
	case "next":
		switch {
		case c.at != nil:
			c.at, c.past = c.keys.seekGE(next(c.at.key)), true
		case !c.set || !c.past:
			c.at, c.past = c.keys.first(), true
		}
	case "prev":
		switch {
		case c.at != nil:
			c.at, c.past = c.keys.seekLT(c.at.key), false
		case !c.set || c.past:
			c.at, c.past = c.keys.last(), false
		}
	}
	c.set = true
}

// iterate makes an iterator, over the store or a snapshot, and closes the one that was in
// its slot.
type iterate struct {
	Slot  int
	In    text `json:",omitempty"`
	Lower text `json:",omitempty"`
	Upper text `json:",omitempty"`
	Snap  int  `json:",omitempty"`
}

func (o *iterate) model(m *Model) string {
	if m.window > 0 {
		return notNow
	}
	m.iters[o.Slot-1] = nil
	keys, ok := m.view(o.In, o.Snap)
	if !ok {
		return "no snapshot"
	}
	m.iters[o.Slot-1] = &cursor{keys: keys.within(string(o.Lower), string(o.Upper)), snap: o.Snap}
	return "ok"
}

func (o *iterate) apply(p *player) (string, error) {
	if p.window > 0 {
		return notNow, nil
	}
	if _, err := (&endIterator{o.Slot}).apply(p); err != nil {
		return "", err
	}
	r, err := p.reader(o.In, o.Snap)
	if r == nil || err != nil {
		return "no snapshot", err
	}
	it, err := r.NewIter(&lsm.IterOptions{LowerBound: []byte(o.Lower), UpperBound: o.Upper.bound()})
	if err == nil {
		p.iters[o.Slot-1] = &iterator{it, o.Snap}
	}
	return "ok", err
}

// move moves an iterator.
type move struct {
	Slot  int
	Steps []step
}

func (o *move) model(m *Model) string {
	c := m.iters[o.Slot-1]
	if c == nil {
		return "no iterator"
	}
	return c.walk(o.Steps)
}

func (o *move) apply(p *player) (string, error) {
	it := p.iters[o.Slot-1]
	if it == nil {
		return "no iterator", nil
	}
	return walk(it, o.Steps)
}

// endIterator closes an iterator.
type endIterator struct{ Slot int }

func (o *endIterator) model(m *Model) string {
	m.iters[o.Slot-1] = nil
	return "ok"
}

func (o *endIterator) apply(p *player) (string, error) {
	it := p.iters[o.Slot-1]
	p.iters[o.Slot-1] = nil
	if it == nil {
		return "ok", nil
	}
	return "ok", it.Close()
}
