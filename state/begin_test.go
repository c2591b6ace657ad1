package state_test

import (
	"context"
	"testing"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

func TestATransactionThatIsBegun(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, false)
		ann, bob := scope.User("ann"), scope.User("bob")
		require.NoError(t, f.Scope(ann).Set(ctx, "points", 10))
		h.take()
		tx, err := f.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Scope(ann).Increment(ctx, "points", -4)
		require.NoError(t, err)
		_, err = tx.Scope(bob).Increment(ctx, "points", 4)
		require.NoError(t, err)
		v, err := tx.Scope(bob).Get(ctx, "points")
		require.NoError(t, err)
		require.Equal(t, int64(4), v)
		_, err = f.Scope(bob).Get(ctx, "points")
		require.ErrorIs(t, err, state.ErrNotFound)
		require.Empty(t, h.take())
		require.NoError(t, tx.Commit())
		require.Len(t, h.take(), 2)
		v, err = f.Scope(ann).Get(ctx, "points")
		require.NoError(t, err)
		require.Equal(t, int64(6), v)
		// It has ended.
		require.ErrorIs(t, tx.Commit(), state.ErrClosed)
		require.NoError(t, tx.Rollback())
		require.ErrorIs(t, tx.Scope(ann).Set(ctx, "points", 1), state.ErrClosed)
		_, err = tx.Scope(ann).Get(ctx, "points")
		require.ErrorIs(t, err, state.ErrClosed)
		_, err = tx.Scope(ann).List(ctx, state.ListOptions{})
		require.ErrorIs(t, err, state.ErrClosed)

		// Rolled back, it has written nothing.
		tx, err = f.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, tx.Scope(ann).Set(ctx, "points", 0))
		require.NoError(t, tx.Rollback())
		require.NoError(t, tx.Rollback())
		require.ErrorIs(t, tx.Commit(), state.ErrClosed)

		// Another one was faster.
		tx, err = f.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Scope(ann).Increment(ctx, "points", 1)
		require.NoError(t, err)
		_, err = f.Scope(ann).Increment(ctx, "points", 1)
		require.NoError(t, err)
		err = tx.Commit()
		var e *state.Error
		require.ErrorIs(t, err, state.ErrConflict)
		require.ErrorAs(t, err, &e)
		require.Equal(t, "commit", e.Op)
		require.NoError(t, tx.Rollback())
		v, err = f.Scope(ann).Get(ctx, "points")
		require.NoError(t, err)
		require.Equal(t, int64(7), v)

		// What a hook forbids ends it.
		register(t, f.Store, hook.Hook{Name: "no", Points: []hook.Point{hook.BeforeSet}, Keys: "no", Before: func(context.Context, *hook.Change) error { return hook.Veto("no") }})
		tx, err = f.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, tx.Scope(ann).Set(ctx, "yes", 1))
		var veto *hook.VetoError
		require.ErrorAs(t, tx.Scope(ann).Set(ctx, "no", 1), &veto)
		require.ErrorAs(t, tx.Commit(), &veto)
		_, err = f.Scope(ann).Get(ctx, "yes")
		require.ErrorIs(t, err, state.ErrNotFound)

		// Transact ends its own.
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			require.ErrorIs(t, tx.Commit(), state.ErrUnsupported)
			require.ErrorIs(t, tx.Rollback(), state.ErrUnsupported)
			return tx.Scope(ann).Set(ctx, "k", 1)
		}))
		_, err = f.Scope(ann).Get(ctx, "k")
		require.NoError(t, err)
	})
}

func TestABegunTransactionEndsWithItsContext(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		until, cancel := context.WithCancel(ctx)
		tx, err := f.Begin(until)
		require.NoError(t, err)
		require.NoError(t, tx.Scope(agent).Set(ctx, "k", 1))
		cancel()
		require.ErrorIs(t, tx.Scope(agent).Set(ctx, "k", 2), context.Canceled)
		_, err = tx.Scope(agent).Get(ctx, "k")
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, tx.Commit(), context.Canceled)
		require.NoError(t, tx.Rollback())
		_, err = f.Scope(agent).Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrNotFound)
		_, err = f.Begin(until)
		require.ErrorIs(t, err, context.Canceled)
	})
}

// B23: a transaction that is open makes Close say so, and is at its end.
func TestCloseEndsBegunTransactions(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		tx, err := f.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, tx.Scope(agent).Set(ctx, "k", 1))
		require.ErrorIs(t, f.Close(), state.ErrInUse)
		_, err = tx.Scope(agent).Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrClosed)
		require.ErrorIs(t, tx.Scope(agent).Set(ctx, "k", 1), state.ErrClosed)
		require.ErrorIs(t, tx.Commit(), state.ErrClosed)
		require.NoError(t, tx.Rollback())
		_, err = f.Begin(ctx)
		require.ErrorIs(t, err, state.ErrClosed)
		f.open()
		_, err = f.Scope(agent).Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrNotFound)
	})
}

// B63: a transaction of a view asks for each step.
func TestViewsBeginTransactions(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		grant(t, f.Store, "ann", access.Allow, access.Read|access.Write, "user:ann", "*")
		tx, err := f.As("ann").Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, tx.Scope(scope.User("ann")).Set(ctx, "k", 1))
		requireDenied(t, tx.Scope(scope.User("bob")).Set(ctx, "k", 1))
		require.NoError(t, tx.Commit())
		_, err = f.As("ann").Scope(scope.User("ann")).Get(ctx, "k")
		require.NoError(t, err)
		tx, err = f.Begin(ctx)
		require.NoError(t, err)
		requireDenied(t, tx.Scope(scope.User("ann")).Set(ctx, "k", 1))
		require.NoError(t, tx.Rollback())
	})
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		_, err := f.As("ann").Begin(ctx)
		require.ErrorIs(t, err, state.ErrUnsupported)
	})
}

// A transaction that only reads was refused in a store that is read-only.
func TestTransactionsReadAStoreThatIsReadOnly(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir()}
	f.open()
	people(t, f.Scope(agent), byTeam)
	require.NoError(t, f.Set(ctx, agent, "k", "v"))
	f.opts = &state.Options{Engine: &state.EngineOptions{ReadOnly: true}, Timeline: &state.TimelineOptions{}}
	f.reopen()
	reads := func(tx *state.Txn) error {
		sc := tx.Scope(agent)
		v, err := sc.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "v", v)
		require.Equal(t, []string{"k"}, keysOf(t, sc, ""))
		require.ErrorIs(t, sc.Set(ctx, "k", 1), state.ErrReadOnly)
		require.ErrorIs(t, sc.IncrementBlind(ctx, "k", 1), state.ErrReadOnly)
		_, err = sc.Update(ctx, "k", func(any, bool) (any, error) { return 1, nil })
		require.ErrorIs(t, err, state.ErrReadOnly)
		_, err = sc.Delete(ctx, "k")
		require.ErrorIs(t, err, state.ErrReadOnly)
		return nil
	}
	require.NoError(t, f.Transact(ctx, reads))
	require.ErrorIs(t, f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).Set(ctx, "k", 1) }), state.ErrReadOnly)
	tx, err := f.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, reads(tx))
	require.NoError(t, tx.Commit())
	require.ErrorIs(t, tx.Commit(), state.ErrClosed)
	require.NoError(t, f.Close())
}
