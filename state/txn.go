package state

import (
	"context"
	"errors"

	"github.com/loamdb/loam/scope"
)

// Txn is a transaction over any number of scopes: its handles read one moment, and what they
// write, which they see themselves, becomes visible to others all together when it commits,
// or never. It is for the goroutine that runs the function of Store.Transact, and ends with it.
type Txn struct {
	store  *Store
	open   func(scope.Scope) (space, error)
	scopes map[scope.Scope]*Scope
	waits  bool // something was written that is to be on the device
}

// Transact runs fn in a transaction and commits what it has written: all of it, on the device
// unless every write is of class Trusted or has NoSync, or none of it, if fn or Transact returns
// an error. What fn returns comes back as it is.
//
// Transactions are serialisable: what fn has read, keys, absences and lists, is as it was
// when the transaction commits. If somebody else has written any of it fn is run again, from the
// beginning, until it gets through or the context ends; so it should do nothing but use tx, and be
// short. Writing alone conflicts with nothing.
//
//	err := store.Transact(ctx, func(tx *state.Txn) error {
//		from, to := tx.Scope(scope.User("ann")), tx.Scope(scope.User("bob"))
//		if _, err := from.Increment(ctx, "points", -10); err != nil {
//			return err
//		}
//		_, err := to.Increment(ctx, "points", 10)
//		return err
//	})
func (s *Store) Transact(ctx context.Context, fn func(tx *Txn) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return &Error{Op: "transact", Err: err}
		}
		var own error
		err := s.engine.transact(func(open func(scope.Scope) (space, error)) (bool, error) {
			tx := &Txn{store: s, open: open, scopes: map[scope.Scope]*Scope{}}
			own = fn(tx)
			return !tx.waits, own
		})
		switch {
		case own != nil:
			return own
		case err == nil:
			return nil
		case !errors.Is(err, ErrConflict):
			return &Error{Op: "transact", Err: err}
		}
	}
}

// Scope returns a handle to a scope that acts within the transaction. The scope need not exist; it
// comes into being with what is written to it. Operations on whole scopes, and class Ephemeral,
// are ErrUnsupported.
func (tx *Txn) Scope(name scope.Scope) *Scope {
	if sc := tx.scopes[name]; sc != nil {
		return sc
	}
	sc := &Scope{store: tx.store, name: name, class: tx.store.classIn(name), mode: inTransaction, tx: tx}
	if sc.err = checkScope(name); sc.err == nil {
		sc.space, sc.err = tx.open(name)
	}
	tx.scopes[name] = sc
	return sc
}
