package state

import (
	"iter"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/scope"
)

// Snapshot is the store as it was at one moment, without what is Ephemeral. It never changes, may be
// used from any number of goroutines, and must be closed, when none of them uses it any more: as
// long as it is open, what it holds takes space.
type Snapshot struct {
	store  *Store
	engine *engine
	who    access.Principal // whose it is, where there is access control
}

// Snapshot returns the store as of now.
func (s *Store) Snapshot() (*Snapshot, error) {
	e, err := s.engine.begin(nil)
	if err != nil {
		return nil, &Error{Op: "snapshot", Err: err}
	}
	return &Snapshot{store: s, engine: e}, nil
}

// Close ends the snapshot. It is idempotent.
func (s *Snapshot) Close() error { return s.engine.close() }

// Scope returns a handle to a scope as it was, or was not, in the snapshot. Writing to it is
// ErrReadOnly.
func (s *Snapshot) Scope(name scope.Scope) *Scope {
	sc := s.store.scopeIn(s.engine, name)
	sc.mode, sc.snap = atSnapshot, s
	return s.store.guarded(s.who, sc)
}

// ListScopes yields the scopes that there were, as Store.ListScopes does.
func (s *Snapshot) ListScopes(kind scope.Kind, prefix string) iter.Seq2[scope.Scope, error] {
	return s.store.visible(s.who, listScopes(s.engine, kind, prefix))
}

// Position returns where in the store's history the snapshot is, for Scope.Diff and Scope.Watch, in
// this process or in a later one. What the snapshot shows is on the device when it returns.
func (s *Snapshot) Position() (Position, error) {
	p, err := s.engine.position()
	if err != nil {
		return Position{}, &Error{Op: "position", Err: err}
	}
	return p, nil
}
