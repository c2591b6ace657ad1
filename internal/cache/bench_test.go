package cache_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/cache"
)

// BenchmarkHit pins, looks at and releases random blocks of 4 KiB, out of few enough
// for the processor's caches, or out of 200 MiB.
func BenchmarkHit(b *testing.B) {
	for _, blocks := range []int{64, 50_000} {
		c, err := cache.New(256 << 20)
		if err != nil {
			b.Fatal(err)
		}
		f := c.NewFile(blocks)
		for i := range blocks {
			buf, _ := c.Alloc(4096)
			buf.Bytes()[0] = 1
			h := f.Insert(i, buf)
			h.Release()
		}
		for _, goroutines := range []int{1, 2} {
			b.Run(fmt.Sprintf("blocks=%d/goroutines=%d", blocks, goroutines), func(b *testing.B) {
				benchHits(b, f, blocks, goroutines)
			})
		}
		f.Close()
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

const hits = 1 << 14

func benchHits(b *testing.B, f *cache.File, blocks, goroutines int) {
	least := make([]time.Duration, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			order := make([]int, hits)
			for i := range order {
				order[i] = r.IntN(blocks)
			}
			least[g] = time.Hour
			for range b.N {
				start := time.Now()
				for _, i := range order {
					h, ok := f.Get(i)
					if !ok || h.Bytes()[0] != 1 {
						b.Error("miss")
					}
					h.Release()
				}
				least[g] = min(least[g], time.Since(start))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*hits), "mean-ns")
	b.ReportMetric(float64(least[0].Nanoseconds())/hits, "best-ns")
}

// BenchmarkMiss inserts blocks of 4 KiB into a full cache, without filling them.
func BenchmarkMiss(b *testing.B) {
	c, err := cache.New(32 << 20)
	if err != nil {
		b.Fatal(err)
	}
	const blocks = 100_000
	f := c.NewFile(blocks)
	i := 0
	for b.Loop() {
		buf, _ := c.Alloc(4100)
		h := f.Insert(i%blocks, buf)
		h.Release()
		i++
	}
	f.Close()
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
}
