package state_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// A value of class Ephemeral that has expired is absent, to what depends on absence too.
func TestWhatHasExpiredInMemoryIsInNobodysWay(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for _, key := range []string{"a", "b", "c"} {
			require.NoError(t, sc.Set(ctx, key, "old", ephemeral, state.WithExpiry(time.UnixMilli(1))))
		}
		set, err := sc.SetIfAbsent(ctx, "a", 1)
		require.NoError(t, err)
		require.True(t, set)
		n, err := sc.Increment(ctx, "b", 1)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		require.NoError(t, sc.IncrementBlind(ctx, "c", 1))
		require.Equal(t, []string{"a", "b", "c"}, keysOf(t, sc, ""))
		require.Zero(t, f.Metrics().Ephemeral)
	})
}

// What has expired was counted, and kept its room, while values that had been written before it made room for others.
func TestWhatHasExpiredMakesRoomFirst(t *testing.T) {
	everywhere(t, &state.Options{EphemeralBytes: 3000}, func(t *testing.T, f *fixture) {
		sc, past := f.Scope(agent), state.WithExpiry(time.UnixMilli(1))
		require.NoError(t, sc.Set(ctx, "old", strings.Repeat("x", 500), ephemeral))
		require.NoError(t, sc.Set(ctx, "lasts", strings.Repeat("x", 500), ephemeral, state.WithTTL(time.Hour)))
		for _, key := range []string{"a", "b", "a", "c"} { // the last is what makes room, and gone at once
			require.NoError(t, sc.Set(ctx, key, strings.Repeat("x", 500), ephemeral, past))
		}
		require.NoError(t, sc.Set(ctx, "d", strings.Repeat("x", 500), ephemeral))
		require.Equal(t, []string{"d", "lasts", "old"}, keysOf(t, sc, ""))
		require.NoError(t, sc.Set(ctx, "e", 1, ephemeral, past))
		st, err := sc.Stats(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 3, st.Ephemeral)
		require.Zero(t, f.Metrics().Evicted)
		require.NoError(t, sc.Set(ctx, "f", strings.Repeat("x", 1500), ephemeral))
		require.Equal(t, []string{"d", "f"}, keysOf(t, sc, ""))
		require.EqualValues(t, 2, f.Metrics().Evicted)
	})
}

// meanwhile is a context that has something done, once, when it is asked while the store tells what it is about
// to commit.
type meanwhile struct {
	context.Context
	do func()
}

func (m *meanwhile) Value(key any) any {
	if do := m.do; do != nil {
		do()
	}
	return m.Context.Value(key)
}

// A value in memory does not make room for others before the stored one that it replaces is deleted: readers would
// see the new one, then the old one.
func TestWhatReplacesAStoredValueStaysUntilThatIsGone(t *testing.T) {
	everywhere(t, &state.Options{EphemeralBytes: 1000, Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		hear(t, f.Store, false) // who is told of the delete, of which a record is made first
		sc := f.Scope(agent)
		other := "other"
		for state.ShareStripe(f.Store, "k", other) {
			other += "s"
		}
		require.NoError(t, sc.Set(ctx, "k", "old"))
		looked := false
		with := &meanwhile{Context: ctx}
		with.do = func() {
			if f.Metrics().Ephemeral == 0 {
				return // not yet
			}
			with.do, looked = nil, true
			require.NoError(t, sc.Set(ctx, other, strings.Repeat("x", 750), ephemeral))
			v, err := sc.Get(ctx, "k")
			require.NoError(t, err)
			require.Equal(t, "new", v)
		}
		require.NoError(t, sc.Set(with, "k", "new", ephemeral))
		require.True(t, looked)
		_, err := sc.Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrNotFound, "now it has made room")
		require.LessOrEqual(t, f.Metrics().EphemeralBytes, int64(1000))
		require.EqualValues(t, 1, f.Metrics().Evicted)
	})
}

// What is in memory is there until the store is closed, and then the store is closed: never is it absent.
func TestNothingIsAbsentWhileTheStoreCloses(t *testing.T) {
	for range 10 {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		sc := store.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", 1, ephemeral))
		var begun, ended sync.WaitGroup
		begun.Add(4)
		for range 4 {
			ended.Go(func() {
				_, err := sc.Get(ctx, "k")
				for begun.Done(); err == nil; {
					_, err = sc.Get(ctx, "k")
				}
				if !errors.Is(err, state.ErrClosed) {
					t.Error(err)
				}
			})
		}
		begun.Wait()
		require.NoError(t, store.Close())
		ended.Wait()
	}
}

// A second Close returns when the first one has: until then hooks may use the store.
func TestASecondCloseWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		release, written := make(chan struct{}), make(chan error, 1)
		register(t, store, hook.Hook{Name: "slow", Points: []hook.Point{hook.AfterSet}, Keys: "k", After: func(own context.Context, _ hook.Event) error {
			<-release
			written <- store.Set(own, agent, "l", 1)
			return nil
		}})
		require.NoError(t, store.Set(ctx, agent, "k", 1))
		var closed atomic.Int32
		for range 2 {
			go func() {
				if err := store.Close(); err != nil {
					t.Error(err)
				}
				closed.Add(1)
			}()
		}
		synctest.Wait()
		require.Zero(t, closed.Load())
		close(release)
		require.NoError(t, <-written)
		synctest.Wait()
		require.EqualValues(t, 2, closed.Load())
	})
}

// A key that goes from memory into the engine and back is among many that are read at once.
func TestKeysThatChangeSidesAreAmongMany(t *testing.T) {
	store, err := state.OpenMemory(nil)
	require.NoError(t, err)
	sc := store.Scope(agent)
	require.NoError(t, sc.Set(ctx, "k", 0))
	var done atomic.Bool
	go func() {
		defer done.Store(true)
		for n := range 10_000 {
			var opts []state.Option
			if n%2 == 0 {
				opts = []state.Option{ephemeral}
			}
			err := sc.Set(ctx, "k", n, opts...)
			if err == nil && n%3 == 0 {
				err = sc.SetMany(ctx, map[string]any{"k": n, "l": n}, opts...)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}()
	for !done.Load() {
		values, err := sc.GetMany(ctx, "absent", "k")
		if err != nil || len(values) != 1 {
			t.Fatal(values, err)
		}
	}
	require.NoError(t, store.Close())
}

// S3: a value for which there is no room in memory keeps those that would be stored from being so.
func TestSetManyWithoutRoomInMemoryStoresNothing(t *testing.T) {
	everywhere(t, &state.Options{EphemeralBytes: 1000, InferClass: true}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "temp:k", "before"))
		err := sc.SetMany(ctx, map[string]any{"a": 1, "temp:k": "after", "temp:l": strings.Repeat("x", 1000)})
		require.ErrorIs(t, err, state.ErrTooLarge)
		require.Equal(t, []string{"temp:k"}, keysOf(t, sc, ""))
		v, err := sc.Get(ctx, "temp:k")
		require.NoError(t, err)
		require.Equal(t, "before", v)
	})
}

// Of a stored value whose place one in memory takes hooks are told once, however many others are set with it, and
// asked before any of them is.
func TestHooksOfWhatSetManyDisplaces(t *testing.T) {
	everywhere(t, &state.Options{InferClass: true}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "temp:a", 0, state.WithClass(state.Standard)))
		require.NoError(t, sc.Set(ctx, "temp:c", 0, state.WithClass(state.Standard)))
		h := hear(t, f.Store, false)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"temp:a": 1, "temp:b": 1}))
		events := h.take()
		require.Len(t, events, 1)
		require.Equal(t, "temp:a", events[0].Key)
		register(t, f.Store, hook.Hook{Name: "keep", Points: []hook.Point{hook.BeforeDelete}, Before: func(context.Context, *hook.Change) error {
			return hook.Veto("it stays")
		}})
		var veto *hook.VetoError
		require.ErrorAs(t, sc.SetMany(ctx, map[string]any{"k": 1, "temp:a": 2, "temp:c": 2}), &veto)
		require.Equal(t, []string{"temp:a", "temp:b", "temp:c"}, keysOf(t, sc, ""))
		v, err := sc.Get(ctx, "temp:a")
		require.NoError(t, err)
		require.EqualValues(t, 1, v)
		require.Empty(t, h.take())
	})
}

// A stored value that came to the place of one in memory meanwhile was asked about when the others were stored already: a
// veto then was the error of a SetMany that had been made in part.
func TestSetManyStoresNothingWhenAHookForbidsTheLastOfIt(t *testing.T) {
	everywhere(t, &state.Options{InferClass: true}, func(t *testing.T, f *fixture) {
		sc, standard := f.Scope(agent), state.WithClass(state.Standard)
		require.NoError(t, sc.Set(ctx, "temp:a", 0, standard))
		require.NoError(t, sc.Set(ctx, "temp:b", 0, standard))
		forbid := false
		register(t, f.Store, hook.Hook{Name: "keep", Points: []hook.Point{hook.BeforeDelete}, Before: func(own context.Context, c *hook.Change) error {
			switch {
			case c.Key == "temp:a" && forbid:
				return hook.Veto("it is new")
			case c.Key == "temp:b" && !forbid:
				forbid = true
				return sc.Set(own, "temp:a", "anew", standard)
			}
			return nil
		}})
		h := hear(t, f.Store, false)
		var veto *hook.VetoError
		require.ErrorAs(t, sc.SetMany(ctx, map[string]any{"k": 1, "temp:a": 1, "temp:b": 1, "temp:c": 1}), &veto)
		require.Equal(t, []string{"temp:a", "temp:b"}, keysOf(t, sc, ""))
		v, err := sc.Get(ctx, "temp:a")
		require.NoError(t, err)
		require.Equal(t, "anew", v)
		require.Zero(t, f.Metrics().Ephemeral)
		require.Len(t, h.take(), 1, "of the hook's")
	})
}
