package fuzz

import (
	"errors"
	"fmt"
	"maps"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// Differences in histories of scopes. A history hands out positions, with what the store held
// there, and sets horizons at some. Whatever is left afterwards, whenever the power was cut
// since, must accept each of these positions, and the difference from it must lead from what
// was held there to what is there; where a horizon stood it must be had.

// diffMark is a position that was handed out.
type diffMark struct {
	at    lsm.Position
	held  spaces
	given int // operations of the file system by then: from here on it counts
}

// horizonStand is for how long a horizon stood at a mark: from the operation by which it was
// surely durable to the one at which it began to move.
type horizonStand struct{ mark, from, until int }

// forever is the end of a stand that has none.
const forever = int(^uint(0) >> 1)

// diffMarks are those of a history.
type diffMarks struct {
	marks  []diffMark
	stands []horizonStand
}

const horizonName = "replica"

// mark hands out a position, and sets the horizon there every second time.
func (p *scopePlayer) mark() error {
	snap, err := p.db.NewSnapshot()
	if err != nil {
		return err
	}
	defer snap.Close() // always nil
	at, err := snap.Position()
	if err != nil {
		return err
	}
	m := &p.diffs
	m.marks = append(m.marks, diffMark{at, p.now.clone(), p.mem.Ops()})
	if err := m.checkAll(p.db, p.mem.Ops()); err != nil {
		return err
	}
	if len(m.marks)%2 == 1 {
		return nil
	}
	if n := len(m.stands); n > 0 {
		m.stands[n-1].until = min(m.stands[n-1].until, p.mem.Ops())
	}
	if err := p.db.SetHorizon(horizonName, at); err != nil {
		return err
	}
	m.stands = append(m.stands, horizonStand{len(m.marks) - 1, p.mem.Ops(), forever})
	return nil
}

// kept reports whether a horizon keeps the history from a mark on, at an operation.
func (m *diffMarks) kept(mark, op int) bool {
	for _, h := range m.stands {
		if h.mark <= mark && h.from <= op && op < h.until && !m.marks[h.mark].at.IsZero() {
			return true
		}
	}
	return false
}

// checkAll takes the differences from some of the marks that count at an operation.
func (m *diffMarks) checkAll(db *lsm.DB, op int) error {
	given := 0
	for given < len(m.marks) && m.marks[given].given <= op {
		given++
	}
	if given == 0 {
		return nil
	}
	snap, err := db.NewSnapshot()
	if err != nil {
		return err
	}
	defer snap.Close() // always nil
	now, err := readScopes(snap)
	if err != nil {
		return err
	}
	seen := map[int]bool{}
	for _, i := range []int{given - 1, given / 2} {
		if i < 0 || seen[i] {
			continue
		}
		seen[i] = true
		if err := m.check(snap, i, now, m.kept(i, op)); err != nil {
			return fmt.Errorf("difference from mark %d, %s: %w", i, m.marks[i].at, err)
		}
	}
	return nil
}

func (m *diffMarks) check(snap *lsm.Snapshot, mark int, want contents, kept bool) error {
	got, err := applyDiff(snap, m.marks[mark].at, m.marks[mark].held)
	switch {
	case errors.Is(err, lsm.ErrDiverged), errors.Is(err, lsm.ErrInvalidPosition), errors.Is(err, lsm.ErrHistoryGone) && kept:
		return fmt.Errorf("%w: %w", ErrWrong, err)
	case errors.Is(err, lsm.ErrHistoryGone):
		if got, err = applyDiff(snap, lsm.Position{}, spaces{scope.Scope{}: {}}); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if c := got.contents(); c != want {
		return fmt.Errorf("%w: it leads to %d entries and scopes instead of %d, or other values", ErrWrong, c.entries, want.entries)
	}
	return nil
}

// applyDiff returns what a difference makes of contents, which stay as they are.
func applyDiff(snap *lsm.Snapshot, from lsm.Position, held spaces) (spaces, error) {
	out := held.clone()
	for c, err := range snap.Diff(from) {
		if err != nil {
			return nil, err
		}
		in := out[c.Scope]
		if in == nil && c.Kind != lsm.ChangeNewScope && c.Kind != lsm.ChangeDropScope {
			return nil, fmt.Errorf("%w: %s in a scope that is not there", ErrWrong, c.Kind)
		}
		switch c.Kind {
		case lsm.ChangeSet:
			in[string(c.Key)] = string(c.Value)
		case lsm.ChangeDelete:
			delete(in, string(c.Key))
		case lsm.ChangeDeleteRange:
			lower, upper := string(c.Key), string(c.Upper)
			all := c.Upper == nil
			maps.DeleteFunc(in, func(k, _ string) bool { return k >= lower && (all || k < upper) })
		case lsm.ChangeNewScope:
			out[c.Scope] = map[string]string{}
		case lsm.ChangeDropScope:
			delete(out, c.Scope)
		}
	}
	return out, nil
}

// Positions returns how many positions the history has handed out, and at how many of them a
// horizon was set.
func (r *ScopeRecording) Positions() (all, horizons int) {
	return len(r.diffs.marks), len(r.diffs.stands)
}
