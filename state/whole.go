package state

import (
	"context"
	"fmt"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

// Operations on a whole scope. Each is atomic: it has happened or not, also after a power cut.

// Stats say how much a scope holds.
type Stats struct {
	// Entries counts keys, documents and what the store keeps beside them: entries of indexes, the list of a collection's
	// indexes, leases, a rule of retention. Bytes is the length of them and their values as they are stored. When
	// Exact is not set, what was overwritten or deleted, or has expired, and is not merged yet counts too.
	Entries, Bytes int64
	// Exact: the figures are those of the moment of the call.
	Exact bool
	// Ephemeral counts the values of that class, which are not among Entries.
	Ephemeral int64
}

// Stats returns how much the scope holds, without reading it: all zero if it is not there.
func (s *Scope) Stats(ctx context.Context) (Stats, error) {
	var st Stats
	s, err := s.pass(ctx, access.OpStats, "")
	if err == nil {
		err = s.whole(ctx)
	}
	if err == nil {
		var has spaceStats
		has, err = s.space.stats(true)
		st.Entries, st.Bytes, st.Exact = has.entries, has.bytes, has.exact
	}
	if s.mode == live {
		st.Ephemeral = s.store.ephemeral.countIn(s.name, s.store.engine.now)
	}
	if err != nil {
		return Stats{}, s.fail("stats", "", err)
	}
	return st, nil
}

// Drop removes the scope with all that it holds, at once, whatever it holds: the space comes back
// by itself. A scope that is not there is dropped already. Writing to it later makes a new one. Of
// the options those on syncing count.
func (s *Scope) Drop(ctx context.Context, opts ...Option) error {
	s, err := s.pass(ctx, access.OpDrop, "")
	c := &s.store.counters[0]
	if err == nil {
		err = s.wholeToWrite(ctx)
	}
	if err == nil {
		err = s.askWhole(ctx, hook.OpClear, scope.Scope{})
	}
	if err == nil {
		if err = s.store.enter(ctx, c); err == nil {
			defer s.store.leave(c)
		}
	}
	unsynced := s.unsyncedWhole(opts)
	if err == nil {
		_, err = s.space.change(ctx, wholeDrop, scope.Scope{}, unsynced)
	}
	if err == nil {
		s.store.ephemeral.clear(s.name)
		s.store.sweeper.gone(s.name)
		s.tellWhole(ctx, hook.OpClear, scope.Scope{}, unsynced)
	}
	if err != nil {
		return s.fail("drop", "", err)
	}
	return nil
}

// Move gives the scope another name, with all that it holds, at once; values keep their versions.
// Those of class Ephemeral are gone, in both scopes.
// ErrNotFound: it is not there; ErrScopeExists: there is one of the new name, which is not replaced.
// Of the options those on syncing count.
func (s *Scope) Move(ctx context.Context, to scope.Scope, opts ...Option) error {
	s, err := s.passTo(ctx, access.OpMove, access.OpMoveTo, to)
	c := &s.store.counters[0]
	if err == nil {
		err = s.wholeToWrite(ctx)
	}
	if err == nil {
		err = checkScope(to)
	}
	if err == nil {
		err = s.askWhole(ctx, hook.OpMove, to)
	}
	if err == nil {
		if err = s.store.enter(ctx, c); err == nil {
			defer s.store.leave(c)
		}
	}
	unsynced, carried := s.unsyncedWhole(opts), false
	if err == nil {
		carried, err = s.store.sweeper.carry(s, to, unsynced)
	}
	if err == nil {
		entered := s.store.sweeper.enter()
		_, err = s.space.change(ctx, wholeMove, to, unsynced)
		s.store.sweeper.leave(entered)
	}
	if carried {
		s.store.sweeper.settle(s.store.engine.now(), s.name, to)
	}
	if err == nil {
		s.store.ephemeral.clear(s.name)
		s.store.ephemeral.clear(to)
		s.tellWhole(ctx, hook.OpMove, to, unsynced)
	}
	if err != nil {
		return s.fail("move", "", err)
	}
	return nil
}

// Copy makes a scope with all that this one has stored, now or in its snapshot, and returns how many keys and
// documents it has copied. The copy appears whole, at the end, and shares nothing with the
// original; its values have versions of their own. ErrNotFound and ErrScopeExists are as with Move.
func (s *Scope) Copy(ctx context.Context, to scope.Scope, opts ...Option) (int64, error) {
	s, err := s.passTo(ctx, access.OpCopy, access.OpCopyTo, to)
	c := &s.store.counters[0]
	if err == nil {
		err = s.whole(ctx) // of a snapshot, too
	}
	if err == nil {
		err = checkScope(to)
	}
	if err == nil {
		err = s.askWhole(ctx, hook.OpCopy, to)
	}
	if err == nil {
		if err = s.store.enter(ctx, c); err == nil {
			defer s.store.leave(c)
		}
	}
	var n int64
	unsynced, carried := s.unsyncedWhole(opts), false
	if err == nil {
		carried, err = s.store.sweeper.carry(s, to, unsynced)
	}
	if err == nil {
		n, err = s.space.change(ctx, wholeCopy, to, unsynced)
	}
	if carried {
		s.store.sweeper.settle(s.store.engine.now(), to)
	}
	if err == nil {
		s.store.ephemeral.clear(to)
		s.tellWhole(ctx, hook.OpCopy, to, unsynced)
	}
	if err != nil {
		return 0, s.fail("copy", "", err)
	}
	return n, nil
}

// Fork copies the scope as Copy does and returns a handle to the copy.
func (s *Scope) Fork(ctx context.Context, to scope.Scope, opts ...Option) (*Scope, error) {
	if _, err := s.Copy(ctx, to, opts...); err != nil {
		return nil, err
	}
	if s.guard != nil {
		return s.store.As(s.guard.who).Scope(to), nil
	}
	return s.store.scopeIn(s.store.engine, to), nil
}

// whole returns the error of an operation on the whole scope that has no chance.
func (s *Scope) whole(ctx context.Context) error {
	switch {
	case s.err != nil:
		return s.err
	case s.store.closed.Load():
		return ErrClosed
	case s.mode == inTransaction:
		return fmt.Errorf("%w: operations on whole scopes are no part of transactions", ErrUnsupported)
	}
	return ctx.Err()
}

func (s *Scope) wholeToWrite(ctx context.Context) error {
	if s.mode == atSnapshot && s.err == nil {
		return s.readOnly()
	}
	if err := s.whole(ctx); err != nil {
		return err
	}
	return s.store.writable(ctx)
}

func (s *Scope) unsyncedWhole(opts []Option) bool {
	o := join(opts)
	return s.unsynced(Standard, &o)
}
