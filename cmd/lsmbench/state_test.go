package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

// tinyState are flags that make any run of documents short.
func tinyState(t *testing.T, more ...string) []string {
	return append([]string{
		"state", "-n", "300", "-seconds", "0.02", "-warm", "0.01", "-rest", "0", "-memtable", "1", "-budget", "16", "-dir", t.TempDir(),
	}, more...)
}

// Every engine runs them with one of its codecs: package engine tests it with both.
func TestEveryWorkloadOfDocumentsRunsOnEveryStore(t *testing.T) {
	for _, name := range []string{"loam", "bbolt-json", "badger-msgpack", "sqlite-json"} {
		if _, err := engine.FindDocuments(name); err != nil {
			continue // not in this build
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runDocuments(t, name)
		})
	}
}

func runDocuments(t *testing.T, name string) {
	dir := t.TempDir()
	lines := filepath.Join(t.TempDir(), "results.jsonl")
	out, err := runLine(t, tinyState(t, "-engines", name, "-workloads", "all", "-out", lines, "-dir", dir, "-value", "400")...)
	require.NoError(t, err)
	set, err := result.ReadFile(lines)
	require.NoError(t, err)
	ran := map[string]bool{}
	for _, r := range set.Runs {
		ran[r.Workload] = true
		require.Equal(t, "documents of 400 bytes", r.Group)
		require.Equal(t, name, r.Engine)
		require.Positive(t, r.Ops, r.Workload)
		require.Positive(t, r.Rate, r.Workload)
		require.Equal(t, r.Workload != "memory", r.TableBytes+r.LogBytes > 0, r.Workload)
	}
	for _, w := range workload.AllDocuments() {
		if w.Name == "classes" || w.Name == "memory" {
			require.Equal(t, name == "loam", ran[w.Name], w.Name)
			continue
		}
		require.True(t, ran[w.Name], w.Name)
	}
	if name == "loam" {
		require.Contains(t, out, "get: a read within 1.00ms is promised, kept")
		require.Contains(t, out, "setsync: a synced write within 5.00ms is promised, ")
		require.Contains(t, out, "memory: at least 100k operations a second in memory are promised, ")
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "the temporary directory stays behind")
}

// Several goroutines meet at lists, counters and transfers, repeats share a store, and all of it
// is encrypted and synced: the answers are right even so.
func TestDocumentsOfSeveralGoroutinesAndRepeats(t *testing.T) {
	t.Parallel()
	lines := filepath.Join(t.TempDir(), "results.jsonl")
	_, err := runLine(t, tinyState(t, "-engines", "loam", "-workloads", "get,patch@3,append@3,increment@3,cas@3,txn@3,memory",
		"-repeats", "2", "-sync", "-encrypt", "-value", "uniform:200-2000", "-dist", "zipfian", "-out", lines)...)
	require.NoError(t, err)
	set, err := result.ReadFile(lines)
	require.NoError(t, err)
	require.Len(t, set.Runs, 7*2)
	_, err = runLine(t, "compare", lines, lines, "--fail-over", "10%")
	require.NoError(t, err)
	out, err := runLine(t, "report", lines)
	require.NoError(t, err)
	require.Contains(t, out, "increment@3")
}

func TestDocumentsHaveATableForEachSize(t *testing.T) {
	o := &options{params: stateParams}
	var err error
	o.choices, err = chooseWorkloads("get,increment,cas@2", true)
	require.NoError(t, err)
	groups := stateGroups(o, false)
	require.Len(t, groups, 2)
	require.Len(t, groups[0].choices, 3)
	require.Len(t, groups[1].choices, 2, "a counter is as long as it is")
	require.Equal(t, "2048", groups[1].params.Value)
	require.EqualValues(t, largeDocuments, groups[1].params.Records)
	require.Len(t, stateGroups(o, true), 1)
	o.choices = o.choices[1:2]
	require.Len(t, stateGroups(o, false), 1)
}

func TestWhatIsPromisedIsHeldAgainstWhatIsMeasured(t *testing.T) {
	row := func(engine, workload string, rate float64, p99 time.Duration) result.Run {
		return result.Run{Group: "g", Engine: engine, Workload: workload, Rate: rate, Latencies: []result.Latency{{P99: p99}}}
	}
	require.Equal(t, []string{
		"g, get: a read within 1.00ms is promised, kept: 99% within 2.00µs",
		"g, setsync@4: a synced write within 5.00ms is promised, not kept: 99% within 6.00ms",
		"g, memory: at least 100k operations a second in memory are promised, not kept: 99.0k",
	}, promised([]result.Run{
		row("loam", "get", 1e5, 2*time.Microsecond), row("bbolt-json", "get", 1e5, time.Second),
		row("loam", "setsync@4", 100, 6*time.Millisecond), row("loam", "memory", 99e3, 1), row("loam", "set", 1, time.Hour),
	}))
}
