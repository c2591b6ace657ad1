package report_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/report"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/stretchr/testify/require"
)

func goBench(t *testing.T, set *result.Set) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, report.GoBench(&out, set))
	return out.String()
}

func TestGoBenchLinesHoldTheKnownFigures(t *testing.T) {
	set := &result.Set{
		Environment: result.Environment{
			Platform: "linux/arm64", CPU: "Neoverse\nN1", Cores: 8, Go: "go1.26.8", Commit: "abc", FileSystem: "ext4", Flags: "bench -n 10",
		},
		Runs: []result.Run{
			{Workload: "fillseq", Engine: "loam", Ops: 3000, Elapsed: 3 * time.Millisecond, Rate: 1e6, Settled: 750_000, WriteAmp: 2.5, SpaceAmp: 1.25, ReadAmp: 0.5,
				Latencies: []result.Latency{{P50: 900, P99: 4000, P999: 50_000, P9999: 60_000}},
				CPU:       time.Millisecond, SettledCPU: 6 * time.Millisecond, Allocs: 1500, AllocBytes: 96_000},
			{Group: "100-byte values/new", Workload: "packages load", Engine: "loam 2", Ops: 10, Elapsed: time.Second, Rate: 10},
			{Workload: "not run", Engine: "loam"},
		},
	}
	require.Equal(t, lines(`
goos: linux
goarch: arm64
pkg: lsmbench
cpu: Neoverse N1
filesystem: ext4
Commit: abc
Go: go1.26.8
Flags: bench -n 10
Unit ops/s better=higher
Unit settled-ops/s better=higher
`)+
		"BenchmarkFillseq/engine=loam-8\t3000\t1000 ns/op\t1e+06 ops/s\t900 p50-ns\t4000 p99-ns\t50000 p999-ns\t60000 p9999-ns\t750000 settled-ops/s"+
		"\t2.5 write-amp\t0.5 read-amp\t1.25 space-amp\t2000 cpu-ns/op\t32 B/op\t0.5 allocs/op\n"+
		"BenchmarkPackagesLoad/engine=loam_2/group=100_byte_values_new-8\t10\t1e+08 ns/op\t10 ops/s\n", goBench(t, set))
}

// benchName is what the format of benchmarks and benchstat's keys demand of a name.
var benchName = regexp.MustCompile(`^Benchmark[^\p{Ll}\s/=-][^\s/=-]*/engine=[^\s/=-]+(/group=[^\s/=-]+)?-[1-9][0-9]*$`)

// requireBenchFormat checks lines as a reader of the format of Go benchmarks does.
func requireBenchFormat(t *testing.T, out string) (benchmarks int) {
	t.Helper()
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		key, _, config := strings.Cut(line, ": ")
		switch fields := strings.Fields(line); {
		case strings.HasPrefix(line, "Benchmark"):
			benchmarks++
			require.Regexp(t, benchName, fields[0])
			_, err := strconv.ParseUint(fields[1], 10, 64)
			require.NoError(t, err)
			require.Zero(t, len(fields)%2, "values and units come in pairs: %s", line)
			require.Equal(t, "ns/op", fields[3])
			seen := map[string]bool{}
			for i := 2; i < len(fields); i += 2 {
				v, err := strconv.ParseFloat(fields[i], 64)
				require.NoError(t, err)
				require.Positive(t, v, line)
				require.False(t, seen[fields[i+1]], "%s twice", fields[i+1])
				seen[fields[i+1]] = true
			}
		case strings.HasPrefix(line, "Unit "):
			require.Len(t, fields, 3)
		default:
			require.True(t, config, line)
			if !slices.Contains([]string{"Commit", "Go", "Flags"}, key) {
				require.Regexp(t, `^[a-z][^\s\p{Lu}]*$`, key)
			}
		}
	}
	return benchmarks
}

func TestGoBenchKeepsTheFormat(t *testing.T) {
	set := sample()
	require.Equal(t, len(set.Runs), requireBenchFormat(t, goBench(t, set)))

	hostile := &result.Set{Environment: result.Environment{CPU: " \n: x", Flags: "a\nBenchmarkX 1 1 ns/op"}}
	for _, name := range []string{"", " ", "a b/c=d-4", "-8", "é\u2028x", "ns/op\t1", "\xff", "名前", "ß"} {
		hostile.Runs = append(hostile.Runs, result.Run{Group: name, Workload: name, Engine: name, Ops: 1, Elapsed: 1})
	}
	require.Equal(t, len(hostile.Runs), requireBenchFormat(t, goBench(t, hostile)))
}
