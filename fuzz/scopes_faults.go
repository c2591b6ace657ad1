package fuzz

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// SweepScopeFaults does for histories of scopes what SweepFaults does for those of keys.
func SweepScopeFaults(setup Setup, steps int, f Faulty) (Explored, error) {
	goroutines := runtime.NumGoroutine()
	mem := vfs.NewCrashMem()
	counter := vfs.NewFaults(mem)
	if err := playScopes(newScopePlayer(setup, counter, mem), steps); err != nil {
		return Explored{}, err
	}
	return f.sweep(setup, counter, goroutines, func(r vfs.Rule) (bool, error) { return runFaultyScopes(setup, steps, r) }), nil
}

// runFaultyScopes plays a history under one rule and judges what comes of it.
func runFaultyScopes(setup Setup, steps int, r vfs.Rule) (met bool, err error) {
	mem := vfs.NewCrashMem()
	faults := vfs.NewFaults(mem, r)
	p := newScopePlayer(setup, faults, mem)
	if err := playScopes(p, steps); err != nil {
		return true, err
	}
	met = len(faults.Fired()) > 0
	synced, acked := p.ledger.Promised(mem.Ops())
	if r.Effect == vfs.Drop {
		acked = synced // what the failed sync dropped is gone from the page cache too
	}
	if err := reopenScopes(setup, mem.Copy(), p.ledger, acked, &p.diffs, mem.Ops()); err != nil {
		return met, fmt.Errorf("after a kill: %w", err)
	}
	if err := reopenScopes(setup, mem.CrashCopy(), p.ledger, synced, &p.diffs, mem.Ops()); err != nil {
		return met, fmt.Errorf("after a power cut: %w", err)
	}
	return met, nil
}

// playScopes plays a history as far as the store goes on, and closes the store. Errors are
// wrong answers, and errors without a type.
func playScopes(p *scopePlayer, steps int) error {
	if err := p.open(); err != nil {
		return untyped("open", err)
	}
	for i := range steps {
		err := p.step()
		if err == nil {
			continue
		}
		if err := untyped(fmt.Sprintf("step %d", i), err); err != nil {
			p.abandon()
			return err
		}
		if p.db == nil {
			return nil // it was closed, or could not be opened
		}
		if errors.Is(err, lsm.ErrPoisoned) {
			sc, err := p.db.Scope(scope.Agent("probe"))
			if err == nil && sc.Set([]byte("probe"), nil, lsm.NoSync) == nil {
				err = fmt.Errorf("%w: step %d: a store that had failed acknowledged a write", ErrWrong, i)
			}
			p.abandon()
			return err
		}
	}
	p.abandon()
	return nil
}

// untyped returns an error that must not be, or nil.
func untyped(what string, err error) error {
	switch {
	case errors.Is(err, ErrWrong), errors.Is(err, ErrLost):
		return fmt.Errorf("%s: %w", what, err)
	case !typed(err):
		return fmt.Errorf("%w: %s: no type in: %w", ErrWrong, what, err)
	}
	return nil
}

// abandon closes the store and promises nothing.
func (p *scopePlayer) abandon() {
	if p.held != nil {
		_ = p.held.Close() // always nil
	}
	if p.db != nil {
		_ = p.db.Close() // nobody relies on what it says
	}
	p.db, p.held = nil, nil
}
