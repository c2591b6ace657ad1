package fuzz_test

import (
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// A block that was written to the place of another is sound by itself: only its place, or
// its file, gives it away.
func TestMisdirectedBlocksAreDetected(t *testing.T) {
	unraced(t)
	d, err := fuzz.NewAligned(setupIn(t, 50, lsm.LogWritten, false), sized(6, 12))
	require.NoError(t, err)
	report(t, "blocks", d.MisdirectBlocks(sized(5, 1)))
	report(t, "sectors", d.MisdirectSectors(sized(22, 1)))
	// Blocks of encrypted tables are found by those who have their key: sstable's own tests exchange them.
	d, err = fuzz.NewDamaged(setupIn(t, 50, lsm.LogWritten, true), fuzz.Shape{Batches: 20, SyncOneIn: 2, FlushEvery: 5}, true)
	require.NoError(t, err)
	report(t, "encrypted sectors", d.MisdirectSectors(sized(97, 1)))
}

// Verify finds damage where nobody has read.
func TestVerifyFindsEveryDamage(t *testing.T) {
	unraced(t)
	for _, clean := range []bool{true, false} {
		d, err := fuzz.NewDamaged(setupIn(t, 51, lsm.LogMapped, clean), fuzz.Shape{
			Batches: 40, SyncOneIn: 3, FlushEvery: 15, CompactEvery: 30,
		}, clean)
		require.NoError(t, err)
		every := 101
		if long {
			every = 3
		}
		report(t, "bytes", d.VerifyBytes(every))
		report(t, "cuts", d.VerifyCuts(7*every))
		report(t, "misdirected", d.VerifyMisdirected(5*every))
	}
}

func TestSnapshotsHeldForLongDoNotChange(t *testing.T) {
	scored(t, "R20")
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		x, err := fuzz.HoldSnapshots(setup(t, 52, mode), sized(100, 1000), sized(30, 100))
		require.NoError(t, err)
		t.Logf("%d snapshots held over %d compactions", x.States, x.Points)
		require.NoError(t, x.Err())
	})
}
