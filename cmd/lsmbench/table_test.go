package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTableMarksTheBetterAndGivesRatios(t *testing.T) {
	rows := []row{
		{Workload: "fillseq", Engine: "loam", Rate: 1_500_000, Settled: 400_000, P50: 600, P99: 12_345, P999: 3 * time.Millisecond, Max: 2 * time.Second, DiskBytes: 3 << 20, SpaceAmp: 1.5, WriteAmp: 2},
		{Workload: "fillseq", Engine: "pebble", Rate: 750_000, Settled: 500_000, DiskBytes: 100},
		{Workload: "readseq", Engine: "loam", Rate: 999_499},
		{Workload: "readseq", Engine: "pebble", Rate: 1_999_000},
	}
	var out strings.Builder
	require.NoError(t, printTable(&out, rows, "pebble"))
	require.Equal(t, strings.TrimLeft(`
workload  engine   ops/s  ratio  settled/s  ratio    p50     p99   p99.9    max   disk  space  write
fillseq   loam    *1.50M  2.00×       400k  0.80×  600ns  12.3µs  3.00ms  2.00s  3 MiB   1.50   2.00
          pebble    750k             *500k             -       -       -      -  100 B      -      -
readseq   loam      999k  0.50×          -             -       -       -      -    0 B      -      -
          pebble  *2.00M                 -             -       -       -      -    0 B      -      -
`, "\n"), out.String())
}

func TestOneEngineHasNeitherRatioNorMark(t *testing.T) {
	var out strings.Builder
	require.NoError(t, printTable(&out, []row{{Workload: "fillseq", Engine: "loam", Rate: 10}}, "loam"))
	require.NotContains(t, out.String(), better)
	require.NotContains(t, out.String(), "×")
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	for want, got := range map[string]string{
		"0.5": rateText(0.5), "12.3": rateText(12.34), "999": rateText(999.4), "1.00k": rateText(999.6),
		"9.99k": rateText(9_994), "10.0k": rateText(9_996), "100k": rateText(99_960), "1.00M": rateText(999_600), "25.2M": rateText(25.2e6),
		"999ns": durationText(999), "1.00µs": durationText(1000), "1.13s": durationText(1130 * time.Millisecond), absent: durationText(0),
		"1023 B": byteSize(1023), "1 KiB": byteSize(1024), "1.50 MiB": byteSize(3 << 19), "2 GiB": byteSize(2 << 30),
	} {
		require.Equal(t, want, got)
	}
}

func TestMedianIsTheMiddleRow(t *testing.T) {
	require.Equal(t, 3.0, median([]row{{Rate: 9}, {Rate: 1}, {Rate: 3}}).Rate)
	require.Equal(t, 3.0, median([]row{{Rate: 9}, {Rate: 3}, {Rate: 1}, {Rate: 4}}).Rate)
	require.Equal(t, 5.0, median([]row{{Rate: 5}}).Rate)
}
