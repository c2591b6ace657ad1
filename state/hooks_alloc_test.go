package state_test

import (
	"context"
	"testing"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// allocations returns how many allocations an operation makes, at rest: the engine makes room for many operations
// at once now and then.
func allocations(op func()) float64 {
	least := testing.AllocsPerRun(200, op)
	for range 4 {
		least = min(least, testing.AllocsPerRun(200, op))
	}
	return least
}

// A hook before and one on the queue after an unsynced Set make no garbage, and neither for documents.
func TestHooksMakeNoGarbage(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has pools forget")
	}
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c, err := state.OpenCollection[map[string]any](ctx, sc, "turns", index.Def{Name: "turn", Fields: []string{"turn"}})
		require.NoError(t, err)
		set := func() { require.NoError(t, sc.Set(ctx, "conversation/turn-17", document, state.NoSync)) }
		setDocument := func() { require.NoError(t, c.Set(ctx, "turn-17", document, state.NoSync)) }
		plain, plainDocument := allocations(set), allocations(setDocument)
		require.Zero(t, plain)
		register(t, f.Store,
			hook.Hook{Name: "before", Points: []hook.Point{hook.BeforeSet}, Before: func(context.Context, *hook.Change) error { return nil }},
			hook.Hook{Name: "after", Points: []hook.Point{hook.AfterSet}, After: func(context.Context, hook.Event) error { return nil }})
		require.Equal(t, plain, allocations(set))
		require.Equal(t, plainDocument, allocations(setDocument))
		t.Logf("%v of a document", plainDocument)
	})
}
