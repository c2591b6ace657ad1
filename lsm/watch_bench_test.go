package lsm_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// What a Set costs beside watchers: none, one that sees it, and many that it does not concern.
func BenchmarkSetWatched(b *testing.B) {
	for _, c := range []struct {
		name    string
		n       int
		concern bool
	}{{"nobody", 0, false}, {"one", 1, true}, {"others=1000", 1000, false}} {
		b.Run(c.name, func(b *testing.B) {
			db := benchStore(b)
			ctx, cancel := context.WithCancel(context.Background())
			var watching sync.WaitGroup
			for i := range c.n {
				o := &lsm.WatchOptions{Prefix: fmt.Appendf(nil, "watched/%d/", i)}
				if c.concern {
					o = nil
				}
				w, err := db.Watch(ctx, o)
				require.NoError(b, err)
				watching.Go(func() {
					for _, err := range w.Events() {
						if err != nil {
							return
						}
					}
				})
			}
			var k [16]byte
			v := make([]byte, 100)
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				binary.BigEndian.PutUint64(k[:], i*0x9e3779b97f4a7c15)
				if err := db.Set(k[:], v, lsm.NoSync); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			cancel()
			watching.Wait()
		})
	}
}

// From the call of Set to the return of Next in another goroutine, in a store that does
// nothing else.
func BenchmarkWatchDelivery(b *testing.B) {
	for _, others := range []int{0, 999} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			db := benchStore(b)
			ctx, cancel := context.WithCancel(context.Background())
			var watching sync.WaitGroup
			for i := range others {
				w, err := db.Watch(ctx, &lsm.WatchOptions{Prefix: fmt.Appendf(nil, "other/%d/", i)})
				require.NoError(b, err)
				watching.Go(func() { _, _ = w.Next() })
			}
			w, err := db.Watch(ctx, &lsm.WatchOptions{Prefix: []byte("k")})
			require.NoError(b, err)
			heard := make(chan time.Time)
			watching.Go(func() {
				for _, err := range w.Events() {
					if err != nil {
						return
					}
					heard <- time.Now()
				}
			})
			var took []time.Duration
			for b.Loop() {
				begun := time.Now()
				if err := db.Set([]byte("k"), []byte("v"), lsm.NoSync); err != nil {
					b.Fatal(err)
				}
				took = append(took, (<-heard).Sub(begun))
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
			cancel()
			watching.Wait()
		})
	}
}

// What a watcher takes while it waits, by bytes allocated.
func BenchmarkWatch(b *testing.B) {
	db := benchStore(b)
	b.ReportAllocs()
	for b.Loop() {
		w, err := db.Watch(context.Background(), &lsm.WatchOptions{Prefix: []byte("session/0001/")})
		if err != nil {
			b.Fatal(err)
		}
		_ = w.Close()
	}
}
