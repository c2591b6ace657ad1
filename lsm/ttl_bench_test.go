package lsm_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// Writing, reading and iterating with and without expiry; with events, writing.
func BenchmarkExpiry(b *testing.B) {
	const n = 10_000
	key := func(i int) []byte { return fmt.Appendf(nil, "key-%028d", i%n) }
	value := make([]byte, 100)
	for _, kind := range []string{"plain", "ttl", "events"} {
		db, err := lsm.Open("bench", &lsm.Options{InMemory: true, ExpiryEvents: kind == "events"})
		require.NoError(b, err)
		set := func(i int) error {
			if kind == "plain" {
				return db.Set(key(i), value, lsm.NoSync)
			}
			return db.SetWithTTL(key(i), value, time.Hour, lsm.NoSync)
		}
		b.Run("set/"+kind, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				require.NoError(b, set(i))
			}
		})
		for i := range n {
			require.NoError(b, set(i))
		}
		if kind != "events" {
			b.Run("get/"+kind, func(b *testing.B) {
				b.ReportAllocs()
				var dst []byte
				for i := 0; b.Loop(); i++ {
					dst, err = db.AppendGet(dst[:0], key(i))
				}
				require.NoError(b, err)
			})
			b.Run("iterator/"+kind, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					it, err := db.NewIter(nil)
					require.NoError(b, err)
					for ok, n := it.SeekGE(key(i)), 0; ok && n < 10; ok, n = it.Next(), n+1 {
					}
					require.NoError(b, it.Close())
				}
			})
		}
		require.NoError(b, db.Close())
	}
}
