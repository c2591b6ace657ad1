package fuzz_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// eachCopy runs a test with tables linked, and copied.
func eachCopy(t *testing.T, test func(t *testing.T, linked bool)) {
	t.Run("linked", func(t *testing.T) { test(t, true) })
	t.Run("copied", func(t *testing.T) { test(t, false) })
}

// Checkpoint is called while batches are committed, and memtables flushed and compacted.
func TestPowerCutAtEveryOperationOfACheckpoint(t *testing.T) {
	scored(t, "R3")
	unraced(t)
	eachCopy(t, func(t *testing.T, linked bool) {
		for seed := range uint64(sized(2, 20)) {
			mode := []lsm.LogMode{lsm.LogMapped, lsm.LogWritten}[seed%2]
			c, err := fuzz.RecordCheckpoint(setupIn(t, 20+seed, mode, linked),
				fuzz.Shape{Batches: 30, SyncOneIn: 3, FlushEvery: 5, CompactEvery: 9}, linked)
			require.NoError(t, err)
			few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 4, Cuts: 1}, Every: sized(3, 1)}
			report(t, "cut", c.CutCheckpoint(few))
		}
	})
}

// A process is killed within Checkpoint, another one opens what is there and commits to it.
func TestPowerCutAfterAKilledCheckpoint(t *testing.T) {
	scored(t, "R3")
	unraced(t)
	eachCopy(t, func(t *testing.T, linked bool) {
		few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 6, Cuts: 2}}
		x, err := fuzz.KillCheckpoint(setupIn(t, 23, lsm.LogWritten, linked), fuzz.Shape{Batches: 10, FlushEvery: 3}, linked, few)
		require.NoError(t, err)
		report(t, "killed", x)
	})
}

// Checkpoint fails and clears up, and the power is cut meanwhile or later.
func TestPowerCutAfterAFailedCheckpoint(t *testing.T) {
	unraced(t)
	eachCopy(t, func(t *testing.T, linked bool) {
		few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 4, Cuts: 1}, Every: 12}
		if long {
			few.Every = 1
		}
		x, err := fuzz.CutFailedCheckpoint(setupIn(t, 25, lsm.LogWritten, linked), fuzz.Shape{Batches: 8, SyncOneIn: 2, FlushEvery: 3}, linked, few)
		require.NoError(t, err)
		report(t, "failed and cut", x)
	})
}

// Every call that Checkpoint makes fails, in every way.
func TestFaultAtEveryCallOfACheckpoint(t *testing.T) {
	unraced(t)
	eachCopy(t, func(t *testing.T, linked bool) {
		for name, f := range map[string]fuzz.Faulty{
			"every error": fuzz.EveryError, "any call": fuzz.AnyCall, "any sync": fuzz.AnySync, "any read": fuzz.AnyRead,
		} {
			if f.Product && !long {
				f.Every = 7 // each call has many runs
			}
			x, err := fuzz.SweepCheckpoint(setupIn(t, 24, lsm.LogMapped, linked), fuzz.Shape{Batches: 12, SyncOneIn: 4, FlushEvery: 4}, f, linked)
			require.NoError(t, err)
			t.Logf("%s: %d runs, %d faults met", name, x.States, x.Points)
			require.NoError(t, x.Err(), name)
			if name != "any read" {
				require.Positive(t, x.Points, name)
			}
		}
	})
}
