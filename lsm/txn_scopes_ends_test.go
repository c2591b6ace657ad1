package lsm_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// Ranges that a transaction deletes in scopes whose ids follow one another are each their
// scope's, wherever the scopes are by the time of the commit.
func TestDeletedRangesOfATransactionStayInTheirScopes(t *testing.T) {
	s := []scope.Scope{scope.Agent("0"), scope.Agent("1"), scope.Agent("2"), scope.Agent("3"), scope.Agent("4")}
	for there := range 3 {
		db := openMemory(t, lsm.Options{})
		for i := range there + 1 {
			require.NoError(t, handle(t, db, s[i]).Set([]byte("old"), nil, nil))
		}
		require.NoError(t, db.Update(func(tx *lsm.Txn) error {
			for _, i := range []int{1, 3, 0, 2, 4} {
				require.NoError(t, in(t, tx, s[i]).DeleteRange(nil, nil))
			}
			require.NoError(t, in(t, tx, s[2]).Set([]byte("mine"), nil))
			for _, i := range []int{1, 2, 3} { // each is another one, or new
				require.NoError(t, handle(t, db, s[i]).Drop(nil))
				require.NoError(t, handle(t, db, s[i]).Set([]byte("theirs"), nil, nil))
			}
			return nil
		}))
		for i, want := range []string{"", "", "mine=", "", ""} {
			require.Equal(t, want, dump(t, handle(t, db, s[i])), "%d, with %d that were there", i, there)
		}
		require.NoError(t, db.Close())
	}
}

// Scope.Update and Scope.View hand out the transaction as it acts in the scope; one through a
// handle of a snapshot reads the snapshot.
func TestUpdateAndViewOfAScope(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(o lsm.Options) *lsm.DB) {
		db := open(lsm.Options{})
		sc := handle(t, db, scope.Tool("t"))
		increment := func(tx *lsm.Txn) error {
			v, err := tx.Get([]byte("n"))
			if err == nil {
				return tx.Set([]byte("n"), []byte{v[0] + 1})
			}
			require.ErrorIs(t, err, lsm.ErrNotFound)
			return tx.Set([]byte("n"), []byte{'0'})
		}
		require.NoError(t, sc.Update(increment))
		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		then, err := snap.Scope(sc.Name())
		require.NoError(t, err)
		require.NoError(t, sc.Update(increment))
		require.NoError(t, sc.Drop(nil))
		require.NoError(t, sc.Update(increment))
		require.NoError(t, db.Flush(context.Background()))
		require.NoError(t, db.Compact(context.Background(), nil, nil))

		view := func(sc *lsm.Scope) (got string) {
			require.NoError(t, sc.View(func(tx *lsm.Txn) error {
				require.ErrorIs(t, tx.Set([]byte("n"), nil), lsm.ErrReadOnly)
				got = scanned(t, tx)
				return nil
			}))
			return got
		}
		require.Equal(t, "n=0 ", view(sc))
		require.NoError(t, sc.Update(increment))
		require.Equal(t, "n=1 ", view(sc))
		for range 2 { // a view does not end the snapshot that it reads
			require.Equal(t, "n=0 ", view(then))
		}
		require.ErrorIs(t, then.Update(increment), lsm.ErrReadOnly)
		require.NoError(t, snap.Close())
		require.ErrorIs(t, then.View(increment), lsm.ErrClosed)

		require.ErrorIs(t, sc.Update(func(tx *lsm.Txn) error {
			_, err := tx.Get([]byte("n"))
			require.NoError(t, err)
			require.NoError(t, sc.Drop(nil))
			return tx.Set([]byte("m"), nil)
		}), lsm.ErrConflict)
		require.Empty(t, names(t, db, scope.AnyKind, ""))
		require.NoError(t, db.Close())
		require.ErrorIs(t, sc.Update(increment), lsm.ErrClosed)
		require.ErrorIs(t, sc.View(increment), lsm.ErrClosed)
	})
}

// What is wrong with a scope is said at once, and a transaction over many is one commit.
func TestTxnScopeRefusesBadInput(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	var leaked, inScope *lsm.Txn
	require.NoError(t, db.Update(func(tx *lsm.Txn) error {
		_, err := tx.Scope(scope.Agent(""))
		require.ErrorIs(t, err, scope.ErrInvalid)
		leaked, inScope = tx, in(t, tx, scope.Agent("a"))
		for i := range 100 {
			require.NoError(t, in(t, tx, scope.User(fmt.Sprint(i))).Set([]byte("k"), nil))
			require.NoError(t, in(t, tx, scope.User(fmt.Sprint(i/2))).Delete([]byte("k")))
		}
		return nil
	}))
	_, err := leaked.Scope(scope.Agent("b"))
	require.ErrorIs(t, err, lsm.ErrClosed)
	require.ErrorIs(t, inScope.Set([]byte("k"), nil), lsm.ErrClosed)
	_, err = inScope.Get([]byte("k"))
	require.ErrorIs(t, err, lsm.ErrClosed)
	made := 0
	for _, err := range db.ListScopes(scope.KindUser, "") {
		require.NoError(t, err)
		made++
	}
	require.Equal(t, 100, made, "a key that was set and deleted again makes its scope all the same")

	// A write that fails in a scope fails the transaction, wherever else it has written.
	long := make([]byte, 70_000)
	require.ErrorIs(t, db.Update(func(tx *lsm.Txn) error {
		require.NoError(t, tx.Set([]byte("k"), nil))
		require.ErrorIs(t, in(t, tx, scope.Agent("a")).Set(long, nil), lsm.ErrTooLarge)
		return nil
	}), lsm.ErrTooLarge)
	require.Empty(t, entries(t, db))
}

// Scope.Compact makes the scope's deleted keys give their space back, and leaves other scopes'
// alone.
func TestCompactOfAScope(t *testing.T) {
	db := openMemory(t, lsm.Options{Compression: lsm.NoCompression})
	sc, other := handle(t, db, scope.Agent("a")), handle(t, db, scope.Agent("b"))
	require.NoError(t, sc.Compact(context.Background(), nil, nil), "there is nothing to do")
	for i := range 100 {
		require.NoError(t, sc.Set(fmt.Appendf(nil, "%02d", i), make([]byte, 1000), lsm.NoSync))
		require.NoError(t, other.Set(fmt.Appendf(nil, "%02d", i), make([]byte, 1000), lsm.NoSync))
	}
	require.NoError(t, db.Flush(context.Background()))
	size := func() (n int64) {
		for _, l := range db.Metrics().Levels {
			n += l.Bytes
		}
		return n
	}
	full := size()
	require.NoError(t, sc.DeleteRange([]byte("10"), nil, nil))
	require.NoError(t, sc.Compact(context.Background(), []byte("10"), []byte("99")))
	require.Less(t, size(), full-80_000)
	require.Greater(t, size(), full/2)
	require.Equal(t, 100, len(dumpKeys(t, other)))
	require.Equal(t, 10, len(dumpKeys(t, sc)))
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	defer snap.Close()
	then, err := snap.Scope(sc.Name())
	require.NoError(t, err)
	require.ErrorIs(t, then.Compact(context.Background(), nil, nil), lsm.ErrReadOnly)
}

func dumpKeys(t *testing.T, sc *lsm.Scope) (out []string) {
	for e, err := range sc.Scan(nil, nil) {
		require.NoError(t, err)
		out = append(out, string(e.Key))
	}
	return out
}
