package lsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

var errStop = errors.New("stop")

func setAll(t *testing.T, db *lsm.DB, keys ...string) {
	t.Helper()
	for _, k := range keys {
		require.NoError(t, db.Set([]byte(k), []byte(k+"0"), lsm.NoSync))
	}
}

func TestATransactionSeesItsOwnWritesAndOthersDoAfterwards(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(lsm.Options) *lsm.DB) {
		db := open(lsm.Options{})
		setAll(t, db, "a", "b", "c")
		require.NoError(t, db.Update(func(tx *lsm.Txn) error {
			require.NoError(t, tx.Set([]byte("b"), []byte("b1")))
			require.NoError(t, tx.Delete([]byte("c")))
			require.NoError(t, tx.Set([]byte("d"), []byte("d1")))
			v, err := tx.Get([]byte("b"))
			require.NoError(t, err)
			require.Equal(t, "b1", string(v))
			_, err = tx.Get([]byte("c"))
			require.ErrorIs(t, err, lsm.ErrNotFound)
			v, err = tx.AppendGet([]byte(">"), []byte("a"))
			require.NoError(t, err)
			require.Equal(t, ">a0", string(v))
			for k, want := range map[string]bool{"a": true, "c": false, "d": true, "e": false} {
				has, err := tx.Has([]byte(k))
				require.NoError(t, err)
				require.Equal(t, want, has, k)
			}
			v, err = db.Get([]byte("b"))
			require.NoError(t, err)
			require.Equal(t, "b0", string(v), "nobody else sees them")
			return nil
		}))
		require.NoError(t, db.Close())
		db = open(lsm.Options{})
		require.Equal(t, []string{"a=a0", "b=b1", "d=d1"}, entries(t, db))
	})
}

// entries lists a store.
func entries(t *testing.T, db *lsm.DB) []string {
	t.Helper()
	var out []string
	for e, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		out = append(out, fmt.Sprintf("%s=%s", e.Key, e.Value))
	}
	return out
}

func TestATransactionThatFailsWritesNothing(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	setAll(t, db, "a")
	write := func(tx *lsm.Txn) {
		require.NoError(t, tx.Set([]byte("a"), nil))
		require.NoError(t, tx.Set([]byte("b"), nil))
	}
	require.Equal(t, errStop, db.Update(func(tx *lsm.Txn) error {
		write(tx)
		return errStop
	}))
	require.PanicsWithValue(t, "stop", func() {
		_ = db.Update(func(tx *lsm.Txn) error {
			write(tx)
			panic("stop")
		})
	})
	require.Equal(t, []string{"a=a0"}, entries(t, db))
	require.NoError(t, db.Close(), "nothing is held")
}

// A snapshot is what a transaction reads, whatever others do meanwhile.
func TestAViewIsOneMoment(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	setAll(t, db, "a", "b")
	require.NoError(t, db.View(func(tx *lsm.Txn) error {
		require.NoError(t, db.Set([]byte("a"), nil, nil))
		require.NoError(t, db.Delete([]byte("b"), nil))
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		v, err := tx.Get([]byte("a"))
		require.NoError(t, err)
		require.Equal(t, "a0", string(v))
		var got []string
		for e, err := range tx.ScanReverse(nil, nil) {
			require.NoError(t, err)
			got = append(got, string(e.Key))
		}
		require.Equal(t, []string{"b", "a"}, got)
		require.ErrorIs(t, tx.Set([]byte("a"), nil), lsm.ErrReadOnly)
		require.ErrorIs(t, tx.Delete([]byte("a")), lsm.ErrReadOnly)
		return nil
	}))
	require.Equal(t, errStop, db.View(func(*lsm.Txn) error { return errStop }))
}

// conflicts runs a transaction during which somebody else writes, after it has read and
// before it commits, and says whether it conflicted.
func conflicts(t *testing.T, db *lsm.DB, read func(tx *lsm.Txn), theirs func()) bool {
	t.Helper()
	err := db.Update(func(tx *lsm.Txn) error {
		tx.SetWriteOptions(lsm.NoSync)
		read(tx)
		require.NoError(t, tx.Set([]byte("result"), nil))
		theirs()
		return nil
	})
	if err != nil {
		require.ErrorIs(t, err, lsm.ErrConflict)
	}
	return err != nil
}

func TestAPointReadConflictsWithAWriteOfTheKey(t *testing.T) {
	for _, flush := range []bool{false, true} {
		t.Run(fmt.Sprintf("flush=%v", flush), func(t *testing.T) {
			db := openMemory(t, lsm.Options{})
			setAll(t, db, "k", "other")
			get := func(key string) func(*lsm.Txn) {
				return func(tx *lsm.Txn) {
					_, err := tx.Get([]byte(key))
					if !errors.Is(err, lsm.ErrNotFound) {
						require.NoError(t, err)
					}
				}
			}
			after := func(write error) {
				require.NoError(t, write)
				if flush {
					require.NoError(t, db.Flush(context.Background()))
					require.NoError(t, db.Compact(context.Background(), nil, nil))
				}
			}
			set := func(key string) func() { return func() { after(db.Set([]byte(key), nil, nil)) } }
			remove := func(key string) func() { return func() { after(db.Delete([]byte(key), nil)) } }
			require.False(t, conflicts(t, db, get("k"), func() {}))
			require.False(t, conflicts(t, db, get("k"), set("other")))
			require.True(t, conflicts(t, db, get("k"), set("k")))
			require.True(t, conflicts(t, db, get("k"), remove("k")))
			require.True(t, conflicts(t, db, get("k"), set("k")), "absent when it was read")
			require.False(t, conflicts(t, db, get("n"), remove("n")), "it was absent and still is")
			require.True(t, conflicts(t, db, func(tx *lsm.Txn) {
				_, err := tx.Has([]byte("k"))
				require.NoError(t, err)
			}, set("k")))
			require.False(t, conflicts(t, db, func(tx *lsm.Txn) {
				require.NoError(t, tx.Set([]byte("k"), nil))
				get("k")(tx)
			}, set("k")), "its own write was read, and that of the other is simply overwritten")
		})
	}
}

// Phantoms: what appears in a range that was read, or vanishes from it, conflicts, and what
// lies beyond where the reading stopped does not.
func TestARangeReadConflictsWithWhatAppearsInIt(t *testing.T) {
	for _, flush := range []bool{false, true} {
		t.Run(fmt.Sprintf("flush=%v", flush), func(t *testing.T) {
			db := openMemory(t, lsm.Options{})
			setAll(t, db, "b", "d", "f", "h")
			after := func(write error) {
				require.NoError(t, write)
				if flush {
					require.NoError(t, db.Flush(context.Background()))
					require.NoError(t, db.Compact(context.Background(), nil, nil))
				}
			}
			// Two steps of a scan of [b, h): it sees b and d, and that nothing is between.
			two := func(tx *lsm.Txn) {
				n := 0
				for _, err := range tx.Scan([]byte("b"), []byte("h")) {
					require.NoError(t, err)
					if n++; n == 2 {
						break
					}
				}
			}
			backwards := func(tx *lsm.Txn) { // h and f
				n := 0
				for _, err := range tx.ScanReverse(nil, []byte("i")) {
					require.NoError(t, err)
					if n++; n == 2 {
						break
					}
				}
			}
			all := func(tx *lsm.Txn) {
				for _, err := range tx.Scan([]byte("c"), []byte("e")) {
					require.NoError(t, err)
				}
			}
			for _, c := range []struct {
				name  string
				read  func(*lsm.Txn)
				key   string
				wants bool
			}{
				{"before", two, "a", false}, {"first", two, "b", true}, {"between", two, "c", true},
				{"last", two, "d", true}, {"beyond", two, "d\x00", false}, {"far beyond", two, "h", false},
				{"below", backwards, "e", false}, {"lowest", backwards, "f", true}, {"above", backwards, "h\x00", true},
				{"outside", backwards, "i", false},
				{"lower bound", all, "c", true}, {"up to the bound", all, "dz", true}, {"upper bound", all, "e", false},
			} {
				t.Run(c.name, func(t *testing.T) {
					has, err := db.Has([]byte(c.key))
					require.NoError(t, err)
					require.Equal(t, c.wants, conflicts(t, db, c.read, func() { after(db.Set([]byte(c.key), nil, nil)) }))
					if has {
						require.Equal(t, c.wants, conflicts(t, db, c.read, func() { after(db.Set([]byte(c.key), nil, nil)) }))
						return
					}
					require.Equal(t, c.wants, conflicts(t, db, c.read, func() { after(db.Delete([]byte(c.key), nil)) }))
				})
			}
		})
	}
}

// Write skew: each of two transactions reads what the other writes.
func TestWriteSkewIsImpossible(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	setAll(t, db, "alice", "bob") // both on call
	leave := func(me string) func(tx *lsm.Txn) error {
		return func(tx *lsm.Txn) error {
			n := 0
			for _, err := range tx.Scan(nil, nil) {
				require.NoError(t, err)
				n++
			}
			if n < 2 {
				return errStop
			}
			return tx.Delete([]byte(me))
		}
	}
	require.ErrorIs(t, db.Update(func(tx *lsm.Txn) error {
		if err := leave("alice")(tx); err != nil {
			return err
		}
		return db.Update(leave("bob"))
	}), lsm.ErrConflict)
	require.Equal(t, []string{"alice=alice0"}, entries(t, db))
	require.Equal(t, errStop, db.Update(leave("alice")))
}

func TestWritesWithoutReadsDoNotConflict(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	require.False(t, conflicts(t, db, func(*lsm.Txn) {}, func() { setAll(t, db, "result") }))
	require.NoError(t, db.Update(func(tx *lsm.Txn) error {
		_, err := tx.Get([]byte("result"))
		setAll(t, db, "result")
		return err
	}), "nor do reads without writes")
}

func TestATransactionEndsWithItsFunction(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	setAll(t, db, "a")
	var tx *lsm.Txn
	var it *lsm.TxnIterator
	keep := func(x *lsm.Txn) error {
		var err error
		tx = x
		it, err = x.NewIter(nil)
		require.NoError(t, err)
		require.True(t, it.First())
		_, err = x.NewIter(nil)
		return err
	}
	for _, run := range []func(func(*lsm.Txn) error) error{db.Update, db.View} {
		require.NoError(t, run(keep))
		_, err := tx.Get([]byte("a"))
		require.ErrorIs(t, err, lsm.ErrClosed)
		_, err = tx.Has([]byte("a"))
		require.ErrorIs(t, err, lsm.ErrClosed)
		require.ErrorIs(t, tx.Set([]byte("a"), nil), lsm.ErrClosed)
		_, err = tx.NewIter(nil)
		require.ErrorIs(t, err, lsm.ErrClosed)
		for _, err := range tx.Scan(nil, nil) {
			require.ErrorIs(t, err, lsm.ErrClosed)
		}
		require.False(t, it.Valid())
		require.Nil(t, it.Key())
		require.Nil(t, it.Value())
		require.False(t, it.Next())
		require.ErrorIs(t, it.Err(), lsm.ErrClosed)
		require.NoError(t, it.Close())
	}
	require.Zero(t, db.Metrics().Iterators)
	require.Zero(t, db.Metrics().Snapshots)
	require.NoError(t, db.Close())
}

// A write that failed must not be missing from a transaction that commits.
func TestATransactionWithAFailedWriteDoesNotCommit(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	err := db.Update(func(tx *lsm.Txn) error {
		require.NoError(t, tx.Set([]byte("a"), nil))
		require.Error(t, tx.Set(make([]byte, 65_536), nil))
		require.Error(t, tx.Set([]byte("b"), nil), "nor does it go on")
		_, err := tx.Get(make([]byte, 65_536))
		require.ErrorIs(t, err, lsm.ErrNotFound)
		return nil
	})
	var limit *lsm.LimitError
	require.ErrorAs(t, err, &limit)
	require.ErrorIs(t, err, lsm.ErrTooLarge)
	require.Empty(t, entries(t, db))
}

func TestTransactionsOfAStoreThatIsClosedOrReadOnly(t *testing.T) {
	o := lsm.Options{}
	fs := vfs.NewMem()
	seams.Inject(&o, seams.Seams{FS: fs})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	setAll(t, db, "a")
	never := func(*lsm.Txn) error { t.Error("it must not run"); return nil }
	require.ErrorIs(t, db.Update(func(tx *lsm.Txn) error {
		it, err := tx.NewIter(nil)
		require.NoError(t, err)
		require.True(t, it.First())
		require.NoError(t, tx.Set([]byte("b"), nil))
		require.ErrorIs(t, db.Close(), lsm.ErrInUse)
		require.False(t, it.Next())
		require.ErrorIs(t, it.Err(), lsm.ErrClosed)
		_, err = tx.Get([]byte("a"))
		require.ErrorIs(t, err, lsm.ErrClosed)
		return nil
	}), lsm.ErrClosed)
	require.ErrorIs(t, db.Update(never), lsm.ErrClosed)
	require.ErrorIs(t, db.View(never), lsm.ErrClosed)

	o.ReadOnly = true
	db, err = lsm.Open("db", &o)
	require.NoError(t, err)
	require.ErrorIs(t, db.Update(never), lsm.ErrReadOnly)
	require.NoError(t, db.View(func(tx *lsm.Txn) error {
		v, err := tx.Get([]byte("a"))
		require.NoError(t, err)
		require.Equal(t, "a0", string(v))
		require.ErrorIs(t, tx.Set([]byte("b"), nil), lsm.ErrReadOnly)
		return nil
	}))
	require.NoError(t, db.Close())
}

// A transaction that is larger than a memtable, and than all of them, commits like any
// other, and is validated like any other.
func TestATransactionMayBeLargerThanAMemtable(t *testing.T) {
	o := lsm.Options{}
	seams.Inject(&o, seams.Seams{FS: vfs.NewMem(), Sizing: seams.Sizing{
		MinMemtableBytes: 16 << 10, MemtableBytes: 16 << 10, BudgetBytes: 1 << 20,
		MinSegmentBytes: 16 << 10, MaxSegmentBytes: 32 << 10, RingKeys: 100,
	}})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	value := bytes.Repeat([]byte("v"), 100)
	large := func(tx *lsm.Txn) error {
		if _, err := tx.Has([]byte("k")); err != nil {
			return err
		}
		for i := range 5000 {
			if err := tx.Set(fmt.Appendf(nil, "key%06d", i), value); err != nil {
				return err
			}
		}
		return nil
	}
	require.ErrorIs(t, db.Update(func(tx *lsm.Txn) error {
		if err := large(tx); err != nil {
			return err
		}
		return db.Set([]byte("k"), nil, nil)
	}), lsm.ErrConflict)
	require.Len(t, entries(t, db), 1)
	require.NoError(t, db.Update(large))
	require.Len(t, entries(t, db), 5001)
	require.NoError(t, db.Close())
	db, err = lsm.Open("db", &o)
	require.NoError(t, err)
	require.Len(t, entries(t, db), 5001)
	require.NoError(t, db.Close())
}
