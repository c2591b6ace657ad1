package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

// asProgram is set in the environment of a test binary that is to be the program.
const asProgram = "LSMBENCH_AS_PROGRAM"

// TestMain lets the test binary stand in for the program: every measurement starts its
// own executable as a child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == taskCommand || os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// runLine runs a command line.
func runLine(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := command(t.Context(), args, &out)
	return out.String(), err
}

// tiny are flags that make any run short.
func tiny(t *testing.T, more ...string) []string {
	return append([]string{
		"-n", "500", "-seconds", "0.02", "-warm", "0.01", "-rest", "0", "-memtable", "1", "-budget", "16", "-dir", t.TempDir(),
	}, more...)
}

// Each engine runs every other workload, and the others beside them: most of the time they
// wait for the device, or for an engine that closes slowly. TestLoadVerifiesOnEveryEngine has all
// engines in one run.
func TestEveryWorkloadRunsOnEveryEngine(t *testing.T) {
	all, err := chooseWorkloads("all", false)
	require.NoError(t, err)
	require.Len(t, all, len(workload.All()))
	var names [2][]string
	for i, w := range all {
		names[i%2] = append(names[i%2], w.Name)
	}
	for _, e := range engine.All() {
		t.Run(e.Name(), func(t *testing.T) {
			t.Parallel()
			for i := range names {
				t.Run(names[i][0], func(t *testing.T) {
					t.Parallel()
					runWorkloads(t, e.Name(), names[i])
				})
			}
		})
	}
}

func runWorkloads(t *testing.T, name string, workloads []string) {
	dir := t.TempDir()
	lines := filepath.Join(t.TempDir(), "results.jsonl")
	args := []string{"bench", "-engines", name, "-workloads", strings.Join(workloads, ","), "-out", lines}
	_, err := runLine(t, append(args, tiny(t, "-dir", dir)...)...)
	require.NoError(t, err)
	set, err := result.ReadFile(lines)
	require.NoError(t, err)
	ran := map[string]bool{}
	for _, r := range set.Runs {
		ran[r.Workload] = true
		require.Equal(t, name, r.Engine)
		require.Positive(t, r.Ops, r.Workload)
		require.Positive(t, r.Rate, r.Workload)
		require.Equal(t, r.Reads, r.Settled == 0, r.Workload)
		require.Positive(t, r.TableBytes+r.LogBytes)
		if r.Engine == "loam" {
			require.Empty(t, r.Note, "%s has a stand-in", r.Workload)
		}
		if r.Engine == "pebble" && strings.HasPrefix(r.Workload, "scope") {
			require.Contains(t, r.Note, "a scope is a prefix of keys, dropped as a range")
		}
	}
	// Not every engine can do these.
	some := map[string][]string{"verifychecksum": {"bbolt"}, "compact": {"loam"}, "diff": {"loam"}, "watchfanout": {"loam"}}
	for _, w := range workloads {
		if can, ok := some[w]; !ok || slices.Contains(can, name) {
			require.True(t, ran[w], w)
		}
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "the temporary directory stays behind")
}

// A thousand records of 16 KiB are more than Badger takes at once: its stores of large values
// could not be filled.
func TestStoresOfLargeValuesAreFilled(t *testing.T) {
	_, err := runLine(t, append([]string{"bench", "-engines", "all", "-workloads", "readrandom,compact", "-value", "16384"}, tiny(t, "-n", "60")...)...)
	require.NoError(t, err)
}

func TestRunsCanBeShapedByFlags(t *testing.T) {
	lines := filepath.Join(t.TempDir(), "results.jsonl")
	args := append([]string{
		"bench", "-engines", "loam", "-workloads", "fillrandom@3 readrandom read=50,update=30,insert=10,delete=5,scan=5", "-repeats", "2",
		"-key", "uniform:16-40", "-value", "lognormal:100,0.5", "-dist", "hotspot:0.2,0.8", "-rate", "5000", "-out", lines,
	}, tiny(t)...)
	_, err := runLine(t, args...)
	require.NoError(t, err)
	set, err := result.ReadFile(lines)
	require.NoError(t, err)
	require.Len(t, set.Runs, 6)
	rows := result.Rows(set.Runs)
	require.Len(t, rows, 3)
	require.Equal(t, 2, rows[0].Repeats)
	require.EqualValues(t, 500, rows[0].Ops)
	require.LessOrEqual(t, rows[0].Rate, 5500.0, "the rate is fixed")
	require.Equal(t, "read=50,update=30,insert=10,delete=5,scan=5", rows[2].Workload)
	require.Greater(t, len(rows[2].Latencies), 1)
	require.Contains(t, set.Environment.Flags, "-dist hotspot:0.2,0.8")
}

func TestLoadVerifiesOnEveryEngine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(file, jsonLines(500), 0o600))
	for _, compression := range engine.Compressions {
		out, err := runLine(t, "load", "-engines", "all", "-compress", compression, "-dir", t.TempDir(), file)
		require.NoError(t, err)
		for _, step := range []string{"load", "get", "scan", "reverse"} {
			require.Contains(t, out, "events.jsonl "+step)
		}
	}
	out, err := runLine(t, "load", "-compress", "all", "-dir", t.TempDir(), "-memtable", "1", "-repeats", "2", file)
	require.NoError(t, err)
	for _, compression := range engine.Compressions {
		require.Contains(t, out, "loam "+compression+" ")
	}
	for _, step := range []string{"load", "get", "scan", "reverse", "random cold", "random warm", "scan warm"} {
		require.Regexp(t, "events.jsonl "+step+" +loam none", out)
	}
	out, err = runLine(t, "load", "-engines", "loam", "-kill", "-dir", t.TempDir(), file)
	require.NoError(t, err)
	require.Contains(t, out, "killed with")
}

// jsonLines makes n lines with ids of their own.
func jsonLines(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"user-%04d","n":%d}`+"\n", i*7%n, i)
	}
	return []byte(b.String())
}

// Every run has a profile of its own, each whole.
func TestProfilesOfRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	_, err := runLine(t, append([]string{"bench", "-engines", "loam", "-workloads", "fillseq,readrandom@2", "-profile", dir}, tiny(t)...)...)
	require.NoError(t, err)
	for _, name := range []string{"loam-fillseq-0.pprof", "loam-readrandom@2-0.pprof"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(text, []byte{0x1f, 0x8b}), "profiles are compressed: %x", text[:min(len(text), 4)])
	}
}

func TestResultsAreKeptReportedAndCompared(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"old.jsonl", "new.jsonl"} {
		_, err := runLine(t, append([]string{"bench", "-engines", "loam,pebble", "-workloads", "fillseq,readrandom", "-out", file(name)}, tiny(t)...)...)
		require.NoError(t, err)
	}
	out, err := runLine(t, "report", file("old.jsonl"), "-html", file("report.html"), "-gobench", file("bench.txt"), "-wide")
	require.NoError(t, err)
	require.Contains(t, out, "fillseq")
	html, err := os.ReadFile(file("report.html"))
	require.NoError(t, err)
	require.Contains(t, string(html), "<svg")
	bench, err := os.ReadFile(file("bench.txt"))
	require.NoError(t, err)
	require.Contains(t, string(bench), "ops/s")

	out, err = runLine(t, "compare", file("old.jsonl"), file("old.jsonl"), "--fail-over", "10%")
	require.NoError(t, err)
	require.Contains(t, out, "readrandom")
	set, err := result.ReadFile(file("new.jsonl"))
	require.NoError(t, err)
	old, err := result.ReadFile(file("old.jsonl"))
	require.NoError(t, err)
	set.Runs = old.Runs
	for i := range set.Runs {
		set.Runs[i].Rate /= 2
	}
	require.NoError(t, writeFile(file("slow.jsonl"), func(w io.Writer) error { return set.Write(w) }))
	_, err = runLine(t, "compare", file("old.jsonl"), file("slow.jsonl"))
	require.NoError(t, err, "nothing fails unless told to")
	for _, over := range []string{"10%", "10", "49.9%"} {
		_, err = runLine(t, "compare", file("old.jsonl"), file("slow.jsonl"), "--fail-over", over)
		require.ErrorContains(t, err, "rows are slower by more than "+strings.TrimSuffix(over, "%")+"%")
		require.Equal(t, 1, exitStatus(err, false, io.Discard))
	}
	_, err = runLine(t, "compare", file("old.jsonl"), file("slow.jsonl"), "--fail-over", "50%")
	require.NoError(t, err)

	// Two files without a common row compared as having no regression.
	for i := range set.Runs {
		set.Runs[i].Workload += "@4"
	}
	require.NoError(t, writeFile(file("other.jsonl"), func(w io.Writer) error { return set.Write(w) }))
	_, err = runLine(t, "compare", file("old.jsonl"), file("other.jsonl"), "--fail-over", "10%")
	require.ErrorContains(t, err, "have no row in common")
	require.Equal(t, 2, exitStatus(err, false, io.Discard))
	_, err = runLine(t, "report", file("old.jsonl"), "-reference", "badger")
	require.ErrorContains(t, err, `the reference "badger" is not among the engines`)
}
