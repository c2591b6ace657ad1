package lsm_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// What blob files change, by the length of the values: the threshold's default follows from
// it (docs/adr/0017-large-values.md). Each store holds 192 MiB of values that compress to
// about half, its memtables and cache a sixth of that, or all of it.
//
//	go test ./lsm -run '^$' -bench Blobs -benchtime 1x
func BenchmarkBlobs(b *testing.B) {
	for _, size := range []int{1 << 10, 2 << 10, 4 << 10, 16 << 10} {
		for _, cached := range []bool{false, true} {
			for _, blobs := range []bool{false, true} {
				b.Run(fmt.Sprintf("%d/cached=%v/blobs=%v", size, cached, blobs), func(b *testing.B) { benchBlobs(b, size, cached, blobs) })
			}
		}
	}
}

func benchBlobs(b *testing.B, size int, cached, blobs bool) {
	o := &lsm.Options{BlobThreshold: -1, MemoryBudget: 32 << 20}
	if cached {
		o.MemoryBudget = 1 << 30
	}
	if blobs {
		o.BlobThreshold = size
	}
	const total = 192 << 20
	n := total / size
	var db *lsm.DB
	key := func(i int) []byte { return fmt.Appendf(nil, "%016x", uint64(i)*0x9e3779b97f4a7c15) }
	value := make([]byte, size)
	fill := func(b *testing.B, from int) {
		rnd := rand.New(rand.NewPCG(uint64(from), 1))
		for i := range n {
			for j := 0; j+8 <= size; j += 16 {
				binary.LittleEndian.PutUint64(value[j:], rnd.Uint64())
			}
			require.NoError(b, db.Set(key(rnd.IntN(n)), value, lsm.NoSync))
			_ = i
		}
		require.NoError(b, db.Flush(context.Background()))
	}
	b.Run("fill", func(b *testing.B) {
		var err error
		db, err = lsm.Open(b.TempDir(), o)
		require.NoError(b, err)
		b.Cleanup(func() { _ = db.Close() })
		for range b.N {
			fill(b, 0)
			fill(b, 1)
		}
		m := db.Metrics()
		b.ReportMetric(m.WriteAmplification(), "amp")
		b.ReportMetric(float64(m.DiskBytes)/(1<<20), "disk-MiB")
		b.ReportMetric(float64(2*n)/b.Elapsed().Seconds(), "sets/s")
		// reads are of the store at rest
		require.NoError(b, db.Compact(context.Background(), nil, nil))
		reads(b, db, n, key)
	})
}

// reads measures reads of the store that was filled, within the same run, which keeps it.
func reads(b *testing.B, db *lsm.DB, n int, key func(int) []byte) {
	var dst []byte
	timed := func(unit string, f func() int) {
		began := time.Now()
		ops := f()
		b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(ops), unit)
	}
	rnd := rand.New(rand.NewPCG(9, 9))
	for range 2 {
		timed("ns/get", func() int {
			for range 30_000 {
				dst, _ = db.AppendGet(dst[:0], key(rnd.IntN(n)))
			}
			return 30_000
		})
		timed("ns/next", func() int {
			ops := 0
			for _, err := range db.Scan(nil, nil) {
				require.NoError(b, err)
				ops++
			}
			return ops
		})
		timed("ns/key", func() int {
			it, err := db.NewIter(nil)
			require.NoError(b, err)
			ops := 0
			for it.Next() {
				ops++
			}
			require.NoError(b, it.Close())
			return ops
		})
	}
}
