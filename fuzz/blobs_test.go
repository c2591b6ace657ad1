package fuzz_test

import (
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// blobbed is a set-up in which most values are in blob files, which are kept to 120%.
func blobbed(s fuzz.Setup) fuzz.Setup {
	s.Blobs = true
	return s
}

// Nothing is synced but by flushes and compactions, so that only tables and their blob files
// can keep what they promise.
func TestBlobFilesAreOnTheDevice(t *testing.T) {
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		r, err := fuzz.Record(blobbed(setup(t, 21, mode)), fuzz.Shape{Batches: 30, FlushEvery: 4, CompactEvery: 8})
		require.NoError(t, err)
		few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 4, Cuts: 2}, Limit: sized(700, 0)}
		report(t, "cut", r.CutEverywhere(few))
	})
}

func TestPowerCutsAndKillsWithBlobFiles(t *testing.T) {
	unraced(t)
	for seed := range uint64(sized(1, 6)) {
		r, err := fuzz.Record(blobbed(setupIn(t, 30+seed, lsm.LogWritten, false)), fuzz.Ordinary(sized(50, 500)))
		require.NoError(t, err)
		require.Positive(t, r.Blobs)
		few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 3, Cuts: 1}, Limit: sized(700, 0)}
		report(t, "cut", r.CutEverywhere(few))
		report(t, "kill", r.KillEverywhere(fuzz.Cuts{Limit: sized(200, 0)}))
	}
}

func TestNothingIsLostOrWrongWhateverCallOfABlobFileFails(t *testing.T) {
	unraced(t)
	files := fuzz.Faulty{Kinds: vfs.OpAll &^ (vfs.OpReads | vfs.OpClose), Glob: "*.blob", Effects: []vfs.Effect{vfs.Fail, vfs.FailAfter, vfs.Short, vfs.Drop}}
	reads := fuzz.Faulty{Kinds: vfs.OpReads, Glob: "*.blob", Effects: []vfs.Effect{vfs.Fail, vfs.Short, vfs.Flip}}
	for name, f := range map[string]fuzz.Faulty{"any call": files, "any read": reads} {
		f.Limit, f.Every = 40, 6
		if long {
			f.Limit, f.Every = 0, 1
		}
		x, err := fuzz.SweepFaults(blobbed(setupIn(t, 40, lsm.LogWritten, name == "any read")), fuzz.Ordinary(60), f)
		require.NoError(t, err)
		t.Logf("%s: %d runs, %d faults met", name, x.States, x.Points)
		require.NoError(t, x.Err(), name)
		require.Positive(t, x.Points, name)
	}
}

func TestWritesOfBlobFilesResumeWhenSpaceReturns(t *testing.T) {
	for _, other := range []bool{false, true} {
		x, err := fuzz.FillAndFree(blobbed(setupIn(t, 50, lsm.LogWritten, other)), 4)
		require.NoError(t, x.Err())
		require.NoError(t, err)
		require.Positive(t, x.Points)
	}
}

func TestCheckpointsWithBlobFiles(t *testing.T) {
	unraced(t)
	for _, linked := range []bool{true, false} {
		c, err := fuzz.RecordCheckpoint(blobbed(setupIn(t, 60, lsm.LogWritten, linked)), fuzz.Shape{Batches: 30, FlushEvery: 8, SyncOneIn: 3}, linked)
		require.NoError(t, err)
		few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 3, Cuts: 1}, Limit: sized(120, 0)}
		report(t, "cut", c.CutCheckpoint(few))
	}
}

func TestDamagedStoresWithBlobFiles(t *testing.T) {
	unraced(t)
	every := 1597
	if long {
		every = 7
	}
	for _, other := range []bool{false, true} {
		s := blobbed(setupIn(t, 70, lsm.LogWritten, other))
		d, err := fuzz.NewDamaged(s, fuzz.Shape{Batches: 30, SyncOneIn: 3, FlushEvery: 8, CompactEvery: 20}, true)
		require.NoError(t, err)
		x := d.SalvageBytes(every)
		x.Add(d.SalvageCuts(5 * every))
		t.Logf("%d damages, %d found", x.States, x.Points)
		require.NoError(t, x.Err())
		require.Positive(t, x.Points)
	}
}
