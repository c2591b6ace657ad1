package state_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// What callers, and hooks, wrote while Close drained the queue was stored, and no hook was told of it. Callers are
// refused now; what hooks write is told.
func TestOnlyHooksWriteWhileTheStoreCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		sc := store.Scope(agent)
		c := people(t, sc, byTeam)
		lease, err := sc.AcquireLease(ctx, "lease", "me", 1e12)
		require.NoError(t, err)
		release, told := make(chan struct{}), make(chan string, 2)
		register(t, store, hook.Hook{Name: "slow", Points: []hook.Point{hook.AfterSet}, Keys: "k", After: func(own context.Context, _ hook.Event) error {
			<-release
			return store.Transact(own, func(tx *state.Txn) error { return tx.Scope(agent).Set(own, "l", 1) })
		}})
		register(t, store, hook.Hook{Name: "next", Points: []hook.Point{hook.AfterSet}, Keys: "l", After: func(own context.Context, ev hook.Event) error {
			told <- ev.Key
			return sc.Drop(own)
		}})
		register(t, store, hook.Hook{Name: "last", Points: []hook.Point{hook.AfterClear}, After: func(context.Context, hook.Event) error {
			told <- "dropped"
			return nil
		}})
		tx, err := store.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, tx.Scope(agent).Set(ctx, "t", 1))
		require.NoError(t, sc.Set(ctx, "k", 1))
		closed := make(chan error)
		go func() { closed <- store.Close() }()
		synctest.Wait()
		_, deleted := sc.Delete(ctx, "k")
		_, leased := sc.AcquireLease(ctx, "m", "me", 1e12)
		_, begun := store.Begin(ctx)
		_, copied := sc.Copy(ctx, scope.User("ann"))
		_, removed := c.Delete(ctx, "d")
		for i, err := range []error{
			sc.Set(ctx, "k", 2), sc.Set(ctx, "e", 2, ephemeral), sc.SetMany(ctx, map[string]any{"k": 2}), deleted, leased, begun, copied, removed,
			lease.Release(ctx), sc.Drop(ctx), sc.SetRetention(ctx, state.Retention{}), sc.IncrementBlind(ctx, "n", 1), tx.Commit(),
			c.Set(ctx, "d", person{}), importEntries(sc, nil), store.Transact(ctx, func(*state.Txn) error { return nil }),
		} {
			require.ErrorIs(t, err, state.ErrClosed, i)
		}
		v, err := sc.Get(ctx, "k")
		require.NoError(t, err)
		require.EqualValues(t, 1, v)
		close(release)
		require.NoError(t, <-closed)
		require.Equal(t, "l", <-told)
		require.Equal(t, "dropped", <-told)
	})
}

// An export that ended while the store closed succeeded, and its event was lost.
func TestAnExportThatEndsWhileTheStoreClosesFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		sc := store.Scope(agent)
		release, told := make(chan struct{}), 0
		register(t, store, hook.Hook{Name: "slow", Points: []hook.Point{hook.AfterSet}, After: func(context.Context, hook.Event) error {
			<-release
			return nil
		}})
		register(t, store, hook.Hook{Name: "told", Points: []hook.Point{hook.AfterExport}, After: func(context.Context, hook.Event) error {
			told++
			return nil
		}})
		require.NoError(t, sc.Set(ctx, "k", 1))
		closed := make(chan error)
		go func() { closed <- store.Close() }()
		synctest.Wait()
		var file bytes.Buffer
		_, err = sc.Export(ctx, &file, state.ExportOptions{})
		require.ErrorIs(t, err, state.ErrClosed)
		other, err := state.OpenMemory(nil)
		require.NoError(t, err)
		_, err = other.Scope(agent).Import(ctx, &file, state.ImportOptions{})
		require.Error(t, err, "the file must not be whole")
		require.NoError(t, other.Close())
		close(release)
		require.NoError(t, <-closed)
		require.Zero(t, told)
	})
}

// Of what has been written when Close begins, or is about to be, hooks are told: writers used to lose that. A hook that
// sets itself off does not keep Close from ending.
func TestCloseLosesNothingOfWriters(t *testing.T) {
	store, err := state.OpenMemory(&state.Options{Hooks: hook.Options{QueueLen: 4}})
	require.NoError(t, err)
	sc := store.Scope(agent)
	var told, wrote, chain atomic.Int64
	var open atomic.Bool // a transaction that had begun was refused: it was open when Close ended
	register(t, store, hook.Hook{Name: "count", Points: []hook.Point{hook.AfterSet}, Keys: "w*", After: func(context.Context, hook.Event) error {
		told.Add(1)
		return nil
	}})
	register(t, store, hook.Hook{Name: "chain", Points: []hook.Point{hook.AfterSet}, Keys: "chain", After: func(own context.Context, _ hook.Event) error {
		chain.Add(1)
		return sc.Set(own, "chain", 1)
	}})
	var begun, ended sync.WaitGroup
	begun.Add(4)
	for i := range 4 {
		ended.Go(func() {
			key := fmt.Sprint("w", i)
			for n := 0; ; n++ {
				if n == 10 {
					begun.Done()
				}
				var err error
				switch n % 3 {
				case 0:
					err = sc.Set(ctx, key, n)
				case 1:
					err = sc.SetMany(ctx, map[string]any{key: n})
				default:
					began := false
					err = store.Transact(ctx, func(tx *state.Txn) error {
						began = true
						return tx.Scope(agent).Set(ctx, key, n)
					})
					if began && err != nil {
						open.Store(true)
					}
				}
				if err != nil {
					if n < 10 {
						t.Error(err)
					}
					return
				}
				wrote.Add(1)
			}
		})
	}
	begun.Wait()
	require.NoError(t, sc.Set(ctx, "chain", 1))
	closed := store.Close()
	ended.Wait()
	if closed != nil {
		require.ErrorIs(t, closed, state.ErrInUse)
		require.True(t, open.Load(), "nothing was in use")
	}
	require.Equal(t, wrote.Load(), told.Load())
	require.LessOrEqual(t, chain.Load(), int64(16))
}
