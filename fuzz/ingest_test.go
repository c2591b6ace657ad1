package fuzz_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// A table that was ingested is there whole or not at all, and nothing that was committed
// before it is missing where it is there.
func TestPowerCutAtEveryOperationOfIngests(t *testing.T) {
	unraced(t)
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		for seed := range uint64(sized(1, 10)) {
			shape := fuzz.Shape{Batches: sized(40, 200), SyncOneIn: 6, FlushEvery: 12, CompactEvery: 12, HoldEvery: 10, Reopens: 1}
			r, err := fuzz.RecordIngests(setup(t, 30+seed, mode), shape, 4)
			require.NoError(t, err)
			few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 4, Cuts: 2}, Every: sized(6, 1)}
			report(t, "cut", r.CutEverywhere(few))
			report(t, "kill", r.KillEverywhere(fuzz.Cuts{}))
			report(t, "second cut", r.CutInRecovery(fuzz.Cuts{Limit: sized(8, 0)}, 150, 2))
			report(t, "written on", r.WriteOnAfterCuts(fuzz.Cuts{Limit: sized(50, 0)}, 20))
		}
	})
}

// Every call that Ingest makes fails, in every way.
func TestFaultAtEveryCallOfAnIngest(t *testing.T) {
	unraced(t)
	eachCopy(t, func(t *testing.T, linked bool) {
		for name, f := range map[string]fuzz.Faulty{
			"every error": fuzz.EveryError, "any call": fuzz.AnyCall, "any sync": fuzz.AnySync, "any read": fuzz.AnyRead, "any flip": fuzz.AnyFlip,
		} {
			if f.Product && !long {
				f.Every = 7 // each call has many runs
			}
			x, err := fuzz.SweepIngest(setupIn(t, 34, lsm.LogMapped, linked), fuzz.Shape{Batches: 12, SyncOneIn: 4, FlushEvery: 4}, f, linked)
			require.NoError(t, err)
			t.Logf("%s: %d runs, %d faults met", name, x.States, x.Points)
			require.NoError(t, x.Err(), name)
			require.Positive(t, x.Points, name)
		}
	})
}
