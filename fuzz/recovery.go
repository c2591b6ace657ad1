package fuzz

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// sampled says which of the states of an exploration are taken further.
type sampled struct {
	mu    sync.Mutex // guards inner
	inner Explored
	every int
	n     int
}

// wants counts a state and reports whether it is one of the sample. The first of every
// so many is not: the first states of all are those of an empty directory.
func (s *sampled) wants() bool {
	s.n++
	return s.n%max(s.every, 1) == 0
}

func (s *sampled) add(x Explored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inner.Add(x)
}

// CutInRecovery takes every so many-th state that a power cut leaves, opens it, and cuts
// the power again at every operation of that opening, its background work and its
// Close: the second recovery must find exactly what the first one found. With depth
// above two the second recovery of every so many-th state is cut in turn, and so on.
//
// The result counts the states of the second cut and deeper ones.
func (r *Recording) CutInRecovery(c Cuts, every, depth int) Explored {
	s := sampled{every: every}
	inner := c
	inner.Every, inner.Limit = 1, 0
	var first Explored
	states := func(yield func(demand) bool) {
		for d := range cuts(r.Mem, r.Ledger, c, 0, &first.Points) {
			if s.wants() && !yield(d) {
				return
			}
		}
	}
	r.explore(&first, states, c.Limit, func(d demand) error {
		mem := d.state.CrashMem()
		n, err := r.reopen(mem, d.atLeast)
		if err != nil {
			return err
		}
		s.add(r.cutAgain(mem, n, inner, every, depth-1, d.state.String()))
		return nil
	})
	s.inner.Failed += first.Failed
	s.inner.Failures = append(s.inner.Failures, first.Failures...)
	return s.inner
}

// cutAgain cuts the power at every operation of a recovery that found n batches.
func (r *Recording) cutAgain(mem *vfs.Mem, n int, c Cuts, every, depth int, trail string) Explored {
	var x Explored
	deeper := sampled{every: every}
	e := mem.Explore()
	o := c.StateOptions
	o.Expect = 1 // the demand is the same at every point
	for range c.points(e, 0) {
		x.Points++
		for state := range e.States(o) {
			x.States++
			here := trail + ", then " + state.String()
			again := state.CrashMem()
			got, err := r.reopen(again, n)
			if err == nil && got != n {
				err = fmt.Errorf("%w: the first recovery found %d batches, the next %d", ErrWrong, n, got)
			}
			switch {
			case err != nil:
				x.fail(fmt.Errorf("seed %d, %s, %s: %w", r.Setup.Seed, modeName(r.Setup.Mode), here, err))
			case depth > 1 && deeper.wants():
				x.Add(r.cutAgain(again, n, c, every, depth-1, here))
			}
		}
	}
	return x
}

// WriteOnAfterCuts takes every so many-th state that has lost acknowledged batches,
// opens it, writes a few small batches, fewer bytes than were lost, and cuts the power
// again at every operation since: what was lost must not come back, neither beside nor
// in the place of what was written then.
func (r *Recording) WriteOnAfterCuts(c Cuts, every int) Explored {
	s := sampled{every: every}
	inner := c
	inner.Every, inner.Limit = 1, 0
	var first Explored
	states := func(yield func(demand) bool) {
		for d := range cuts(r.Mem, r.Ledger, c, 0, &first.Points) {
			if _, acked := r.Ledger.Promised(d.state.Point()); acked > d.atLeast && s.wants() && !yield(d) {
				return
			}
		}
	}
	r.explore(&first, states, c.Limit, func(d demand) error {
		x, err := r.writeOn(d, inner)
		s.add(x)
		return err
	})
	s.inner.Failed += first.Failed
	s.inner.Failures = append(s.inner.Failures, first.Failures...)
	return s.inner
}

// writeOn opens one state and writes on. It tries nothing when the state has lost
// nothing.
func (r *Recording) writeOn(d demand, c Cuts) (Explored, error) {
	var x Explored
	mem := d.state.CrashMem()
	p := &Player{Setup: r.Setup, FS: mem, Ops: mem.Ops, Ledger: r.Ledger}
	if err := p.Open(); err != nil {
		return x, err
	}
	defer p.Abandon()
	n, err := r.Ledger.Check(p.DB, d.atLeast)
	if _, acked := r.Ledger.Promised(d.state.Point()); err != nil || n >= acked {
		return x, err
	}
	live, err := dump(p.DB)
	if err != nil {
		return x, err
	}
	p.Ledger = r.Ledger.Resume(n, live)
	opened := mem.Ops()
	rnd := rand.New(rand.NewPCG(r.Setup.Seed, d.state.Hash()))
	for range 1 + rnd.IntN(3) {
		step := Step{Kind: Apply, Sync: rnd.IntN(2) == 0}
		if rnd.IntN(2) == 0 {
			step.Ops = []Op{{Key: "new", Value: fmt.Sprint(rnd.IntN(1000))}}
		}
		if err := p.Do(step); err != nil {
			return x, err
		}
	}
	for again := range cuts(mem, p.Ledger, c, opened, &x.Points) {
		x.States++
		if _, err := reopen(r.Setup, again.state.Mem(), p.Ledger, again.atLeast); err != nil {
			x.fail(r.describe(d, fmt.Errorf("written on, then %s: %w", again.state, err)))
		}
	}
	return x, nil
}

// dump returns what a store holds.
func dump(db *lsm.DB) (map[string]string, error) {
	m := map[string]string{}
	for e, err := range db.Scan(nil, nil) {
		if err != nil {
			return nil, err
		}
		m[string(e.Key)] = string(e.Value)
	}
	return m, nil
}
