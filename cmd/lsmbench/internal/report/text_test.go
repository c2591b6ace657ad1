package report_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/report"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/stretchr/testify/require"
)

// lines is a golden text, written from a new line on.
func lines(s string) string { return strings.TrimPrefix(s, "\n") }

func table(t *testing.T, rows []result.Row, reference string, wide bool) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, report.Table(&out, rows, reference, wide))
	return out.String()
}

// tableRows are rows with a figure of each kind, and with none.
func tableRows() []result.Row {
	return []result.Row{
		{Run: result.Run{
			Workload: "fillseq", Engine: "loam", Ops: 1000, Rate: 1_500_000, Settled: 400_000,
			Latencies:  []result.Latency{{Kind: "set", P50: 600, P99: 12_345, P999: 3 * time.Millisecond, P9999: 40 * time.Millisecond, Max: 2 * time.Second}},
			TableBytes: 3 << 20, LogBytes: 64 << 10, SpaceAmp: 1.5, WriteAmp: 2, ReadAmp: 0.25,
			UserWritten: 200, Counted: engine.Stats{TableBytesWritten: 900, Syncs: 12, Stalls: 3, StallTime: 45 * time.Millisecond},
			CPU: time.Millisecond, SettledCPU: 2 * time.Millisecond, Allocs: 1500, GCs: 4, GCPause: 90 * time.Microsecond,
			AnonRSS: 300 << 20, FileRSS: 1 << 30,
		}, Repeats: 3, Slowest: 1_450_000, Fastest: 1_600_000},
		{Run: result.Run{Workload: "fillseq", Engine: "pebble", Rate: 750_000, Settled: 500_000, TableBytes: 100, Counted: engine.UnknownStats}, Repeats: 1},
		{Run: result.Run{Workload: "readseq", Engine: "loam", Ops: 10, CPU: 5000, Rate: 999_499, Reads: true}, Repeats: 1},
		{Run: result.Run{Workload: "readseq", Engine: "pebble", Ops: 10, Rate: 1_999_000, Reads: true}, Repeats: 1},
	}
}

func TestTableMarksTheBestAndGivesRatios(t *testing.T) {
	require.Equal(t, lines(`
workload  engine   ops/s  spread  ratio  settled/s  ratio    p50     p99   p99.9  p99.99    max  tables     log  space  write
fillseq   loam    *1.50M     10%  2.00×       400k  0.80×  600ns  12.3µs  3.00ms  40.0ms  2.00s   3 MiB  64 KiB   1.50   2.00
          pebble    750k                     *500k             -       -       -       -      -   100 B     0 B      -      -
readseq   loam      999k          0.50×          -             -       -       -       -      -     0 B     0 B      -      -
          pebble  *2.00M                         -             -       -       -       -      -     0 B     0 B      -      -
`), table(t, tableRows(), "pebble", false))
}

func TestWideTableAddsWhatOperationsCost(t *testing.T) {
	rows := tableRows()
	rows[2].Latencies = []result.Latency{{Kind: "get", P50: 700}, {Kind: "set", P50: 900, P99: 1900, Max: time.Millisecond}}
	require.Equal(t, lines(`
workload  engine   ops/s  spread  ratio  settled/s  ratio    p50     p99   p99.9  p99.99     max  tables     log  space  write  own write  read  cpu/op  allocs/op  retries  syncs       stalls    gc pauses  anon rss  file rss
fillseq   loam    *1.50M     10%  2.00×       400k  0.80×  600ns  12.3µs  3.00ms  40.0ms   2.00s   3 MiB  64 KiB   1.50   2.00       4.50  0.25  2.00µs       1.50        -     12  3 in 45.0ms  4 in 90.0µs   300 MiB     1 GiB
          pebble    750k                     *500k             -       -       -       -       -   100 B     0 B      -      -          -     -       -          -        -      -            -            0         -         -
readseq   loam      999k          0.50×          -         700ns       -       -       -       -     0 B     0 B      -      -          -     -   500ns       0.00        -      0            0            0         -         -
            set                                            900ns  1.90µs       -       -  1.00ms
          pebble  *2.00M                         -             -       -       -       -       -     0 B     0 B      -      -          -     -       -       0.00        -      0            0            0         -         -
`), table(t, rows, "pebble", true))
	require.NotContains(t, table(t, rows, "pebble", false), "\n            set")
}

// What engines did otherwise stands once for each text and list of workloads.
func TestNotesStandBelowTheTable(t *testing.T) {
	row := func(workload, engine, note string) result.Row {
		return result.Row{Run: result.Run{Workload: workload, Engine: engine, Rate: 1, Note: note}, Repeats: 1}
	}
	out := table(t, []result.Row{
		row("drop", "loam", ""), row("drop", "pebble", "prefixes"), row("drop", "lmdb", "prefixes"), row("drop", "badger", "scans"),
		row("fork", "loam", ""), row("fork", "pebble", "prefixes"), row("fork", "lmdb", "prefixes"), row("fork", "badger", "prefixes"),
	}, "loam", false)
	_, notes, found := strings.Cut(out, "\n\n")
	require.True(t, found)
	require.Equal(t, lines(`
drop, fork on pebble, lmdb: prefixes
drop on badger: scans
fork on badger: prefixes
`), notes)
	require.NotContains(t, table(t, tableRows(), "loam", false), "\n\n")
}

func TestRetriesAreAShareOfWhatWasCommitted(t *testing.T) {
	rows := []result.Row{{Run: result.Run{Workload: "txncontention", Engine: "loam", Ops: 1000, Rate: 1, Retries: 250}, Repeats: 1}}
	require.Contains(t, table(t, rows, "loam", true), " 25% ")
}

func TestRowsOfOneGroupAndWorkloadStandTogether(t *testing.T) {
	row := func(group, workload, engine string, rate float64) result.Row {
		return result.Row{Run: result.Run{Group: group, Workload: workload, Engine: engine, Rate: rate}, Repeats: 1}
	}
	rows := []result.Row{
		row("small values, which have a long title of their own", "fill", "loam", 10), row("large", "fill", "loam", 5),
		row("small values, which have a long title of their own", "get", "loam", 40), row("small values, which have a long title of their own", "fill", "pebble", 20),
		row("", "fill", "loam", 1), row("large", "fill", "pebble", 2),
	}
	require.Equal(t, lines(`
workload  engine  ops/s  spread  ratio  settled/s  ratio  p50  p99  p99.9  p99.99  max  tables  log  space  write

small values, which have a long title of their own
fill      loam       10          0.50×          -           -    -      -       -    -     0 B  0 B      -      -
          pebble    *20                         -           -    -      -       -    -     0 B  0 B      -      -
get       loam       40                         -           -    -      -       -    -     0 B  0 B      -      -

large
fill      loam       *5          2.50×          -           -    -      -       -    -     0 B  0 B      -      -
          pebble      2                         -           -    -      -       -    -     0 B  0 B      -      -

other
fill      loam        1                         -           -    -      -       -    -     0 B  0 B      -      -
`), table(t, rows, "pebble", false))
}

func TestOneEngineHasNeitherRatioNorMark(t *testing.T) {
	out := table(t, []result.Row{{Run: result.Run{Workload: "fillseq", Engine: "loam", Rate: 10}}}, "loam", true)
	require.NotContains(t, out, "*")
	require.NotContains(t, out, "×")
}

func TestFiguresOutOfTheOrdinaryStayShort(t *testing.T) {
	out := table(t, []result.Row{
		{Run: result.Run{Workload: "compact", Engine: "loam", Ops: 1, Rate: 1, Allocs: 2_510_278}, Repeats: 2, Slowest: 1, Fastest: 975},
		{Run: result.Run{Workload: "compact", Engine: "pebble", Ops: 1, Rate: 1000}},
		{Run: result.Run{Workload: "recover", Engine: "loam", Ops: 1, Rate: 12_345}},
		{Run: result.Run{Workload: "recover", Engine: "pebble", Ops: 1, Rate: 10}},
	}, "pebble", true)
	for _, want := range []string{" 974× ", " <0.01× ", " 1234× ", " 2.51M "} {
		require.Contains(t, out, want)
	}
}

func TestHeaderSaysOnWhatAndWithWhat(t *testing.T) {
	e := sampleEnvironment()
	e.Settings = map[string]string{"pebble": "memtable 64 MiB ×4", "goleveldb": "write buffer 64 MiB"}
	var out strings.Builder
	require.NoError(t, report.Header(&out, &e))
	require.Equal(t, lines(`
machine    AMD EPYC, 2 cores, 23.5 GiB memory, linux 6.18.44, ext4
build      go1.26.8 linux/amd64, commit 1b6c71c06f3a
flags      bench -engines loam,pebble,badger,bbolt -repeats 3 -n 1000000 -value 100 -compress none
goleveldb  write buffer 64 MiB
pebble     memtable 64 MiB ×4
note       bbolt writes with a transaction for every 1,000 keys; fillsync with one for each.
note       The file system is on a network block device.

`), out.String())
}

func TestHeaderLeavesOutWhatIsNotKnown(t *testing.T) {
	var out strings.Builder
	require.NoError(t, report.Header(&out, &result.Environment{CPU: "arm64", Cores: 1}))
	require.Equal(t, "machine  arm64, 1 core\nbuild\nflags\n\n", out.String())
}

// full is a writer without room.
type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestFailuresToWriteAreReturned(t *testing.T) {
	set := sample()
	require.ErrorIs(t, report.Header(full{}, &set.Environment), errFull)
	require.ErrorIs(t, report.Table(full{}, result.Rows(set.Runs), "pebble", true), errFull)
	require.ErrorIs(t, report.GoBench(full{}, set), errFull)
	require.ErrorIs(t, report.Comparison(full{}, result.Compare(set, set, 0.1)), errFull)
	require.ErrorIs(t, report.HTML(full{}, []*result.Set{set}, "pebble"), errFull)
}
