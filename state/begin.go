package state

import (
	"context"
	"fmt"

	"github.com/loamdb/loam/access"
)

// Begin returns a transaction that its caller ends, with Commit or Rollback, for programs that cannot put
// what is to happen into one function: Transact is better where it will do, since it tries again by
// itself. Until it ends it keeps what it reads from being reclaimed, and Close returns ErrInUse: the
// transaction is at its end then too. In a store that is read-only its writes are ErrReadOnly.
//
// When ctx ends every step of the transaction fails with its error, and Rollback is still to be called:
//
//	tx, err := store.Begin(ctx)
//	if err != nil {
//		return err
//	}
//	defer tx.Rollback() // does nothing behind a Commit
func (s *Store) Begin(ctx context.Context) (*Txn, error) { return s.beginOpen(ctx, "") }

// Begin returns a transaction as Store.Begin does. What is denied in it is an error of the one operation.
func (v *View) Begin(ctx context.Context) (*Txn, error) {
	if v.store.control == nil {
		return nil, &Error{Op: "begin", Err: errNoControl}
	}
	return v.store.beginOpen(ctx, v.who)
}

func (s *Store) beginOpen(ctx context.Context, who access.Principal) (*Txn, error) {
	err := ctx.Err()
	var tx *Txn
	if err == nil {
		tx, err = s.begin(ctx, who)
	}
	if err != nil {
		return nil, &Error{Op: "begin", Err: err}
	}
	tx.begun = true
	return tx, nil
}

// errNotBegun is the error of who would end what Transact ends.
var errNotBegun = fmt.Errorf("%w: a transaction of Transact ends with its function", ErrUnsupported)

// Commit ends a transaction of Begin and makes all that it has written visible, on the device unless every
// write is of class Trusted or has NoSync, or with an error none of it. ErrConflict: somebody
// else has written what it has read; what Begin begins anew may succeed. If a hook has forbidden one of
// the writes that is the error. It cannot be called twice, whatever it has returned.
func (tx *Txn) Commit() error {
	err := tx.alive()
	if err == nil && !tx.begun {
		err = errNotBegun
	}
	if err == nil {
		err = tx.refused
	}
	if err == nil {
		err = tx.commit(tx.ctx)
	}
	if tx.begun {
		tx.end()
	}
	switch err := err.(type) {
	case nil:
		return nil
	case *Error:
		return err // of the hook
	default:
		return &Error{Op: "commit", Err: err}
	}
}

// Rollback ends a transaction of Begin without writing anything. One that has ended is left as it is. It
// returns an error only for one of Transact, whose function returns an error instead.
func (tx *Txn) Rollback() error {
	if tx.begun {
		tx.end()
		return nil
	}
	err := tx.alive()
	if err == nil {
		err = errNotBegun
	}
	return &Error{Op: "rollback", Err: err}
}
