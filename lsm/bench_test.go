package lsm_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/lsm"
)

// BenchmarkShortScan makes an iterator, reads ten entries and closes it, over a store of
// a memtable and tables.
func BenchmarkShortScan(b *testing.B) {
	db, err := lsm.Open("", &lsm.Options{InMemory: true})
	require.NoError(b, err)
	defer db.Close()
	const n = 200_000
	key := func(i int) []byte { return fmt.Appendf(nil, "key-%012d", i) }
	for i := range n {
		require.NoError(b, db.Set(key(i), make([]byte, 100), lsm.NoSync))
	}
	require.NoError(b, db.Flush(context.Background()))
	require.NoError(b, db.Set(key(n), nil, lsm.NoSync))
	rnd := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		it, err := db.NewIter(nil)
		if err != nil {
			b.Fatal(err)
		}
		k := 0
		for ok := it.SeekGE(key(rnd.IntN(n - 10))); ok && k < 10; ok = it.Next() {
			k++
		}
		if err := it.Close(); err != nil || k != 10 {
			b.Fatal(k, err)
		}
	}
}
