//go:build mutants

package memtable_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/mutant"
)

// runWith runs one test of this binary with a planted bug.
func runWith(t *testing.T, bug mutant.Name, test string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), "LOAM_MUTANT="+string(bug))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Run with: go test -race -tags mutants ./memtable
func TestTheRaceDetectorSeesAPlantedRaceInTheArena(t *testing.T) {
	if !raceEnabled {
		t.Skip("needs -race")
	}
	out, err := runWith(t, mutant.PlainPublish, "TestReadersSeeWhatWasPublishedBefore")
	require.Error(t, err, "the planted race went unnoticed")
	require.Contains(t, out, "DATA RACE")
}

// Run with: go test -tags invariants,mutants ./memtable
func TestInterleavingsFindAPlantedEarlyPublication(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("needs -tags invariants or -race")
	}
	out, err := runWith(t, mutant.EarlyPublish, "TestEveryInterleavingOfOneReaderAndTheWriterIsExplained")
	require.Error(t, err, "the planted bug went unnoticed")
	require.Contains(t, out, "no moment explains what the reader saw")
}
