package lsm_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

func TestATransactionIsBegunAndEndedByItsCaller(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(lsm.Options) *lsm.DB) {
		db := open(lsm.Options{})
		setAll(t, db, "a", "b")
		has := func(key string) bool {
			_, err := db.Get([]byte(key))
			if !errors.Is(err, lsm.ErrNotFound) {
				require.NoError(t, err)
			}
			return err == nil
		}
		tx, err := db.Begin()
		require.NoError(t, err)
		require.Equal(t, 1, db.Metrics().Snapshots)
		require.NoError(t, tx.Set([]byte("c"), nil))
		require.False(t, has("c"))
		require.NoError(t, tx.Commit())
		require.True(t, has("c"))
		require.ErrorIs(t, tx.Commit(), lsm.ErrClosed)
		require.ErrorIs(t, tx.Set([]byte("d"), nil), lsm.ErrClosed)
		tx.Rollback()

		tx, err = db.Begin()
		require.NoError(t, err)
		require.NoError(t, tx.Delete([]byte("c")))
		tx.Rollback()
		tx.Rollback()
		require.ErrorIs(t, tx.Commit(), lsm.ErrClosed)
		require.True(t, has("c"))

		tx, err = db.Begin()
		require.NoError(t, err)
		_, err = tx.Get([]byte("a"))
		require.NoError(t, err)
		require.NoError(t, tx.Set([]byte("d"), nil))
		require.NoError(t, db.Set([]byte("a"), nil, nil))
		require.ErrorIs(t, tx.Commit(), lsm.ErrConflict)
		require.False(t, has("d"))
		require.Zero(t, db.Metrics().Snapshots)

		// Those of Update and View are theirs to end.
		require.NoError(t, db.Update(func(tx *lsm.Txn) error {
			require.ErrorIs(t, tx.Commit(), lsm.ErrClosed)
			tx.Rollback()
			return tx.Set([]byte("e"), nil)
		}))
		require.True(t, has("e"))

		tx, err = db.Begin()
		require.NoError(t, err)
		require.NoError(t, tx.Set([]byte("f"), nil))
		require.ErrorIs(t, db.Close(), lsm.ErrInUse)
		require.ErrorIs(t, tx.Commit(), lsm.ErrClosed)
		_, err = db.Begin()
		require.ErrorIs(t, err, lsm.ErrClosed)
	})
}

func ExampleDB_Begin() {
	db, err := lsm.Open("db", &lsm.Options{InMemory: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tx.Rollback() // does nothing behind a Commit
	_ = tx.Set([]byte("k"), []byte("v"))
	fmt.Println(tx.Commit())
	v, err := db.Get([]byte("k"))
	fmt.Println(string(v), err)
	// Output:
	// <nil>
	// v <nil>
}
