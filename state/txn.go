package state

import (
	"bytes"
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
	wrote  []written
}

// written is what a transaction has written in a scope.
type written struct {
	name scope.Scope
	keys []write // the keys alone
}

// Transact runs fn in a transaction and commits what it has written: all of it, on the device
// unless every write is of class Trusted or has NoSync, or none of it, if fn or Transact returns
// an error. What fn returns comes back as it is.
//
// Transactions are serialisable: what fn has read, keys, absences and lists, is as it was
// when the transaction commits. If somebody else has written any of it fn is run again, from the
// beginning, until it gets through or the context ends; so it should do nothing but use tx, and be
// short. Writing alone conflicts with nothing. Values of class Ephemeral are not seen; what is
// written to their keys replaces them.
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
		tx := &Txn{store: s, scopes: map[scope.Scope]*Scope{}}
		var own error
		var h held
		err := s.engine.transact(func(open func(scope.Scope) (space, error)) (bool, error) {
			tx.open = open
			if own = fn(tx); own == nil {
				tx.stripes(&h)
				s.ephemeral.share(&h)
			}
			return !tx.waits, own
		})
		if err == nil {
			tx.committed()
		}
		s.ephemeral.unshare(&h)
		switch {
		case own != nil:
			return own
		case err == nil:
			return nil
		case !errors.Is(err, ErrConflict):
			return &Error{Op: "transact", Err: err}
		}
		s.counters[0].conflicts.Add(1)
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

// note records what is written in a scope.
func (tx *Txn) note(s *Scope, ws []write, unsynced bool) {
	if !unsynced {
		tx.waits = true
	}
	keys := make([]write, len(ws))
	for i := range ws {
		keys[i].key = bytes.Clone(ws[i].key)
	}
	tx.wrote = append(tx.wrote, written{s.name, keys})
}

// stripes adds the stripes of what was written.
func (tx *Txn) stripes(h *held) {
	for _, w := range tx.wrote {
		for i := range w.keys {
			h.add(&tx.store.ephemeral, w.keys[i].key)
		}
	}
}

// committed does what is to be done when the transaction has been committed.
func (tx *Txn) committed() {
	for _, w := range tx.wrote {
		tx.store.counters[0].writes.Add(int64(len(w.keys)))
		tx.store.ephemeral.supersede(w.name, w.keys)
	}
}
