package state

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

// Txn is a transaction over any number of scopes: its handles read one moment, and what they
// write, which they see themselves, becomes visible to others all together when it commits,
// or never. One of Store.Transact is for the goroutine that runs the function, and ends with it; one of
// Store.Begin ends with Commit or Rollback, and is for one goroutine at a time.
type Txn struct {
	store  *Store
	who    access.Principal // whose it is, where there is access control
	ctx    context.Context
	begun  bool // by Begin
	ended  atomic.Bool
	inner  *engine
	scopes map[scope.Scope]*Scope
	waits  bool // something was written that is to be on the device
	wrote  []written

	tallies   []tally // what was written, while some scopes have rules
	uncounted bool    // something was written while none had

	refused error           // of the first hook that forbade a write
	events  []hook.Event    // of what was written
	heard   map[eventOf]int // where they are

	recorded [][]byte // the keys of their records, if they are recorded
}

// written is what a transaction has written in a scope.
type written struct {
	name scope.Scope
	keys []write // the keys alone
}

// Transact runs fn in a transaction and commits what it has written: all of it, on the device
// unless every write is of class Trusted or has NoSync, or none of it, if fn or Transact returns
// an error. What fn returns comes back as it is. If a hook forbids one write nothing is written,
// whatever fn returns.
//
// Transactions are serialisable: what fn has read, keys, absences and lists, is as it was
// when the transaction commits. If somebody else has written any of it fn is run again, from the
// beginning, until it gets through or the context ends; so it should do nothing but use tx, and be
// short. Writing alone conflicts with nothing. Values of class Ephemeral are not seen; what is
// written to their keys replaces them. In a store that is read-only each write is ErrReadOnly, and a transaction
// that only reads succeeds.
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
	return s.transact(ctx, "", fn)
}

func (s *Store) transact(ctx context.Context, who access.Principal, fn func(tx *Txn) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return &Error{Op: "transact", Err: err}
		}
		own, err := s.attempt(ctx, who, fn)
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

// attempt runs fn in a transaction. own is what fn has returned, or the error of a hook that forbade a write.
func (s *Store) attempt(ctx context.Context, who access.Principal, fn func(tx *Txn) error) (own, err error) {
	tx, err := s.begin(ctx, who)
	if err != nil {
		return nil, err
	}
	defer tx.end() // also where fn panics
	if own = fn(tx); own == nil {
		own = tx.refused
	}
	if own != nil {
		return own, nil
	}
	return nil, tx.commit(ctx)
}

func (s *Store) begin(ctx context.Context, who access.Principal) (*Txn, error) {
	tx := &Txn{store: s, who: who, ctx: ctx, scopes: map[scope.Scope]*Scope{}}
	err := s.writable(ctx)
	if err == nil {
		tx.inner, err = s.engine.begin(tx)
	}
	return tx, err
}

// alive returns the error of a transaction that must not be used any more.
func (tx *Txn) alive() error {
	switch {
	case tx.ended.Load() || tx.store.closed.Load():
		return ErrClosed
	case tx.begun:
		return tx.ctx.Err()
	}
	return nil
}

// end ends the transaction, unless it has ended: nothing is written then.
func (tx *Txn) end() {
	if !tx.ended.Swap(true) {
		_ = tx.inner.close() // nil of a transaction
	}
}

// commit commits what was written, and tells of it: hooks that write where the transaction has do not wait for it.
func (tx *Txn) commit(ctx context.Context) error {
	defer tx.store.took(timedCommit, tx.store.clock.now())
	c := &tx.store.counters[0]
	if err := tx.store.enter(ctx, c); err != nil {
		return err
	}
	defer tx.store.leave(c)
	last, err := tx.commitNow(ctx)
	if err == nil {
		tx.tell(ctx, last)
	}
	return err
}

// commitNow commits what was written, and returns the version of the last write.
func (tx *Txn) commitNow(ctx context.Context) (last Version, err error) {
	room, err := tx.store.sweeper.admitAll(ctx, tx.tallies)
	if err != nil {
		return 0, err
	}
	defer endAll(room)
	e := &tx.store.ephemeral
	var h held
	tx.stripes(&h)
	e.share(&h)
	if err = tx.record(); err == nil {
		entered := tx.store.sweeper.enter()
		tx.ended.Store(true)
		if last, err = tx.inner.commit(nil, !tx.waits); err == nil {
			for _, t := range tx.tallies {
				tx.store.sweeper.count(t)
			}
			if tx.uncounted {
				for i := range tx.wrote {
					tx.store.sweeper.notCounted(tx.wrote[i].name)
				}
			}
			tx.committed()
		}
		tx.store.sweeper.leave(entered)
	}
	e.unshare(&h)
	return last, err
}

// Scope returns a handle to a scope that acts within the transaction. The scope need not exist; it
// comes into being with what is written to it. Operations on whole scopes, and class Ephemeral,
// are ErrUnsupported.
func (tx *Txn) Scope(name scope.Scope) *Scope {
	if sc := tx.scopes[name]; sc != nil {
		return tx.store.guarded(tx.who, sc)
	}
	sc := &Scope{store: tx.store, name: name, class: tx.store.classIn(name), mode: inTransaction, tx: tx}
	if sc.err = checkScope(name); sc.err == nil {
		sc.space, sc.err = tx.inner.space(name)
	}
	tx.scopes[name] = sc
	return tx.store.guarded(tx.who, sc)
}

// add makes writes part of the transaction.
func (tx *Txn) add(ws []write) error {
	if err := tx.alive(); err != nil {
		return err
	}
	if counted := tx.store.sweeper.active(); !counted {
		tx.uncounted = true
	} else {
		for i := range ws {
			t := tallyOf(&ws[i])
			t.key = bytes.Clone(t.key)
			tx.tallies = append(tx.tallies, t)
		}
	}
	_, err := tx.inner.commit(ws, true)
	return err
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
