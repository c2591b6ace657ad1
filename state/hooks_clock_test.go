package state_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// The time of a hook begins with the write that it is asked about, by a look at the clock that the engine has had. In a
// bubble time is no part of it, so this goes by the machine's.
func TestTimesOfHooksBeginWithTheWrite(t *testing.T) {
	store, err := state.OpenMemory(nil)
	require.NoError(t, err)
	sc := store.Scope(agent)
	people, err := state.OpenCollection[map[string]any](ctx, sc, "people", index.Def{Name: "name", Fields: []string{"name"}})
	require.NoError(t, err)
	var deadline, called time.Time
	register(t, store, hook.Hook{
		Name: "look", Points: []hook.Point{hook.BeforeSet}, Timeout: time.Hour,
		Before: func(ctx context.Context, _ *hook.Change) error {
			called = time.Now()
			deadline, _ = ctx.Deadline()
			return nil
		},
	})
	for _, set := range []func() error{
		func() error { return sc.Set(ctx, "k", 1, state.NoSync) },
		func() error { return people.Set(ctx, "ada", map[string]any{"name": "Ada"}, state.NoSync) },
		func() error { return sc.SetMany(ctx, map[string]any{"k": 1}) },
	} {
		begun := time.Now()
		require.NoError(t, set())
		require.False(t, deadline.Before(begun.Add(time.Hour)), "too early by %v", begun.Add(time.Hour).Sub(deadline))
		require.False(t, deadline.After(called.Add(time.Hour)), "too late by %v", deadline.Sub(called.Add(time.Hour)))
	}
	require.NoError(t, store.Close())
}

// The same where the engine has a clock of its own, which says something else, and in a bubble.
func TestTimesOfHooksAreTheMachines(t *testing.T) {
	for _, engine := range []*state.EngineOptions{nil, {Clock: &manual{}}, {Clock: fast{}}} {
		synctest.Test(t, func(t *testing.T) {
			store, err := state.OpenMemory(&state.Options{Engine: engine})
			require.NoError(t, err)
			sc := store.Scope(agent)
			people, err := state.OpenCollection[map[string]any](ctx, sc, "people", index.Def{Name: "name", Fields: []string{"name"}})
			require.NoError(t, err)
			var deadline time.Time
			require.NoError(t, store.Hooks().Register(hook.Hook{
				Name: "slow", Points: []hook.Point{hook.BeforeSet}, Timeout: time.Second, Breaker: hook.Breaker{Window: 64, Failures: 64},
				Before: func(ctx context.Context, _ *hook.Change) error {
					deadline, _ = ctx.Deadline()
					<-ctx.Done()
					return ctx.Err()
				},
			}))
			for _, set := range []func() error{
				func() error { return sc.Set(ctx, "k", 1, state.NoSync) },
				func() error { return people.Set(ctx, "ada", map[string]any{"name": "Ada"}, state.NoSync) },
				func() error { return sc.SetMany(ctx, map[string]any{"k": 1}) },
			} {
				time.Sleep(time.Hour)
				begun := time.Now()
				require.ErrorIs(t, set(), hook.ErrTimeout)
				require.Equal(t, time.Second, time.Since(begun))
				require.True(t, deadline.Equal(begun.Add(time.Second)), deadline)
			}
			require.NoError(t, store.Close())
		})
	}
}

// fast is a clock that runs twice as fast as the machine's, and has begun at another time.
type fast struct{}

var _ lsm.Clock = fast{}

func (fast) Wall() time.Time        { return time.Unix(0, 0).Add(2 * time.Since(time.Unix(0, 0))) }
func (fast) Elapsed() time.Duration { return 2 * time.Since(time.Unix(0, 0)) }
