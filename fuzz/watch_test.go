package fuzz_test

import (
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// After a kill or a power cut at any step a watch goes on from its last position.
func TestWatchesGoOnAfterPowerCuts(t *testing.T) {
	batches, every := 60, 2
	if long {
		batches, every = 400, 1
	}
	for _, mode := range []lsm.LogMode{lsm.LogMapped, lsm.LogWritten} {
		x, err := fuzz.CutUnderWatch(setup(t, 7, mode), fuzz.Ordinary(batches), every)
		require.NoError(t, err)
		t.Logf("mode %d: %d states, %d commits heard of", mode, x.States, x.Points)
		require.NoError(t, x.Err())
		require.Positive(t, x.Points)
	}
}

// Whatever call fails, a watcher hears of all that was acknowledged and of nothing else.
func TestWatchersHearTheTruthWhateverCallFails(t *testing.T) {
	for name, f := range map[string]fuzz.Faulty{"any call": fuzz.AnyCall, "any sync": fuzz.AnySync, "any read": fuzz.AnyRead} {
		f.Limit, f.Every = 60, 11
		if long {
			f.Limit, f.Every = 0, 1
		}
		s := setupIn(t, 8, lsm.LogMapped, name != "any sync")
		s.Follow = true
		x, err := fuzz.SweepFaults(s, fuzz.Ordinary(60), f)
		require.NoError(t, err)
		t.Logf("%s: %d runs, %d faults met", name, x.States, x.Points)
		require.NoError(t, x.Err(), name)
		require.Positive(t, x.Points, name)
	}
}
