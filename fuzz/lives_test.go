package fuzz_test

import (
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// A process was killed, or failed, and the next one on the same machine trusted what it
// read: a CURRENT whose change was not durable, a record that nobody had synced. No
// harness cut the power after two processes on one machine, and none found it.
func TestPowerCutAfterAKillAndAReopening(t *testing.T) {
	scored(t, "R2")
	unraced(t)
	eachMode(t, func(t *testing.T, mode lsm.LogMode) {
		shape := fuzz.Shape{Batches: 30, SyncOneIn: 3, FlushEvery: 3, CompactEvery: 20, LongKeys: true}
		few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 2, Cuts: 2}}
		for _, end := range fuzz.Ends {
			lives := sized(4, 600)
			if end == fuzz.KilledInManifest {
				lives = sized(10, 600)
			}
			x, err := fuzz.CutAfterReopening(setup(t, 14, mode), shape, end, lives, few)
			require.NoError(t, err)
			report(t, end.String(), x)
		}
	})
}
