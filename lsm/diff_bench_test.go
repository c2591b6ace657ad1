package lsm_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/loamdb/loam/lsm"
)

// A difference of 100 changes, next to each other or spread, in stores of several sizes.
func BenchmarkDiff(b *testing.B) {
	const changed = 100
	for _, n := range []int{20_000, 80_000, 320_000} {
		for _, spread := range []bool{false, true} {
			b.Run(fmt.Sprintf("entries=%d/spread=%v", n, spread), func(b *testing.B) {
				db, err := lsm.Open("db", &lsm.Options{InMemory: true})
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				key := func(i int) []byte { return fmt.Appendf(nil, "key-%08d", i) }
				batch := db.NewBatch()
				for i := range n {
					batch.Set(key(i), make([]byte, 100))
					if batch.Len() == 1000 || i == n-1 {
						if err := db.Apply(batch, lsm.NoSync); err != nil {
							b.Fatal(err)
						}
						batch.Reset()
					}
				}
				from, err := db.NewSnapshot()
				if err != nil {
					b.Fatal(err)
				}
				defer from.Close()
				at, err := from.Position()
				if err != nil {
					b.Fatal(err)
				}
				step := 1
				if spread {
					step = n / changed
				}
				for i := range changed {
					if err := db.Set(key(i*step), []byte("changed"), lsm.NoSync); err != nil {
						b.Fatal(err)
					}
				}
				if err := db.Compact(context.Background(), nil, nil); err != nil {
					b.Fatal(err)
				}
				to, err := db.NewSnapshot()
				if err != nil {
					b.Fatal(err)
				}
				defer to.Close()
				for b.Loop() {
					found := 0
					for _, err := range to.Diff(at) {
						if err != nil {
							b.Fatal(err)
						}
						found++
					}
					if found != changed {
						b.Fatal(found)
					}
				}
			})
		}
	}
}
