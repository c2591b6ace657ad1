package report_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/loamdb/loam/cmd/lsmbench/internal/report"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/stretchr/testify/require"
)

func comparison(t *testing.T, old, new []result.Run) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, report.Comparison(&out, result.Compare(&result.Set{Runs: old}, &result.Set{Runs: new}, 0.1)))
	return out.String()
}

func repeats(group, workload, engine string, settled float64, rates ...float64) []result.Run {
	var runs []result.Run
	for i, rate := range rates {
		runs = append(runs, result.Run{Group: group, Workload: workload, Engine: engine, Repeat: i, Rate: rate, Settled: rate * settled})
	}
	return runs
}

func TestComparisonShowsEveryRowAndEndsWithAVerdict(t *testing.T) {
	old := slices.Concat(
		repeats("", "fill", "loam", 0.5, 99e3, 100e3, 101e3), repeats("", "get", "loam", 0, 50e3), repeats("", "fill", "pebble", 0.5, 80e3, 100e3, 130e3),
		repeats("", "get", "pebble", 0, 10e3), repeats("", "scan", "loam", 0, 1e6))
	new := slices.Concat(
		repeats("", "fill", "loam", 0.4, 98e3, 99e3, 100e3), repeats("", "get", "loam", 0, 40e3), repeats("", "fill", "pebble", 0.5, 85e3),
		repeats("", "get", "pebble", 0, 20e3), repeats("", "seek", "loam", 0, 1e6))
	require.Equal(t, lines(`
workload  engine  old/s  new/s   change  spread          old settled  new settled  change  spread
fill      loam     100k  99.0k    -1.0%      2%                50.0k        39.6k  -20.8%      2%  slower
          pebble   100k  85.0k   -15.0%     50%   noise        50.0k        42.5k  -15.0%     50%   noise
get       loam    50.0k  40.0k   -20.0%          slower            -            -
          pebble  10.0k  20.0k  +100.0%          faster            -            -
scan      loam    1.00M      -                     gone            -            -
seek      loam        -  1.00M                    added            -            -

verdict: 2 of 4 rows are slower by more than 10% and the spread of their repeats: fill loam (settled), get loam; 1 faster; 1 within the spread; 1 only in the old results; 1 only in the new results
`), comparison(t, old, new))
}

func TestComparisonOfGroupsHasTheirTitles(t *testing.T) {
	old := slices.Concat(repeats("small", "fill", "loam", 0, 100), repeats("large", "fill", "loam", 0, 100), repeats("small", "get", "loam", 0, 100))
	require.Equal(t, lines(`
workload  engine  old/s  new/s  change  spread    old settled  new settled  change  spread

small
fill      loam      100    100   +0.0%                      -            -
get       loam      100    100   +0.0%                      -            -

large
fill      loam      100    100   +0.0%                      -            -

verdict: none of 3 rows is slower by more than 10% and the spread of its repeats
`), comparison(t, old, old))
}

func TestVerdictNamesTheFirstRegressions(t *testing.T) {
	var old, new []result.Run
	for _, w := range []string{"a", "b", "c", "d", "e"} {
		old = append(old, repeats("g", w, "loam", 0, 100)...)
		new = append(new, repeats("g", w, "loam", 0, 50)...)
	}
	require.Contains(t, comparison(t, old, new), "\nverdict: 5 of 5 rows are slower by more than 10% and the spread of their repeats: g a loam, g b loam, g c loam, 2 more\n")
	require.Contains(t, comparison(t, nil, nil), "\nverdict: none of 0 rows is slower by more than 10% and the spread of its repeats\n")

	one := repeats("", "fill", "loam", 0.5, 100)
	require.Contains(t, comparison(t, one, repeats("", "fill", "loam", 0.1, 100)), "verdict: 1 of 1 row is slower by more than 10% and the spread of its repeats: fill loam (settled)\n")
}
