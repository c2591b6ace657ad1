package fuzz_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// regression is a history that once failed: a file of testdata/regress, whose comment
// tells the story.
type regression struct {
	seed           uint64
	mode           lsm.LogMode
	batches, times int
	explore        string
}

// parseRegression reads the lines "name value" of a file; those that begin with "#" are
// the story.
func parseRegression(text string) (r regression, err error) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, value, _ := strings.Cut(line, " ")
		switch name {
		case "seed":
			_, err = fmt.Sscan(value, &r.seed)
		case "batches":
			_, err = fmt.Sscan(value, &r.batches)
		case "times":
			_, err = fmt.Sscan(value, &r.times)
		case "explore":
			r.explore = value
		case "mode":
			if r.mode = map[string]lsm.LogMode{"mapped": lsm.LogMapped, "written": lsm.LogWritten}[value]; r.mode == 0 {
				err = fmt.Errorf("no mode is called %q", value)
			}
		default:
			err = fmt.Errorf("nothing is called %q", name)
		}
		if err != nil {
			return r, fmt.Errorf("%q: %w", line, err)
		}
	}
	if r.mode == 0 || r.batches == 0 || r.times == 0 {
		return r, fmt.Errorf("mode, batches and times are needed")
	}
	return r, nil
}

func (r regression) run(t *testing.T) {
	few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 4, Cuts: 2}}
	for i := range sized(r.times, 10*r.times) {
		// One repetition is in the other form than that in which it failed.
		h := record(t, setupIn(t, r.seed, r.mode, i == 1), fuzz.Ordinary(r.batches))
		switch r.explore {
		case "cut":
			report(t, "cut", h.CutEverywhere(few))
		case "kill":
			report(t, "kill", h.KillEverywhere(few))
		case "recovery":
			report(t, "second cut", h.CutInRecovery(few, 40, 2))
		case "written-on":
			report(t, "written on", h.WriteOnAfterCuts(few, 20))
		default:
			require.Fail(t, "unknown exploration", r.explore)
		}
	}
}

func TestHistoriesThatOnceFailed(t *testing.T) {
	files, err := filepath.Glob("testdata/regress/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			r, err := parseRegression(string(text))
			require.NoError(t, err)
			r.run(t)
		})
	}
}

func TestRegressionFilesAreChecked(t *testing.T) {
	for _, text := range []string{"", "seed x", "mode other", "speed 1", "mode mapped\nbatches 1"} {
		_, err := parseRegression(text)
		require.Error(t, err, "%q", text)
	}
}
