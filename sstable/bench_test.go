package sstable_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// benchKey is key number i, below 2^21: 16 bytes, random but for their order. Odd
// numbers are absent from the tables.
func benchKey(dst []byte, i uint64) []byte {
	noise := i * 0x9E3779B97F4A7C15
	dst = binary.BigEndian.AppendUint64(dst, i<<43|noise>>21)
	return binary.BigEndian.AppendUint64(dst, noise)
}

func benchOptions(codec block.Codec) sstable.WriterOptions {
	return sstable.WriterOptions{UID: sampleUID, Codec: codec, FilterBitsPerKey: 10}
}

func buildBench(b *testing.B, fs vfs.FS, name string, n uint64, codec block.Codec) *sstable.Meta {
	b.Helper()
	f, err := fs.Create(name)
	require.NoError(b, err)
	w, err := sstable.NewWriter(f, benchOptions(codec))
	require.NoError(b, err)
	var key []byte
	value := make([]byte, 100)
	rng := rand.NewChaCha8([32]byte{1})
	for i := range n {
		key = benchKey(key[:0], 2*i)
		_, _ = rng.Read(value[:50])
		require.NoError(b, w.Add(key, keys.MakeTrailer(keys.SeqNum(i+1), keys.KindSet), value))
	}
	m, err := w.Finish()
	require.NoError(b, err)
	require.NoError(b, f.Close())
	return &m
}

func openBench(b *testing.B, n uint64, codec block.Codec) *sstable.Reader {
	b.Helper()
	fs := vfs.NewMem()
	m := buildBench(b, fs, "t", n, codec)
	c, err := cache.New(256 << 20)
	require.NoError(b, err)
	f, err := fs.Open("t", vfs.ReadOnly)
	require.NoError(b, err)
	r, err := sstable.Open(f, readerOptions(m, c))
	require.NoError(b, err)
	b.Cleanup(func() {
		require.NoError(b, r.Close())
		require.NoError(b, c.Close())
	})
	var it sstable.Iter
	it.Init(r, sstable.IterOptions{})
	for ok := it.First(); ok; ok = it.Next() {
	}
	require.NoError(b, it.Close())
	return r
}

// perOp reports the processor time per operation since start.
func perOp(b *testing.B, start time.Duration) {
	if d := cpuTime(b) - start; d > 0 {
		b.ReportMetric(float64(d.Nanoseconds())/float64(b.N), "cpu-ns/op")
	}
}

// BenchmarkRandomLoad is the yardstick: one load that depends on the one before it, at
// random in as many bytes as the larger table has.
func BenchmarkRandomLoad(b *testing.B) {
	next := make([][8]uint64, 1<<20)
	order := rand.New(rand.NewPCG(19, 19)).Perm(len(next))
	for i, at := range order {
		next[at][0] = uint64(order[(i+1)%len(order)])
	}
	at := uint64(0)
	start := cpuTime(b)
	for b.Loop() {
		at = next[at][0]
	}
	perOp(b, start)
	require.Less(b, at, uint64(len(next)))
}

// Tables of 4 MiB, which the processor's caches hold, and of 64 MiB, which they do not.
var benchSizes = []uint64{4 << 20 / 116, 64 << 20 / 116}

func BenchmarkGetHit(b *testing.B)  { benchGet(b, 0) }
func BenchmarkGetMiss(b *testing.B) { benchGet(b, 1) }

func benchGet(b *testing.B, odd uint64) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			r := openBench(b, n, block.CodecNone)
			rng := rand.New(rand.NewPCG(17, 17))
			var key, dst [128]byte
			b.ReportAllocs()
			start := cpuTime(b)
			for b.Loop() {
				k := benchKey(key[:0], 2*rng.Uint64N(n)+odd)
				_, _, found, err := r.Get(dst[:0], k, filter.Hash(k), keys.MaxSeqNum)
				if found == (odd == 1) || err != nil {
					b.Fatal(found, err)
				}
			}
			perOp(b, start)
		})
	}
}

func BenchmarkScan(b *testing.B) {
	for _, o := range []sstable.IterOptions{{}, {NoFill: true}} {
		for _, codec := range codecs {
			b.Run(fmt.Sprintf("noFill=%v/%v", o.NoFill, codec), func(b *testing.B) {
				r := openBench(b, benchSizes[1], codec)
				var it sstable.Iter
				it.Init(r, o)
				sum := 0
				it.First()
				start := cpuTime(b)
				for b.Loop() {
					if !it.Valid() {
						it.First()
					}
					sum += len(it.Key()) + len(it.Value())
					it.Next()
				}
				perOp(b, start)
				require.NoError(b, it.Close())
				require.Positive(b, sum)
			})
		}
	}
}

func BenchmarkSeekGE(b *testing.B) {
	r := openBench(b, benchSizes[1], block.CodecNone)
	rng := rand.New(rand.NewPCG(18, 18))
	var it sstable.Iter
	it.Init(r, sstable.IterOptions{})
	var key [16]byte
	start := cpuTime(b)
	for b.Loop() {
		if !it.SeekGE(benchKey(key[:0], 2*rng.Uint64N(benchSizes[1])), seekAll) {
			b.Fatal(it.Err())
		}
	}
	perOp(b, start)
	require.NoError(b, it.Close())
}

func BenchmarkBuild(b *testing.B) {
	for _, codec := range codecs {
		b.Run(codec.String(), func(b *testing.B) {
			b.SetBytes(116)
			value := make([]byte, 100)
			rng := rand.NewChaCha8([32]byte{1})
			_, _ = rng.Read(value[:50])
			var w *sstable.Writer
			var key []byte
			at, n := uint64(0), benchSizes[1]
			start := cpuTime(b)
			for b.Loop() {
				if at%n == 0 {
					if w != nil {
						_, err := w.Finish()
						require.NoError(b, err)
					}
					var err error
					w, err = sstable.NewWriter(discard{}, benchOptions(codec))
					require.NoError(b, err)
				}
				key = benchKey(key[:0], 2*(at%n))
				binary.LittleEndian.PutUint64(value, at)
				if err := w.Add(key, keys.MakeTrailer(keys.SeqNum(at+1), keys.KindSet), value); err != nil {
					b.Fatal(err)
				}
				at++
			}
			perOp(b, start)
			_, err := w.Finish()
			require.NoError(b, err)
		})
	}
}

// discard is a file that keeps nothing: building is measured, not the device.
type discard struct{ vfs.File }

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (discard) Sync() error                            { return nil }
