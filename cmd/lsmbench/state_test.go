package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// Package engine tests every operation on every store, with both codecs, and package workload what each
// workload finds out. Here each runs on Loam and on one peer, and on those that are slow to settle the
// ones that take different ways.
func TestWorkloadsOfDocumentsRunOnEveryStore(t *testing.T) {
	all := []string{}
	for _, w := range workload.AllDocuments() {
		if !strings.HasSuffix(w.Name, "sync") || w.Name == "setsync" {
			all = append(all, w.Name)
		}
	}
	loamAlone := []string{"hooks", "classes", "memory"}
	some := []string{"set", "get", "list", "txn"}
	for name, asked := range map[string][]string{"loam": append(all, "hookssync"), "bbolt-json": all, "badger-msgpack": some, "sqlite-json": some} {
		if _, err := engine.FindDocuments(name); err != nil {
			continue // not in this build
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := slices.DeleteFunc(slices.Clone(asked), func(w string) bool { return name != "loam" && slices.Contains(loamAlone, w) })
			runDocuments(t, name, asked, want)
		})
	}
}

func runDocuments(t *testing.T, name string, asked, want []string) {
	dir := t.TempDir()
	lines := filepath.Join(t.TempDir(), "results.jsonl")
	out, err := runLine(t, tinyState(t, "-engines", name, "-workloads", strings.Join(asked, ","), "-out", lines, "-dir", dir, "-value", "400")...)
	require.NoError(t, err)
	set, err := result.ReadFile(lines)
	require.NoError(t, err)
	var ran []string
	for _, r := range set.Runs {
		ran = append(ran, r.Workload)
		require.Equal(t, "documents of 400 bytes", r.Group)
		require.Equal(t, name, r.Engine)
		require.Positive(t, r.Ops, r.Workload)
		require.Positive(t, r.Rate, r.Workload)
		require.Equal(t, r.Workload != "memory", r.TableBytes+r.LogBytes > 0, r.Workload)
	}
	require.Equal(t, want, ran)
	if name == "loam" {
		require.Contains(t, out, "get: a read within 1.00ms is promised, ")
		require.Contains(t, out, "setsync: a synced write within 5.00ms is promised, ")
		require.Contains(t, out, "memory: at least 100k operations a second in memory are promised, ")
		require.Contains(t, out, "hooks: hooks add ")
		require.Contains(t, out, "hookssync: hooks that add 5% to a synced write at most are promised, ")
		require.NotContains(t, out, "hot get within", "nothing is promised of documents of 400 bytes")
		require.Contains(t, out, "classes: a write takes standard ")
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "the temporary directory stays behind")
}

// Several goroutines meet at lists, counters and transfers, repeats share a store, and all of it is
// synced: the answers are right even so.
func TestDocumentsOfSeveralGoroutinesAndRepeats(t *testing.T) {
	t.Parallel()
	lines := filepath.Join(t.TempDir(), "results.jsonl")
	_, err := runLine(t, tinyState(t, "-engines", "loam", "-workloads", "get,append@3,increment@3,cas@3,txn@3",
		"-repeats", "2", "-sync", "-value", "uniform:200-2000", "-dist", "zipfian", "-out", lines)...)
	require.NoError(t, err)
	set, err := result.ReadFile(lines)
	require.NoError(t, err)
	require.Len(t, set.Runs, 5*2)
	_, err = runLine(t, "compare", lines, lines, "--fail-over", "10%")
	require.NoError(t, err)
	out, err := runLine(t, "report", lines)
	require.NoError(t, err)
	require.Contains(t, out, "increment@3")
}

func TestDocumentsInClearAndEncrypted(t *testing.T) {
	t.Parallel()
	lines := filepath.Join(t.TempDir(), "results.jsonl")
	out, err := runLine(t, tinyState(t, "-engines", "loam,bbolt-json", "-workloads", "get,patch@3,memory", "-encrypt", "-value", "300", "-out", lines)...)
	require.NoError(t, err)
	require.Contains(t, out, "documents of 300 bytes, encryption costs loam of its rate: get ")
	set, err := result.ReadFile(lines)
	require.NoError(t, err)
	var ran []string
	for _, r := range set.Runs {
		require.Equal(t, "loam", r.Engine, "bbolt does not encrypt")
		ran = append(ran, r.Group+": "+r.Workload)
	}
	const plain, encrypted = "documents of 300 bytes, in clear: ", "documents of 300 bytes, encrypted: "
	require.Equal(t, []string{plain + "get", plain + "patch@3", plain + "memory", encrypted + "get", encrypted + "patch@3", encrypted + "memory"}, ran)
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
	kinds := func(workload string, first, second time.Duration) result.Run {
		return result.Run{Group: "g", Engine: "loam", Workload: workload, Latencies: []result.Latency{{Kind: "standard", P50: first}, {Kind: "trusted", P50: second}}}
	}
	require.Equal(t, []string{
		"g, get: a read within 1.00ms is promised, kept: 99% within 2.00µs",
		"g, setsync@4: a synced write within 5.00ms is promised, not kept: 99% within 6.00ms",
		"g, memory: at least 100k operations a second in memory are promised, not kept: 99.0k",
		"g, hooks: hooks add 50.0%, 500 ns to a write",
		"g, hookssync: hooks that add 5% to a synced write at most are promised, kept: 1.0%, 10000 ns",
		"g, hookssync@2: hooks that add 5% to a synced write at most are promised, not kept: 10.0%, 100000 ns",
		"g, hooks@3: what hooks add is not measured",
		"g, classes: a write takes standard 9.00µs, trusted 3.00µs (the first takes 3.00 times as long)",
	}, promised([]result.Run{
		row("loam", "get", 1e5, 2*time.Microsecond), row("bbolt-json", "get", 1e5, time.Second),
		row("loam", "setsync@4", 100, 6*time.Millisecond), row("loam", "memory", 99e3, 1), row("loam", "set", 1, time.Hour),
		kinds("hooks", time.Microsecond, 1500), kinds("hookssync", time.Millisecond, 1010*time.Microsecond),
		kinds("hookssync@2", time.Millisecond, 1100*time.Microsecond), row("loam", "hooks@3", 1, 1), kinds("classes", 9000, 3000),
	}, false))
}

// Of hot documents something is promised for one size, and of writes that are not synced.
func TestWhatIsPromisedOfHotDocuments(t *testing.T) {
	hot := func(group, workload string, p50 ...time.Duration) result.Run {
		r := result.Run{Group: group, Engine: "loam", Workload: workload}
		for _, d := range p50 {
			r.Latencies = append(r.Latencies, result.Latency{P50: d})
		}
		return r
	}
	const small = "documents of 200 bytes"
	runs := []result.Run{
		hot(small, "gethot", 2*time.Microsecond), hot(small, "sethot", 3100), hot(small, "sethot@2"),
		hot("documents of 4000 bytes", "gethot", 9000), hot(small+", encrypted", "sethot", 9000),
	}
	get := small + ", gethot: a hot get within 2.00µs is promised, kept: 50% within 2.00µs"
	require.Equal(t, []string{
		get,
		small + ", sethot: a hot set of class trusted within 3.00µs is promised, not kept: 50% within 3.10µs",
		small + ", sethot@2: not measured",
	}, promised(runs, false))
	require.Equal(t, []string{get}, promised(runs, true))
}
