package fuzz

import (
	"context"
	"fmt"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// CutInRecovery takes every so many-th state that a power cut leaves, opens it, has it
// flushed and closes it, while what dropped scopes and unfinished copies have left is
// looked for and taken away; and it cuts the power again at every operation of that: each
// opening must show what the first one did. It counts the states of the second cuts.
func (r *ScopeRecording) CutInRecovery(c Cuts, every int) Explored {
	s := sampled{every: every}
	inner := c
	inner.Every, inner.Limit = 1, 0
	var first Explored
	h := &r.history
	states := func(yield func(demand) bool) {
		for d := range cuts(h.Mem, h.Ledger, c, 0, &first.Points) {
			if s.wants() && !yield(d) {
				return
			}
		}
	}
	h.explore(&first, states, c.Limit, func(d demand) error {
		mem := d.state.CrashMem()
		found, err := r.recover(mem)
		if err != nil {
			return err
		}
		var x Explored
		e := mem.Explore()
		o := inner.StateOptions
		o.Expect = 1 // the demand is the same at every point
		for range inner.points(e, 0) {
			x.Points++
			for state := range e.States(o) {
				x.States++
				if err := r.mustHold(state.Mem(), found); err != nil {
					x.fail(h.describe(d, fmt.Errorf("then %s: %w", state, err)))
				}
			}
		}
		s.add(x)
		return nil
	})
	s.inner.Failed += first.Failed
	s.inner.Failures = append(s.inner.Failures, first.Failures...)
	return s.inner
}

// recover opens a store, flushes it and closes it, and returns what it holds all along.
func (r *ScopeRecording) recover(mem *vfs.Mem) (contents, error) {
	db, err := lsm.Open(Dir, r.history.Setup.Options(mem))
	if err != nil {
		return contents{}, err
	}
	defer db.Close() // the second close does nothing
	found, err := readScopes(db)
	if err == nil {
		err = db.Flush(context.Background())
	}
	if err == nil {
		err = checkScopes(db, found)
	}
	if err == nil {
		err = db.Close()
	}
	return found, err
}

func (r *ScopeRecording) mustHold(mem *vfs.Mem, want contents) error {
	db, err := lsm.Open(Dir, r.history.Setup.Options(mem))
	if err != nil {
		return err
	}
	defer db.Close() // whatever it says
	return checkScopes(db, want)
}
