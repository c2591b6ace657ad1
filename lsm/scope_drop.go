package lsm

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// ErrScopeExists: a scope was to be moved or copied to one that is there, which is not
// replaced. Nothing was changed.
var ErrScopeExists = errors.New("lsm: scope exists")

// Drop removes the scope with all that it holds, in one small batch whatever it holds.
// Snapshots and iterators go on seeing it; for everybody else it is gone when Drop
// returns, and a write makes a new, empty scope of the same name. The space comes back by
// itself. A scope that is not there is dropped already.
func (s *Scope) Drop(w *WriteOptions) error {
	d := s.db
	for {
		if err := s.writable(); err != nil {
			return err
		}
		r, err := s.current()
		if err != nil || r == nil {
			return err
		}
		var b dirBatch
		b.takeEntry(s, d.claimOn(r))
		b.unname(r.id)
		b.kill(r.id)
		seq, err := d.commitDirectory(&b, w)
		if err != errRedirected { // returned bare
			if err == nil {
				d.reaper.died(r.id, seq, w == nil || !w.Unsynced)
				s.forget(r)
			}
			return err
		}
		s.forget(r)
	}
}

// Move gives the scope another name, with all that it holds, in one small batch. The
// handle keeps its name, which is then free. Errors: ErrScopeExists if there is a scope of
// the new name, ErrNotFound if there is none of the old.
func (s *Scope) Move(to scope.Scope, w *WriteOptions) error {
	d := s.db
	dst, err := d.Scope(to)
	if err != nil {
		return err
	}
	for {
		if err := s.writable(); err != nil {
			return err
		}
		r, _, err := s.look()
		if err == nil && r == nil {
			err = fmt.Errorf("lsm: move %s: %w", s.name.Kind(), ErrNotFound)
		}
		if err != nil {
			return err
		}
		at, err := dst.absent()
		if err != nil {
			return err
		}
		var b dirBatch
		b.takeEntry(s, d.claimOn(r))
		b.makeEntry(dst.entry, r.id, at)
		_, err = d.commitDirectory(&b, w)
		s.forget(r)
		if err != errRedirected { // returned bare
			return err
		}
	}
}

// absent returns a number at which there was no such scope, or ErrScopeExists.
func (s *Scope) absent() (at keys.SeqNum, err error) {
	r, at, err := s.look()
	if err == nil && r != nil {
		err = fmt.Errorf("%w: %s", ErrScopeExists, s.name)
	}
	return at, err
}
