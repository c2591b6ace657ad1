package filter_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/sstable/filter"
)

// key returns the i-th of keys that share nothing with those of another set.
func key(set, i int) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(set)}, uint64(i))
}

func buildFilter(n, bitsPerKey int) []byte {
	var b filter.Builder
	for i := range n {
		b.Add(filter.Hash(key(1, i)))
	}
	return b.AppendTo(nil, bitsPerKey)
}

// mayContain probes as a reader of chunks does.
func mayContain(f []byte, h uint64) bool {
	chunk, off := filter.Locate(h, len(f)/filter.LineBytes)
	c := f[chunk*filter.ChunkBytes:]
	c = c[:min(len(c), filter.ChunkBytes)]
	return filter.MayContainLine(c[off:], h)
}

func TestEveryAddedKeyPasses(t *testing.T) {
	for _, bits := range []int{1, 2, 8, 10, 20, 100} {
		for _, n := range []int{1, 2, 50, 51, 52, 1000, 52_428, 52_429, 60_000} {
			f := buildFilter(n, bits)
			require.Len(t, f, filter.Lines(n, bits)*filter.LineBytes)
			for i := range n {
				if !mayContain(f, filter.Hash(key(1, i))) {
					t.Fatalf("key %d of %d is denied at %d bits", i, n, bits)
				}
			}
		}
	}
}

// A line holds a number of keys that is Poisson distributed. The expected rate is the
// mean, over the lines, of the chance that six random bits of the line are set.
func expectedRate(bitsPerKey float64) float64 {
	mean := 512 / bitsPerKey
	rate, p := 0.0, math.Exp(-mean)
	for n := 1; n < 600; n++ {
		p *= mean / float64(n)
		rate += p * math.Pow(1-math.Pow(1-1.0/512, 6*float64(n)), 6)
	}
	return rate
}

func TestFalsePositivesAreAsRareAsTheFormulaSays(t *testing.T) {
	const n, absent = 200_000, 400_000
	for bits, ceiling := range map[int]float64{8: 0.027, filter.DefaultBitsPerKey: 0.012, 16: 0.002} {
		f := buildFilter(n, bits)
		passed := 0
		for i := range absent {
			if mayContain(f, filter.Hash(key(2, i))) {
				passed++
			}
		}
		rate, want := float64(passed)/absent, expectedRate(float64(bits))
		require.Less(t, rate, ceiling)
		// Six standard deviations, and a tenth for what the formula leaves out.
		slack := 6*math.Sqrt(want*(1-want)/absent) + want/10
		require.InDelta(t, want, rate, slack, "%d bits per key", bits)
	}
}

func TestKeysSpreadEvenlyOverLines(t *testing.T) {
	const lines, n = 3000, 300_000
	counts := make([]int, lines)
	for i := range n {
		chunk, off := filter.Locate(filter.Hash(key(1, i)), lines)
		require.Less(t, chunk, filter.Chunks(lines))
		counts[chunk*filter.ChunkLines+off/filter.LineBytes]++
	}
	for i, c := range counts {
		require.InDelta(t, n/lines, c, 70, "line %d", i) // seven standard deviations
	}
}

func TestLocateStaysWithinTheFilter(t *testing.T) {
	for _, lines := range []int{1, 2, 1023, 1024, 1025, 5000, 1 << 30} {
		for _, h := range []uint64{0, 1, 1 << 32, 1 << 63, math.MaxUint64} {
			chunk, off := filter.Locate(h, lines)
			require.Less(t, int64(chunk)*filter.ChunkBytes+int64(off), int64(lines)*filter.LineBytes)
			require.True(t, off >= 0 && off <= filter.ChunkBytes-filter.LineBytes && off%filter.LineBytes == 0)
		}
	}
}

func TestLinesAndChunks(t *testing.T) {
	require.Zero(t, filter.Lines(0, 10))
	require.Equal(t, 1, filter.Lines(1, 10))
	require.Equal(t, 1, filter.Lines(51, 10))
	require.Equal(t, 2, filter.Lines(52, 10))
	require.Equal(t, 0, filter.Chunks(0))
	require.Equal(t, 1, filter.Chunks(1))
	require.Equal(t, 1, filter.Chunks(filter.ChunkLines))
	require.Equal(t, 2, filter.Chunks(filter.ChunkLines+1))
}

func TestBuilderCountsARepeatedHashOnce(t *testing.T) {
	var b filter.Builder
	require.Empty(t, b.AppendTo(nil, 10))
	b.Add(5)
	b.Add(5)
	b.Add(6)
	require.Equal(t, 2, b.Len())
	f := b.AppendTo([]byte("before"), 10)
	require.Equal(t, "before", string(f[:6]))
	require.Len(t, f, 6+filter.LineBytes)
	b.Reset()
	require.Zero(t, b.Len())
}

func TestFilterGolden(t *testing.T) {
	require.Equal(t, uint64(0xef46db3751d8e999), filter.Hash(nil), "XXH64 with seed 0")
	require.Equal(t, uint64(0x44bc2cf5ad770999), filter.Hash([]byte("abc")))
	out := fmt.Sprintf("policy %d, hash %d\n%s", filter.Policy, filter.HashID, hex.Dump(buildFilter(100, 10)))
	golden.Assert(t, "testdata/filter.hex", []byte(out))
}

func FuzzFilter(f *testing.F) {
	f.Add([]byte("some keys, cut in pieces"), uint8(3), uint8(10))
	f.Add([]byte{}, uint8(1), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, step, bits uint8) {
		var b filter.Builder
		var hashes []uint64
		for len(data) > 0 {
			n := min(int(step), len(data)-1)
			hashes = append(hashes, filter.Hash(data[:1+n]))
			data = data[1+n:]
			b.Add(hashes[len(hashes)-1])
		}
		bitsPerKey := 1 + int(bits)
		lines := filter.Lines(b.Len(), bitsPerKey)
		p := b.AppendTo(nil, bitsPerKey)
		if len(p) != lines*filter.LineBytes {
			t.Fatalf("%d bytes for %d lines", len(p), lines)
		}
		for _, h := range hashes {
			if !mayContain(p, h) {
				t.Fatalf("%x is denied", h)
			}
		}
	})
}

var sink int

// best runs f, which does n operations, and reports beside the mean the time of one in
// the best run: on a machine that others use it is what repeats.
func best(b *testing.B, n int, f func()) {
	least := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		f()
		least = min(least, time.Since(start))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "mean-ns")
	b.ReportMetric(float64(least.Nanoseconds())/float64(n), "best-ns")
}

// BenchmarkProbe includes the hash of a key of 16 bytes. The filters of 10 bits for two
// million keys do not fit the second-level cache.
func BenchmarkProbe(b *testing.B) {
	f := buildFilter(2_000_000, 10)
	r := rand.New(rand.NewPCG(1, 1))
	for set, name := range []string{1: "present", 2: "absent"} {
		if name == "" {
			continue
		}
		b.Run(name, func(b *testing.B) {
			var ks [1 << 14][16]byte
			for i := range ks {
				copy(ks[i][:], key(set, r.IntN(2_000_000)))
			}
			best(b, len(ks), func() {
				for i := range ks {
					if mayContain(f, filter.Hash(ks[i][:9])) {
						sink++
					}
				}
			})
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	const n = 500_000 // a table of 64 MiB
	var fb filter.Builder
	for i := range n {
		fb.Add(filter.Hash(key(1, i)))
	}
	var dst []byte
	best(b, n, func() { dst = fb.AppendTo(dst[:0], 10) })
}
