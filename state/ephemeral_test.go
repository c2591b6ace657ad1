package state_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

var ephemeral = state.WithClass(state.Ephemeral)

// B19: they are read, listed in order with the rest, deleted, and cleared by drop and move.
func TestEphemeralValuesAreLikeOthersUntilTheEnd(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for _, k := range []string{"b", "d", "f"} {
			require.NoError(t, sc.Set(ctx, k, "stored"))
		}
		for key, v := range values {
			require.NoError(t, sc.Set(ctx, "v/"+key, v, ephemeral))
			got, meta, err := sc.GetWithMeta(ctx, "v/"+key)
			require.NoError(t, err)
			require.Equal(t, v, got)
			require.Equal(t, state.Ephemeral, meta.Class)
		}
		for _, k := range []string{"a", "c", "e", "g"} {
			require.NoError(t, sc.Set(ctx, k, "memory", ephemeral))
		}
		require.Equal(t, []string{"a", "b", "c", "d", "e", "f", "g"}, keysOf(t, sc, "")[:7])
		require.Len(t, keysOf(t, sc, "v/"), len(values))
		page, err := sc.List(ctx, state.ListOptions{After: "b", Limit: 3})
		require.NoError(t, err)
		require.Equal(t, "memory", page.Entries[0].Value)
		require.Equal(t, "stored", page.Entries[1].Value)
		require.Equal(t, "e", page.Next)
		many, err := sc.GetMany(ctx, "a", "b", "z")
		require.NoError(t, err)
		require.Equal(t, map[string]any{"a": "memory", "b": "stored"}, many)

		for _, want := range []bool{true, false} {
			existed, err := sc.Delete(ctx, "a")
			require.NoError(t, err)
			require.Equal(t, want, existed)
		}
		n, err := sc.DeleteMany(ctx, []string{"c", "d", "zz", "c"})
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, []string{"b", "e", "f", "g"}, keysOf(t, sc, "")[:4])

		st, err := sc.Stats(ctx)
		require.NoError(t, err)
		require.Equal(t, int64(len(values)+2), st.Ephemeral)
		require.NoError(t, sc.Move(ctx, scope.Agent("a2")))
		require.Empty(t, keysOf(t, sc, ""))
		moved := f.Scope(scope.Agent("a2"))
		require.Equal(t, []string{"b", "f"}, keysOf(t, moved, ""))
		require.NoError(t, f.Set(ctx, agent, "b", "hidden", ephemeral))
		require.NoError(t, moved.Move(ctx, agent)) // whose ephemeral values make room for what is stored
		v, err := sc.Get(ctx, "b")
		require.NoError(t, err)
		require.Equal(t, "stored", v)
		moved = sc
		require.NoError(t, moved.Set(ctx, "m", 1, ephemeral))
		require.NoError(t, moved.Drop(ctx))
		require.Empty(t, keysOf(t, moved, ""))
		require.Zero(t, f.Metrics().Ephemeral)
		require.Zero(t, f.Metrics().EphemeralBytes)
	})
}

// B19: nothing of them is on disk, and what they replaced does not come back.
func TestEphemeralValuesEndWithTheStore(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir()}
	f.open()
	require.NoError(t, f.Set(ctx, agent, "k", "stored"))
	require.NoError(t, f.Set(ctx, agent, "k", "memory", ephemeral))
	require.NoError(t, f.Set(ctx, agent, "l", "memory", ephemeral))
	require.NoError(t, f.Set(ctx, agent, "l", "stored"))
	require.Equal(t, int64(1), f.Metrics().Ephemeral)
	f.reopen()
	require.Equal(t, []string{"l"}, keysOf(t, f.Scope(agent), ""))
	require.NoError(t, f.Close())
	_, err := f.Get(ctx, agent, "l")
	require.ErrorIs(t, err, state.ErrClosed)
	require.ErrorIs(t, f.Set(ctx, agent, "l", 1, ephemeral), state.ErrClosed)
}

// B19: the oldest make room.
func TestEphemeralValuesRespectTheirBound(t *testing.T) {
	everywhere(t, &state.Options{EphemeralBytes: 20_000}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for i := range 100 {
			require.NoError(t, sc.Set(ctx, fmt.Sprintf("k%02d", i), strings.Repeat("x", 800), ephemeral))
			require.NoError(t, sc.Set(ctx, "k00", i, ephemeral)) // always among the newest
			require.LessOrEqual(t, f.Metrics().EphemeralBytes, int64(20_000))
		}
		keys := keysOf(t, sc, "")
		require.Equal(t, "k00", keys[0])
		require.Equal(t, "k99", keys[len(keys)-1])
		require.Equal(t, fmt.Sprintf("k%02d", 100-len(keys)+1), keys[1])
		require.Equal(t, int64(100-len(keys)), f.Metrics().Evicted)
		require.ErrorIs(t, sc.Set(ctx, "k", strings.Repeat("x", 20_000), ephemeral), state.ErrTooLarge)
	})
	everywhere(t, &state.Options{EphemeralBytes: -1, InferClass: true}, func(t *testing.T, f *fixture) {
		require.ErrorIs(t, f.Set(ctx, agent, "k", 1, ephemeral), state.ErrUnsupported)
		require.ErrorIs(t, f.Set(ctx, agent, "temp:k", 1), state.ErrUnsupported)
		require.NoError(t, f.Set(ctx, agent, "k", 1))
	})
}

func TestEphemeralValuesAreNoPartOfConditions(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", int64(1), ephemeral))
		require.NoError(t, sc.Set(ctx, "s", int64(1)))
		for _, key := range []string{"k", "s"} {
			var opts []state.Option
			if key == "s" {
				opts = []state.Option{ephemeral}
			}
			_, err := sc.Increment(ctx, key, 1, opts...)
			require.ErrorIs(t, err, state.ErrUnsupported)
			_, err = sc.CompareAndSet(ctx, key, state.Absent, 1, opts...)
			require.ErrorIs(t, err, state.ErrUnsupported)
			_, err = sc.SetIfAbsent(ctx, key, 1, opts...)
			require.ErrorIs(t, err, state.ErrUnsupported)
		}
		err := f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).Set(ctx, "t", 1, ephemeral) })
		require.ErrorIs(t, err, state.ErrUnsupported)
		err = f.Transact(ctx, func(tx *state.Txn) error {
			_, err := tx.Scope(agent).Get(ctx, "k")
			require.ErrorIs(t, err, state.ErrNotFound)
			return tx.Scope(agent).Set(ctx, "k", "stored")
		})
		require.NoError(t, err)
		_, meta, err := sc.GetWithMeta(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, state.Standard, meta.Class)
		require.Zero(t, f.Metrics().Ephemeral)
		snap, err := f.Snapshot()
		require.NoError(t, err)
		defer snap.Close()
		require.NoError(t, sc.Set(ctx, "m", 1, ephemeral))
		_, err = snap.Scope(agent).Get(ctx, "m")
		require.ErrorIs(t, err, state.ErrNotFound)
	})
}

// B17, B19.
func TestEphemeralValuesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		sc := store.Scope(agent)
		require.NoError(t, sc.SetWithTTL(ctx, "k", 1, time.Minute, ephemeral))
		time.Sleep(time.Minute - time.Millisecond)
		require.Equal(t, []string{"k"}, keysOf(t, sc, ""))
		time.Sleep(time.Millisecond)
		require.Empty(t, keysOf(t, sc, ""))
		_, err = sc.Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrNotFound)
		existed, err := sc.Delete(ctx, "k")
		require.NoError(t, err)
		require.False(t, existed)
		require.NoError(t, store.Close())
	})
}

// A key that changes sides all the time is never absent to anybody, nor there twice.
func TestKeysThatChangeSidesAreAlwaysThere(t *testing.T) {
	everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for i := range 4 {
			require.NoError(t, sc.Set(ctx, fmt.Sprint("k", i), 0))
		}
		var done atomic.Bool
		go func() {
			defer done.Store(true)
			together(4, func(i int) {
				rnd := rand.New(rand.NewPCG(1, uint64(i)))
				for n := range 300 {
					var opts []state.Option
					if rnd.IntN(2) == 0 {
						opts = []state.Option{ephemeral}
					}
					if err := sc.Set(ctx, fmt.Sprint("k", rnd.IntN(4)), n, opts...); err != nil {
						t.Error(err)
					}
				}
			})
		}()
		want := []string{"k0", "k1", "k2", "k3"}
		for !done.Load() {
			for _, key := range want {
				if _, err := sc.Get(ctx, key); err != nil {
					t.Error(err)
				}
			}
			if got := keysOf(t, sc, ""); !slices.Equal(got, want) {
				t.Error(got)
			}
		}
		for _, key := range want {
			existed, err := sc.Delete(ctx, key)
			require.NoError(t, err)
			require.True(t, existed)
		}
		require.Empty(t, keysOf(t, sc, "")) // nothing was below
	})
}
