package fuzz_test

import (
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// A position that was handed out is one wherever the power is cut later, and the difference
// from it is right; above a horizon it can always be had.
func TestPositionsAndDifferencesSurvivePowerCuts(t *testing.T) {
	unraced(t)
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		r, err := fuzz.RecordScopes(setup(t, 60, mode), sized(150, 600))
		require.NoError(t, err)
		positions, horizons := r.Positions()
		t.Logf("%d positions, %d horizons", positions, horizons)
		require.Greater(t, horizons, 1)
		few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 2, Cuts: 1}, Every: sized(7, 1), Limit: sized(400, 0)}
		report(t, "cut", r.CutEverywhere(few))
		report(t, "kill", r.KillEverywhere(fuzz.Cuts{Every: sized(9, 1)}))
	})
}
