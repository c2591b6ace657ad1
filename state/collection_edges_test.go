package state_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// A handle of a collection whose indexes were others for a while can be used again when they are its own.
func TestAHandleIsGoodAgainWhenItsIndexesAre(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		require.NoError(t, c.Set(ctx, "a", person{Team: "red"}))
		people(t, sc, byMail)
		require.ErrorIs(t, c.Set(ctx, "b", person{}), state.ErrReopen)
		people(t, sc, byTeam)
		require.NoError(t, c.Set(ctx, "b", person{Team: "red"}))
		require.Equal(t, []string{"a", "b"}, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("team", "red")}}))

		people(t, sc, byMail)
		require.ErrorIs(t, c.Set(ctx, "c", person{}), state.ErrReopen)
		require.NoError(t, sc.Drop(ctx))
		require.NoError(t, c.Set(ctx, "c", person{Team: "red"}), "there is no other collection any more")
		requireAgreement(t, sc, c)
	})
}

// hasty is a clock that goes on by a millisecond whenever it is asked.
type hasty struct{ elapsed atomic.Int64 }

func (*hasty) Wall() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func (h *hasty) Elapsed() time.Duration { return time.Duration(h.elapsed.Add(1)) * time.Millisecond }

// A document that another writer has just written, and that expires while it is found out what was met, is no
// index that disagrees: whenever that is.
func TestADocumentThatExpiresIsNoDisagreement(t *testing.T) {
	store, err := state.OpenMemory(&state.Options{Engine: &state.EngineOptions{Clock: &hasty{}}})
	require.NoError(t, err)
	c := people(t, store.Scope(agent), byMail)
	for ttl := range 40 * time.Millisecond / time.Millisecond {
		key, before := fmt.Sprint("k", int(ttl)), true
		register(t, store, hook.Hook{Name: key, Points: []hook.Point{hook.BeforeSet}, Keys: "people/" + key, Before: func(context.Context, *hook.Change) error {
			if before { // the other one
				before = false
				return c.Set(ctx, key, person{Mail: key}, state.WithTTL((ttl+1)*time.Millisecond))
			}
			return nil
		}})
		require.NoError(t, c.Set(ctx, key, person{Mail: key}))
	}
	require.NoError(t, store.Close())
}

// With a context in which nothing is to be written no index is built or taken away.
func TestNoIndexIsBuiltInASimulation(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		require.NoError(t, c.Set(ctx, "a", person{Team: "red"}))
		before, err := state.Kept(sc)
		require.NoError(t, err)
		simulated := hook.Simulate(ctx)
		_, err = state.OpenCollection[person](simulated, sc, "people", byMail)
		require.ErrorIs(t, err, hook.ErrSimulated)
		require.ErrorIs(t, c.Rebuild(simulated), hook.ErrSimulated)
		same, err := state.OpenCollection[person](simulated, sc, "people", byTeam)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, docsOf(t, same, index.Query{}))
		after, err := state.Kept(sc)
		require.NoError(t, err)
		require.Equal(t, before, after)
	})
}
