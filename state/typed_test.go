package state_test

import (
	"testing"

	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// The least numbers beyond a type do not fit it, also where a machine makes of them the greatest that does.
func TestSumsThatAreJustBeyondTheirType(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"63": float64(1 << 63), "64": float64(1 << 64), "least": float64(-1 << 63)}))
		_, err := state.Increment[int64](ctx, sc, "63", 0)
		require.ErrorIs(t, err, state.ErrOverflow)
		_, err = state.Increment[uint64](ctx, sc, "64", 0)
		require.ErrorIs(t, err, state.ErrOverflow)
		u, err := state.Increment[uint64](ctx, sc, "63", 0)
		require.NoError(t, err)
		require.Equal(t, uint64(1<<63), u)
		n, err := state.Increment[int64](ctx, sc, "least", 0)
		require.NoError(t, err)
		require.Equal(t, int64(-1<<63), n)
		x, err := state.Increment[float64](ctx, sc, "64", 0)
		require.NoError(t, err)
		require.Equal(t, float64(1<<64), x)
	})
}
