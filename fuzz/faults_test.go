package fuzz_test

import (
	"os"
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// long makes the harnesses as large as the scorecard's full lane.
var long = os.Getenv("LOAM_LONG") != ""

func TestNothingIsLostOrWrongWhateverCallFails(t *testing.T) {
	scored(t, "R7, R8, R9")
	for name, f := range map[string]fuzz.Faulty{
		"every error": fuzz.EveryError, "any call": fuzz.AnyCall, "any sync": fuzz.AnySync, "any read": fuzz.AnyRead, "any flip": fuzz.AnyFlip,
	} {
		for _, mode := range []lsm.LogMode{lsm.LogMapped, lsm.LogWritten} {
			f.Limit = 150
			switch {
			case long:
				f.Limit = 0
			case testing.Short():
				f.Limit = 30
			}
			shape := fuzz.Ordinary(60)
			f.Every = 7
			if f.Product {
				f.Every = 70 // each call has many runs
			}
			x, err := fuzz.SweepFaults(setup(t, 2, mode), shape, f)
			require.NoError(t, err)
			t.Logf("%s, mode %d: %d runs, %d faults met", name, mode, x.States, x.Points)
			require.NoError(t, x.Err(), name)
			require.Positive(t, x.Points, name)
		}
	}
}

func TestWritesResumeWhenSpaceReturns(t *testing.T) {
	scored(t, "R10")
	for _, mode := range []lsm.LogMode{lsm.LogMapped, lsm.LogWritten} {
		x, err := fuzz.FillAndFree(setup(t, 3, mode), 20)
		require.NoError(t, x.Err())
		require.NoError(t, err)
		t.Logf("mode %d: %d rounds, %d writes refused for lack of space", mode, x.States, x.Points)
		require.Positive(t, x.Points)
	}
}

func TestDamagedStoresAreVerifiedAndSalvaged(t *testing.T) {
	unraced(t)
	every := 199
	if long {
		every = 7
	}
	for _, clean := range []bool{true, false} {
		d, err := fuzz.NewDamaged(setupIn(t, 6, lsm.LogWritten, clean), fuzz.Shape{
			Batches: 40, SyncOneIn: 3, FlushEvery: 15, CompactEvery: 30,
		}, clean)
		require.NoError(t, err)
		x := d.SalvageBytes(every)
		x.Add(d.SalvageCuts(5 * every))
		t.Logf("clean %v: %d damages, %d found", clean, x.States, x.Points)
		require.NoError(t, x.Err())
		require.Positive(t, x.Points)
	}
}

func TestDamageIsDetectedOrHarmless(t *testing.T) {
	scored(t, "R13, R14, R34")
	unraced(t)
	every := 23
	if long {
		every = 1
	}
	for _, mode := range []lsm.LogMode{lsm.LogMapped, lsm.LogWritten} {
		for _, clean := range []bool{true, false} {
			d, err := fuzz.NewDamaged(setup(t, 5, mode), fuzz.Shape{
				Batches: 40, SyncOneIn: 3, FlushEvery: 15, CompactEvery: 30,
			}, clean)
			require.NoError(t, err)
			x := d.EveryByte(every)
			t.Logf("mode %d, clean %v: %d bytes, %d damages, %d detected", mode, clean, d.Bytes(), x.States, x.Points)
			require.NoError(t, x.Err())
			require.Positive(t, x.Points)
			x = d.EveryCut(101)
			t.Logf("mode %d, clean %v: %d cuts and swaps, %d detected", mode, clean, x.States, x.Points)
			require.NoError(t, x.Err())
		}
	}
}
