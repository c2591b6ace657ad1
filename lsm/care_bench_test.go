package lsm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchmarkStore makes a store on disk of a hundred megabytes of keys and values.
func benchmarkStore(b *testing.B, c Compression) (dir string, bytes int64) {
	b.Helper()
	dir = filepath.Join(b.TempDir(), "db")
	db, err := Open(dir, &Options{Compression: c})
	require.NoError(b, err)
	rng := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 100)
	for i := range 1_000_000 {
		for j := range value[:50] {
			value[j] = byte(rng.Uint32())
		}
		require.NoError(b, db.Set(fmt.Appendf(nil, "%016d", rng.Uint64()%1e15+uint64(i)), value, NoSync))
	}
	require.NoError(b, db.Compact(context.Background(), nil, nil))
	for _, l := range db.Metrics().Levels {
		bytes += l.Bytes
	}
	require.NoError(b, db.Close())
	return dir, bytes
}

// The bytes are those of the tables on disk.
func BenchmarkVerify(b *testing.B) {
	for _, c := range []Compression{NoCompression, S2} {
		b.Run(c.String(), func(b *testing.B) {
			dir, bytes := benchmarkStore(b, c)
			b.SetBytes(bytes)
			for b.Loop() {
				r, err := Verify(context.Background(), dir, nil)
				require.NoError(b, err)
				require.NoError(b, r.Err())
			}
		})
	}
}

func BenchmarkSalvage(b *testing.B) {
	for _, c := range []Compression{NoCompression, S2} {
		b.Run(c.String(), func(b *testing.B) {
			dir, bytes := benchmarkStore(b, c)
			b.SetBytes(bytes)
			n := 0
			for b.Loop() {
				n++
				r, err := Salvage(context.Background(), dir, filepath.Join(b.TempDir(), fmt.Sprint(n)), &Options{Compression: c})
				require.NoError(b, err)
				require.True(b, r.Complete())
			}
		})
	}
}
