package fuzz_test

import (
	"os"
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// eachMode runs a test in both log modes.
func eachMode(t *testing.T, test func(t *testing.T, mode lsm.LogMode)) {
	t.Run("mapped", func(t *testing.T) { test(t, lsm.LogMapped) })
	t.Run("written", func(t *testing.T) { test(t, lsm.LogWritten) })
}

// sized returns the size of the ordinary form of a test, or of the long one.
func sized(ordinary, atLength int) int {
	switch {
	case long:
		return atLength
	case slow || testing.Short():
		return max(ordinary/5, 1)
	}
	return ordinary
}

// unraced skips a test under the race detector, which would only slow it down: what it sweeps
// over is played by one goroutine beside the store's own, as in the tests that stay. It has
// no short form either.
func unraced(t *testing.T) {
	t.Helper()
	if slow || testing.Short() {
		t.Skip("a sweep: the race detector watches other tests of the same calls")
	}
}

// scored skips a test where LOAM_SCORED tells that the scorecard is run as well: rows of it
// play such histories in greater numbers and cut, change or fail more of what they do.
func scored(t *testing.T, rows string) {
	t.Helper()
	if os.Getenv("LOAM_SCORED") != "" {
		t.Skip("the scorecard plays more of it: " + rows)
	}
}

func record(t *testing.T, s fuzz.Setup, shape fuzz.Shape) *fuzz.Recording {
	t.Helper()
	r, err := fuzz.Record(s, shape)
	require.NoError(t, err)
	t.Logf("seed %d: %+v", s.Seed, r.Reached)
	return r
}

func report(t *testing.T, what string, x fuzz.Explored) {
	t.Helper()
	t.Logf("%s: %d states at %d points", what, x.States, x.Points)
	require.NoError(t, x.Err())
	require.Positive(t, x.States)
}

// explore records one history of a shape in each mode and cuts its power everywhere.
func explore(t *testing.T, seed uint64, shape fuzz.Shape) {
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 4, Cuts: 2}, Limit: sized(1200, 0)}
		report(t, "cut", record(t, setup(t, seed, mode), shape).CutEverywhere(few))
	})
}

func TestPowerCutAtEveryOperation(t *testing.T) {
	scored(t, "R1, R35")
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		for seed := range uint64(sized(1, 10)) {
			r := record(t, setup(t, 2+seed, mode), fuzz.Ordinary(sized(60, 600)))
			report(t, "cut", r.CutEverywhere(fuzz.Cuts{}))
			report(t, "kill", r.KillEverywhere(fuzz.Cuts{}))
		}
	})
}

// Histories of the size of the scorecard's reach what they are meant to reach. How many
// tables there are, and so when the manifest is rolled, depends on the scheduler (a busy
// machine once gave four rolls where nine are usual): the sum over a few histories is
// asked for, as in the scorecard.
func TestOrdinaryHistoriesReachEveryMechanism(t *testing.T) {
	var rolls int64
	for seed := range uint64(3) {
		r := record(t, setup(t, seed, lsm.LogMapped), fuzz.Ordinary(900))
		rolls += r.Rolls
		require.GreaterOrEqual(t, r.Compactions, int64(20))
		require.GreaterOrEqual(t, r.Recycles, int64(5))
		require.Equal(t, 2, r.Reopens)
		require.Positive(t, r.Snapshots)
		require.Positive(t, r.Synced)
		require.Less(t, r.Synced, r.Batches)
	}
	require.GreaterOrEqual(t, rolls, int64(5))
}

func TestPowerCutInsideRecovery(t *testing.T) {
	scored(t, "R2")
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		r := record(t, setup(t, 2, mode), fuzz.Ordinary(60))
		report(t, "second cut", r.CutInRecovery(fuzz.Cuts{Limit: sized(20, 0)}, 150, 2))
		report(t, "third cut", r.CutInRecovery(fuzz.Cuts{Limit: sized(5, 0)}, 400, 3))
	})
}

// What a power cut has taken does not come back when the store goes on.
func TestLostBatchesStayLost(t *testing.T) {
	scored(t, "R4")
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		shape := fuzz.Ordinary(60)
		shape.SyncOneIn = 10
		report(t, "written on", record(t, setup(t, 3, mode), shape).WriteOnAfterCuts(fuzz.Cuts{Limit: sized(50, 0)}, 20))
	})
}

// The tests below are each meant for a planted bug: docs/testing.md says which.

func TestSyncedBatchesSurvivePowerCuts(t *testing.T) {
	explore(t, 4, fuzz.Shape{Batches: 40, SyncOneIn: 2})
}

func TestAcknowledgementsWaitForTheDevice(t *testing.T) {
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		w, err := fuzz.RecordWriters(setup(t, 5, mode), 4, 25)
		require.NoError(t, err)
		report(t, "cut", w.CutEverywhere(fuzz.Cuts{Limit: sized(2000, 0)}))
	})
}

// Nothing is synced but by flushes, so that only tables can keep what they promise.
func TestFlushedTablesAreOnTheDevice(t *testing.T) {
	explore(t, 6, fuzz.Shape{Batches: 40, FlushEvery: 4})
}

func TestNamesOfCompactedTablesAreOnTheDevice(t *testing.T) {
	explore(t, 7, fuzz.Shape{Batches: 40, FlushEvery: 4, CompactEvery: 8})
}

func TestEditsAreOnTheDevice(t *testing.T) {
	explore(t, 8, fuzz.Shape{Batches: 40, FlushEvery: 3, SyncOneIn: 2})
}

// So many flushes that the manifest is rolled several times.
func TestRollsOfTheManifestAreOnTheDevice(t *testing.T) {
	explore(t, 9, fuzz.Shape{Batches: 60, FlushEvery: 1, SyncOneIn: 1})
}

// Memtables fill up by themselves while the log goes on: a flush must not take away log
// that a later memtable needs.
func TestLogOutlivesTheMemtablesItIsNeededFor(t *testing.T) {
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		r := record(t, setup(t, 10, mode), fuzz.Shape{Batches: 150, SyncOneIn: 4, Large: true})
		report(t, "cut", r.CutEverywhere(fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 2, Cuts: 1}, Every: 7, Limit: sized(2000, 0)}))
	})
}

func TestDeletedKeysStayDeleted(t *testing.T) {
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		shape := fuzz.Shape{Batches: 400, Keys: 60, FlushEvery: 4, CompactEvery: 5, Reopens: 2}
		record(t, setup(t, 11, mode), shape)
	})
}

func TestSnapshotsOutliveCompactions(t *testing.T) {
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		shape := fuzz.Shape{Batches: 400, Keys: 60, FlushEvery: 4, CompactEvery: 10, HoldEvery: 8}
		r := record(t, setup(t, 12, mode), shape)
		require.Greater(t, r.Compactions, int64(20))
	})
}

// Writers commit large batches while readers look at all their keys at once.
func TestReadersNeverSeeHalfABatch(t *testing.T) {
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		require.NoError(t, fuzz.ReadBesideWriters(setup(t, 13, mode), 2, sized(60, 600), 200))
	})
}

// The directory of a new store, and one above it, were not synced: a power cut could take
// the whole store away.
func TestDirectoryOfANewStoreIsOnTheDevice(t *testing.T) {
	require.NoError(t, fuzz.CutNewStore("some/where/db"))
}
