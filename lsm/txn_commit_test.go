package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// Money moves between accounts by transactions while others add it up: the sum is always
// the same.
func TestTransfersKeepTheSum(t *testing.T) {
	o := lsm.Options{SyncInterval: -1}
	seams.Inject(&o, seams.Seams{FS: vfs.NewMem(), Sizing: seams.Sizing{
		MinMemtableBytes: 16 << 10, MemtableBytes: 16 << 10, BudgetBytes: 1 << 20, RingKeys: 8,
	}})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	const accounts, each = 8, 100
	account := func(i int) []byte { return fmt.Appendf(nil, "account%d", i%accounts) }
	for i := range accounts {
		require.NoError(t, db.Set(account(i), []byte{each}, nil))
	}
	sum := func(tx *lsm.Txn) (n int) {
		for e, err := range tx.Scan([]byte("account"), []byte("accounu")) {
			if err != nil {
				t.Error(err)
				return -1
			}
			n += int(e.Value[0])
		}
		return n
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 60 {
				from, to := account(w+i), account(w*i+1)
				err := retry(db, func(tx *lsm.Txn) error {
					tx.SetWriteOptions(&lsm.WriteOptions{Unsynced: i%4 > 0})
					a, err := tx.Get(from)
					if err != nil || a[0] == 0 {
						return err
					}
					if err := tx.Set(from, []byte{a[0] - 1}); err != nil {
						return err
					}
					b, err := tx.Get(to)
					if err != nil {
						return err
					}
					if i%10 == 0 && sum(tx) != accounts*each-1 {
						t.Error("a transaction sees a sum that never was")
					}
					return tx.Set(to, []byte{b[0] + 1})
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range 100 {
			_ = db.View(func(tx *lsm.Txn) error {
				if sum(tx) != accounts*each {
					t.Error("a view sees half a transfer")
				}
				return nil
			})
		}
	})
	wg.Wait()
	require.NoError(t, db.View(func(tx *lsm.Txn) error {
		require.Equal(t, accounts*each, sum(tx))
		return nil
	}))
	require.NoError(t, db.Close())
}

// retry runs a transaction until it does not conflict.
func retry(db *lsm.DB, fn func(*lsm.Txn) error) error {
	for {
		if err := db.Update(fn); !errors.Is(err, lsm.ErrConflict) {
			return err
		}
	}
}

// What cannot be read cannot be judged: the commit fails with the error of the read, and
// writes nothing. Once it can be read again, everything goes on.
func TestAnErrorWhileJudgingWritesNothing(t *testing.T) {
	everyRead := map[string]func(tx *lsm.Txn){
		"point": func(tx *lsm.Txn) {
			_, err := tx.Get([]byte("k"))
			require.NoError(t, err)
		},
		"range": func(tx *lsm.Txn) {
			for _, err := range tx.Scan([]byte("a"), []byte("l")) {
				require.NoError(t, err)
			}
		},
	}
	for name, read := range everyRead {
		t.Run(name, func(t *testing.T) {
			faults := vfs.NewFaults(vfs.NewMem())
			o := lsm.Options{}
			seams.Inject(&o, seams.Seams{FS: faults})
			db, err := lsm.Open("db", &o)
			require.NoError(t, err)
			setAll(t, db, "a", "k", "z")
			err = db.Update(func(tx *lsm.Txn) error {
				read(tx)
				setAll(t, db, "b0", "y") // beside what was read, in the tables that must be looked at
				require.NoError(t, db.Delete([]byte("b0"), nil))
				require.NoError(t, db.Flush(context.Background()))
				faults.Add(vfs.Rule{Kinds: vfs.OpRead | vfs.OpLoad | vfs.OpOpen, Glob: "*.sst", Forever: true})
				return tx.Set([]byte("z"), []byte("mine"))
			})
			var injected *vfs.Injected
			require.ErrorAs(t, err, &injected)
			faults.Clear()
			v, err := db.Get([]byte("z"))
			require.NoError(t, err)
			require.Equal(t, "z0", string(v))
			require.NoError(t, db.Update(func(tx *lsm.Txn) error {
				read(tx)
				return tx.Set([]byte("z"), []byte("mine"))
			}))
			require.NoError(t, db.Close())
		})
	}
}

// After a failure of the log transactions fail as writes do, and views go on.
func TestAPoisonedStoreTakesNoTransactions(t *testing.T) {
	faults := vfs.NewFaults(vfs.NewMem())
	o := lsm.Options{LogMode: lsm.LogWritten, SyncInterval: -1}
	seams.Inject(&o, seams.Seams{FS: faults})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	setAll(t, db, "a")
	faults.Add(vfs.Rule{Kinds: vfs.OpWrite, Glob: "wal-*", Forever: true})
	get := func(tx *lsm.Txn) error {
		_, err := tx.Get([]byte("a"))
		return err
	}
	change := func(tx *lsm.Txn) error {
		if err := get(tx); err != nil {
			return err
		}
		return tx.Set([]byte("b"), nil)
	}
	require.ErrorIs(t, db.Update(change), lsm.ErrPoisoned)
	require.ErrorIs(t, db.Update(change), lsm.ErrPoisoned)
	require.NoError(t, db.View(get))
	has, err := db.Has([]byte("b"))
	require.NoError(t, err)
	require.False(t, has)
	require.ErrorIs(t, db.Close(), lsm.ErrPoisoned)
}

// Many short scans over few keys are not noted one by one.
func TestScansOverTheSameKeysDoNotPileUp(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	setAll(t, db, "a", "b", "c")
	require.NoError(t, db.Update(func(tx *lsm.Txn) error {
		it, err := tx.NewIter(nil)
		require.NoError(t, err)
		allocated := testing.AllocsPerRun(2000, func() {
			for it.First(); it.Next(); {
			}
			for it.Last(); it.Prev(); {
			}
		})
		require.Less(t, allocated, 10.0, "two copies of bounds for each seek, and merging now and then")
		return tx.Set([]byte("d"), nil)
	}))
}

// A transaction that has read a key which an ingested table then overwrites, or a range into
// which one brings a key, conflicts.
func TestTransactionsConflictWithIngests(t *testing.T) {
	fs := vfs.NewMem()
	var o lsm.Options
	seams.Inject(&o, seams.Seams{FS: fs})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	require.NoError(t, db.Set([]byte("k"), []byte("old"), nil))
	for i, read := range []func(tx *lsm.Txn) error{
		func(tx *lsm.Txn) error { _, err := tx.Get([]byte("k")); return err },
		func(tx *lsm.Txn) error {
			for _, err := range tx.Scan([]byte("j"), []byte("l")) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		err := db.Update(func(tx *lsm.Txn) error {
			if err := read(tx); err != nil {
				return err
			}
			name := fmt.Sprintf("table-%d", i)
			w, err := lsm.NewTableWriter(name, &o)
			require.NoError(t, err)
			require.NoError(t, w.Set([]byte("k"), []byte("ingested")))
			require.NoError(t, w.Finish())
			require.NoError(t, db.Ingest(context.Background(), name))
			return tx.Set([]byte("other"), []byte("v"))
		})
		require.ErrorIs(t, err, lsm.ErrConflict)
	}
	require.NoError(t, db.Close())
}
