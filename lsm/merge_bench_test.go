package lsm

import (
	"context"
	"fmt"
	"testing"

	"github.com/loamdb/loam/internal/fold"
	"github.com/stretchr/testify/require"
)

// BenchmarkMerge compares counting with one key, and with many, to setting: in memory,
// unsynced. "update" is what it takes without merging.
func BenchmarkMerge(b *testing.B) {
	key := func(i, width int) []byte { return fmt.Appendf(nil, "counter%06d", i%width) }
	one := Int64Bytes(1)
	for _, width := range []int{1, 100_000} {
		for name, write := range map[string]func(db *DB, key []byte) error{
			"set":    func(db *DB, key []byte) error { return db.Set(key, one, NoSync) },
			"merge":  func(db *DB, key []byte) error { return db.Merge(Int64Add, key, one, NoSync) },
			"append": func(db *DB, key []byte) error { return db.Merge(BytesAppend, key, one[:1], NoSync) },
			"update": func(db *DB, key []byte) error {
				return db.Update(func(tx *Txn) error {
					tx.SetWriteOptions(NoSync)
					v, err := tx.Get(key)
					if err != nil && err != ErrNotFound {
						return err
					}
					n, _ := Int64Of(v)
					return tx.Set(key, Int64Bytes(n+1))
				})
			},
		} {
			b.Run(fmt.Sprintf("%s/keys=%d", name, width), func(b *testing.B) {
				db, err := Open("db", &Options{InMemory: true})
				require.NoError(b, err)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := write(db, key(i, width)); err != nil {
						b.Fatal(err)
					}
				}
				require.NoError(b, db.Close())
			})
		}
	}
}

// BenchmarkReadsOfChains reads keys with as many operands above a value in a table: operands in
// the memtable, in one table, or one in each of several runs.
func BenchmarkReadsOfChains(b *testing.B) {
	const n = 10_000
	for _, c := range []struct {
		name           string
		operands, runs int
	}{{"value", 0, 0}, {"1-memtable", 1, 0}, {"8-memtable", 8, 0}, {"31-memtable", fold.MaxChain - 1, 0}, {"1-run", 1, 1}, {"3-runs", 3, 3}} {
		db, err := Open("db", &Options{InMemory: true})
		require.NoError(b, err)
		for i := range n {
			require.NoError(b, db.Set(numbered(i), Int64Bytes(1), NoSync))
		}
		require.NoError(b, db.Compact(context.Background(), nil, nil))
		hold, err := db.NewSnapshot() // or compactions would fold them
		require.NoError(b, err)
		for k := range c.operands {
			for i := range n {
				require.NoError(b, db.Merge(Int64Add, numbered(i), Int64Bytes(1), NoSync))
			}
			if k < c.runs {
				require.NoError(b, db.Flush(context.Background()))
			}
		}
		b.Run("get/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for i := 0; b.Loop(); i++ {
				if dst, err = db.AppendGet(dst[:0], numbered(i*7919%n)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("scan/"+c.name, func(b *testing.B) {
			for b.Loop() {
				if got := countKeys(b, db); got != n {
					b.Fatal(got)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/key")
		})
		require.NoError(b, hold.Close())
		require.NoError(b, db.Close())
	}
}
