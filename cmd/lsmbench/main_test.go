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

// TestMain lets the test binary stand in for the program: every measurement starts its
// own executable as a child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == taskCommand {
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

func TestEveryWorkloadRunsOnEveryEngine(t *testing.T) {
	dir := t.TempDir()
	lines := filepath.Join(t.TempDir(), "results.jsonl")
	_, err := runLine(t, append([]string{"bench", "-engines", "all", "-workloads", "all", "-out", lines}, tiny(t, "-dir", dir)...)...)
	require.NoError(t, err)
	set, err := result.ReadFile(lines)
	require.NoError(t, err)
	ran := map[string]bool{}
	for _, r := range set.Runs {
		ran[r.Workload+" "+r.Engine] = true
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
	for _, w := range workload.All() {
		for _, e := range engine.All() {
			if !slices.Contains([]string{"verifychecksum", "compact", "diff", "watchfanout"}, w.Name) { // which not every engine can
				require.True(t, ran[w.Name+" "+e.Name()], "%s on %s", w.Name, e.Name())
			}
		}
	}
	require.True(t, ran["verifychecksum bbolt"])
	require.True(t, ran["compact loam"])
	require.True(t, ran["diff loam"])
	require.True(t, ran["watchfanout loam"])
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "the temporary directory stays behind")
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
	_, err = runLine(t, "compare", file("old.jsonl"), file("slow.jsonl"), "--fail-over", "10%")
	require.ErrorContains(t, err, "fell by more than 10%")
}

func TestWrongArgumentsAreExplained(t *testing.T) {
	wrong := map[string][]string{
		"command \"lode\" is unknown":         {"lode"},
		"engine \"rocks\" is unknown":         {"bench", "-engines", "rocks"},
		"named twice":                         {"bench", "-engines", "pebble,pebble"},
		"workload \"fillall\" is unknown":     {"bench", "-workloads", "fillall"},
		"no number of goroutines":             {"bench", "-workloads", "fillseq@x"},
		"the shares make 90":                  {"bench", "-workloads", "read=90"},
		"operation \"peek\" is unknown":       {"bench", "-workloads", "peek=100"},
		"compression \"lzo\" is unknown":      {"bench", "-compress", "lzo"},
		"format \"xml\" is unknown":           {"load", "-format", "xml", "main.go"},
		"only load takes several":             {"bench", "-compress", "none,s2"},
		"compression \"lz4\" is unknown":      {"load", "-compress", "s2,lz4", "main.go"},
		"-kill takes one compression":         {"load", "-kill", "-compress", "all", "main.go"},
		"-kill says what it found":            {"load", "-kill", "-json", "main.go"},
		"argument \"fillseq\" is not":         {"bench", "fillseq"},
		"records and goroutines must be":      {"bench", "-n", "0"},
		"sizes must be positive":              {"bench", "-memtable", "0"},
		"the reference \"bbolt\" is not":      {"bench", "-engines", "loam", "-reference", "bbolt"},
		"report takes files":                  {"report"},
		"compare takes two files":             {"compare", "one"},
		"\"much\" is no percentage":           {"compare", "a", "b", "--fail-over", "much"},
		"task is for processes that lsmbench": {"task"},
		"dump takes one directory":            {"dump"},
		"-repeats must be at least 1":         {"bench", "-repeats", "0"},
	}
	if _, err := engine.Find("rocksdb"); err != nil {
		wrong["build with -tags rocksdb"] = []string{"bench", "-engines", "rocksdb"}
	}
	for want, args := range wrong {
		_, err := runLine(t, args...)
		require.ErrorContains(t, err, want)
	}
}

func TestHelpListsEveryWorkload(t *testing.T) {
	out, err := runLine(t, "--help")
	require.NoError(t, err)
	for _, w := range workload.All() {
		require.Contains(t, out, "  "+w.Name+" ")
	}
}
