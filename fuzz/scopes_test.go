package fuzz_test

import (
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// What was dropped stays so, what was not is whole, and what is made again is empty,
// wherever the power is cut.
func TestScopesSurvivePowerCuts(t *testing.T) {
	unraced(t)
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		for seed := range uint64(sized(2, 5)) {
			r, err := fuzz.RecordScopes(setup(t, 20+seed, mode), sized(100, 400))
			require.NoError(t, err)
			t.Logf("%d scopes dropped, %d forgotten", r.Dropped, r.Forgotten)
			few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 3, Cuts: 2}, Every: sized(5, 1), Limit: sized(2000, 0)}
			report(t, "cut", r.CutEverywhere(few))
			report(t, "kill", r.KillEverywhere(fuzz.Cuts{Every: 2}))
		}
	})
}

// The power goes again while what a crash has left of dropped scopes is taken away.
func TestScopesSurvivePowerCutsInRecovery(t *testing.T) {
	unraced(t)
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		r, err := fuzz.RecordScopes(setup(t, 30, mode), 100)
		require.NoError(t, err)
		few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 3, Cuts: 2}, Limit: sized(12, 200)}
		report(t, "second cut", r.CutInRecovery(few, 150))
	})
}

// Long histories without a cut: what background work leaves out, nobody misses.
func TestScopesThroughLongHistories(t *testing.T) {
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		for seed := range uint64(sized(2, 5)) {
			r, err := fuzz.RecordScopes(setup(t, 40+seed, mode), sized(1500, 10_000))
			require.NoError(t, err)
			t.Logf("%d scopes dropped, %d forgotten", r.Dropped, r.Forgotten)
			require.GreaterOrEqual(t, r.Dropped, r.Forgotten)
			require.Positive(t, r.Forgotten)
		}
	})
}

// Whatever call fails while scopes come and go, nothing is lost, nothing wrong is told, and
// a failed store acknowledges nothing.
func TestScopesWhateverCallFails(t *testing.T) {
	unraced(t)
	for name, f := range map[string]fuzz.Faulty{
		"every error": fuzz.EveryError, "any call": fuzz.AnyCall, "any sync": fuzz.AnySync, "any read": fuzz.AnyRead, "any flip": fuzz.AnyFlip,
	} {
		for _, mode := range []lsm.LogMode{lsm.LogMapped, lsm.LogWritten} {
			f.Limit, f.Every = sized(120, 0), 7
			if f.Product {
				f.Every = 70 // each call has many runs
			}
			x, err := fuzz.SweepScopeFaults(setup(t, 1, mode), 80, f)
			require.NoError(t, err)
			t.Logf("%s, mode %d: %d runs, %d faults met", name, mode, x.States, x.Points)
			require.NoError(t, x.Err(), name)
			require.Positive(t, x.Points, name)
		}
	}
}
