package lsm_test

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/lsm"
)

// BenchmarkRows is the plain verbs on a store on disk of tables and a memtable, as the rows of
// lsmbench measure them, for comparing two commits within one machine: neither may have
// become slower for stores that use nothing else.
func BenchmarkRows(b *testing.B) {
	const n = 200_000
	var k [16]byte
	key := func(i uint64) []byte {
		binary.BigEndian.PutUint64(k[:], i*0x9e3779b97f4a7c15)
		return k[:]
	}
	value := make([]byte, 100)
	filled := func(b *testing.B) *lsm.DB {
		b.Helper()
		db, err := lsm.Open(b.TempDir(), nil)
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, db.Close()) })
		for i := range uint64(n) {
			require.NoError(b, db.Set(key(i), value, lsm.NoSync))
		}
		require.NoError(b, db.Flush(context.Background()))
		require.NoError(b, db.Compact(context.Background(), nil, nil))
		for i := range uint64(n / 10) {
			require.NoError(b, db.Set(key(i*10), value, lsm.NoSync))
		}
		return db
	}
	step := func(i uint64) uint64 { return i * 7919 % n }

	b.Run("fillrandom", func(b *testing.B) {
		db, err := lsm.Open(b.TempDir(), nil)
		require.NoError(b, err)
		b.ReportAllocs()
		b.ResetTimer()
		for i := range uint64(b.N) {
			if err := db.Set(key(i), value, lsm.NoSync); err != nil {
				b.Fatal(err)
			}
		}
		require.NoError(b, db.Flush(context.Background()))
		b.StopTimer()
		require.NoError(b, db.Close())
	})
	b.Run("fillbatch", func(b *testing.B) {
		db, err := lsm.Open(b.TempDir(), nil)
		require.NoError(b, err)
		batch := db.NewBatch()
		b.ReportAllocs()
		b.ResetTimer()
		for i := range uint64(b.N) {
			batch.Set(key(i), value)
			if i%100 == 99 || i == uint64(b.N)-1 {
				if err := db.Apply(batch, lsm.NoSync); err != nil {
					b.Fatal(err)
				}
				batch.Reset()
			}
		}
		require.NoError(b, db.Flush(context.Background()))
		b.StopTimer()
		require.NoError(b, db.Close())
	})
	b.Run("deleterandom", func(b *testing.B) {
		db := filled(b)
		b.ResetTimer()
		for i := range uint64(b.N) {
			if err := db.Delete(key(step(i)), lsm.NoSync); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("readrandom", func(b *testing.B) {
		db := filled(b)
		var v []byte
		b.ResetTimer()
		for i := range uint64(b.N) {
			var err error
			if v, err = db.AppendGet(v[:0], key(step(i))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("readmissing", func(b *testing.B) {
		db := filled(b)
		b.ResetTimer()
		for i := range uint64(b.N) {
			if _, err := db.AppendGet(nil, key(n+1+i)); err == nil {
				b.Fatal("found")
			}
		}
	})
	scan := func(back bool) func(b *testing.B) {
		return func(b *testing.B) {
			db := filled(b)
			it, err := db.NewIter(nil)
			require.NoError(b, err)
			defer it.Close()
			bytes := 0
			ok := false
			b.ResetTimer()
			for range b.N {
				switch {
				case ok && back:
					ok = it.Prev()
				case ok:
					ok = it.Next()
				}
				if !ok && back {
					ok = it.Last()
				} else if !ok {
					ok = it.First()
				}
				bytes += len(it.Key()) + len(it.Value())
			}
			require.Equal(b, b.N*116, bytes)
		}
	}
	b.Run("readseq", scan(false))
	b.Run("readreverse", scan(true))
	b.Run("seekrandom", func(b *testing.B) {
		db := filled(b)
		b.ReportAllocs()
		b.ResetTimer()
		for i := range uint64(b.N) {
			it, err := db.NewIter(nil)
			if err != nil {
				b.Fatal(err)
			}
			ok := it.SeekGE(key(step(i)))
			for range 9 {
				ok = ok && it.Next()
			}
			if err := it.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
