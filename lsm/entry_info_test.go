package lsm_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// Iterators in both directions, and reads, tell the same version and expiry of every entry, from
// memtables and from tables.
func TestVersionsOfEntries(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	sc := handle(t, db, scope.Agent("a"))
	key := func(i int) []byte { return fmt.Appendf(nil, "k%02d", i) }
	for round := range 3 {
		for i := range 20 {
			switch (i + round) % 5 {
			case 0:
				require.NoError(t, sc.Delete(key(i), lsm.NoSync))
			case 1:
				require.NoError(t, sc.SetWithTTL(key(i), []byte("v"), time.Hour, lsm.NoSync))
			case 2:
				require.NoError(t, sc.Set(key(i), lsm.Int64Bytes(5), lsm.NoSync))
				require.NoError(t, sc.Merge(lsm.Int64Add, key(i), lsm.Int64Bytes(1), lsm.NoSync))
			default:
				require.NoError(t, sc.Set(key(i), []byte("v"), lsm.NoSync))
			}
		}
		check := func() {
			it, err := sc.NewIter(nil)
			require.NoError(t, err)
			require.Equal(t, lsm.Absent, it.Version())
			compare := func() {
				value, version, err := sc.GetWithVersion(it.Key())
				require.NoError(t, err)
				_, expiry, err := sc.GetWithExpiry(it.Key())
				require.NoError(t, err)
				require.Equal(t, version, it.Version(), "%s", it.Key())
				got, info, err := sc.AppendGetInfo([]byte("x"), it.Key())
				require.NoError(t, err)
				require.Equal(t, "x"+string(value), string(got))
				require.Equal(t, expiry.IsZero(), info.AsOf > 0)
				require.Equal(t, lsm.EntryInfo{Version: version, Expiry: expiry, AsOf: info.AsOf}, info)
			}
			n := 0
			for ; it.Next(); n++ {
				compare()
			}
			require.Equal(t, 16, n)
			for ; it.Prev(); n-- {
				compare()
			}
			require.Zero(t, n)
			require.NoError(t, it.Close())
			_, info, err := sc.AppendGetInfo(nil, []byte("absent"))
			require.ErrorIs(t, err, lsm.ErrNotFound)
			require.Zero(t, info.Version)
		}
		check()
		require.NoError(t, db.Flush(t.Context()))
		check()
	}
}

func TestTransactionsTellVersionsOfWhatTheyRead(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	sc := handle(t, db, scope.Agent("a"))
	require.NoError(t, sc.Set([]byte("a"), []byte("1"), nil))
	require.NoError(t, sc.Set([]byte("b"), []byte("1"), nil))
	_, a, err := sc.GetWithVersion([]byte("a"))
	require.NoError(t, err)
	err = sc.Update(func(tx *lsm.Txn) error {
		require.NoError(t, tx.Set([]byte("b"), []byte("2")))
		require.NoError(t, tx.Set([]byte("c"), []byte("2")))
		want := map[string]lsm.Version{"a": a, "b": lsm.Absent, "c": lsm.Absent}
		it, err := tx.NewIter(nil)
		require.NoError(t, err)
		n := 0
		for ; it.Next(); n++ {
			require.Equal(t, want[string(it.Key())], it.Version())
			_, info, err := tx.AppendGetInfo(nil, it.Key())
			require.NoError(t, err)
			require.Equal(t, want[string(it.Key())], info.Version)
		}
		require.Equal(t, 3, n)
		require.Equal(t, lsm.Absent, it.Version())
		return it.Close()
	})
	require.NoError(t, err)
}

// Also where the batch makes its scope, and where records of expiries stand behind operations.
func TestABatchTellsItsLastVersion(t *testing.T) {
	for _, events := range []bool{false, true} {
		db := openMemory(t, lsm.Options{ExpiryEvents: events})
		for i, expires := range []bool{false, true} {
			sc := handle(t, db, scope.Agent(fmt.Sprint("a", i)))
			for range 2 {
				b := sc.NewBatch()
				b.SetWithTTL([]byte("first"), []byte("v"), time.Hour)
				if expires {
					b.SetWithTTL([]byte("last"), []byte("v"), time.Hour)
				} else {
					b.Set([]byte("last"), []byte("v"))
				}
				require.NoError(t, db.Apply(b, nil))
				_, version, err := sc.GetWithVersion([]byte("last"))
				require.NoError(t, err)
				require.Equal(t, version, b.LastVersion())
			}
		}
	}
}
