package lsm

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// An operand on what expires leaves the expiry as it is; one that comes at or after it finds
// nothing. It does not matter where base and operands lie and when they are folded, nor that
// the value has been reclaimed: an older value does not come back either.
func TestOperandsInheritTheExpiryOfTheirBase(t *testing.T) {
	for _, flushes := range []int{0, 1, 2, 3} { // after the base, after the first operand, after the second
		for _, older := range []bool{false, true} {
			for _, reclaimed := range []bool{false, true} {
				t.Run(fmt.Sprintf("flushes=%d,older=%v,reclaimed=%v", flushes, older, reclaimed), func(t *testing.T) {
					c := newHandClock()
					db := openAt(t, vfs.NewMem(), c, Options{})
					flush := func(i int) {
						if i < flushes {
							require.NoError(t, db.Flush(context.Background()))
						}
					}
					k := []byte("k")
					require.NoError(t, db.Set([]byte("a"), nil, nil))
					if older {
						require.NoError(t, db.Set(k, []byte("older"), nil))
						require.NoError(t, db.Compact(context.Background(), nil, nil))
					}
					expires := db.Now().Add(time.Second)
					require.NoError(t, db.SetWithTTL(k, []byte("v"), time.Second, nil))
					flush(0)
					c.pass(500 * time.Millisecond)
					require.NoError(t, db.Merge(BytesAppend, k, []byte("+1"), nil))
					everyRead(t, db, "k", "v+1", expires)
					flush(1)
					snap, err := db.NewSnapshot()
					require.NoError(t, err)
					c.pass(499 * time.Millisecond)
					require.NoError(t, db.Merge(BytesAppend, k, []byte("+2"), nil))
					flush(2)
					everyRead(t, db, "k", "v+1+2", expires)
					c.pass(time.Millisecond)
					everyRead(t, db, "k", "", time.Time{})
					v, at, err := snap.GetWithExpiry(k)
					require.NoError(t, err)
					require.Equal(t, "v+1", string(v))
					require.Equal(t, expires.UnixMilli(), at.UnixMilli())
					if reclaimed {
						require.NoError(t, snap.Close())
						for range 2 {
							require.NoError(t, db.Compact(context.Background(), nil, nil))
							everyRead(t, db, "k", "", time.Time{})
						}
						require.Zero(t, expiringLeft(db))
					}
					require.NoError(t, db.Merge(BytesAppend, k, []byte("+3"), nil))
					everyRead(t, db, "k", "+3", time.Time{})
					require.NoError(t, db.Compact(context.Background(), nil, nil))
					everyRead(t, db, "k", "+3", time.Time{})
					if !reclaimed {
						v, err := snap.Get(k)
						require.NoError(t, err)
						require.Equal(t, "v+1", string(v))
						require.NoError(t, snap.Close())
					}
					c.pass(time.Hour)
					require.NoError(t, db.Compact(context.Background(), nil, nil))
					everyRead(t, db, "k", "+3", time.Time{})
				})
			}
		}
	}
}

// The marker of a base stays below operands that lie in younger tables, or in the memtable, and
// were committed before the expiry: they were meant for what has expired.
func TestMarkersOutliveTheOperandsAboveThem(t *testing.T) {
	for _, where := range []string{"memtable", "table"} {
		t.Run(where, func(t *testing.T) {
			c := newHandClock()
			db := openAt(t, vfs.NewMem(), c, Options{})
			k := []byte("k")
			require.NoError(t, db.SetWithTTL(k, []byte("v"), time.Second, nil))
			require.NoError(t, db.Flush(context.Background()))
			snap, err := db.NewSnapshot() // so that the operand is not folded into the base
			require.NoError(t, err)
			require.NoError(t, db.Merge(BytesAppend, k, []byte("+1"), nil))
			if where == "table" {
				require.NoError(t, db.Flush(context.Background()))
			}
			require.NoError(t, snap.Close())
			c.pass(time.Minute)
			everyRead(t, db, "k", "", time.Time{})
			require.NoError(t, db.Compact(context.Background(), nil, nil))
			everyRead(t, db, "k", "", time.Time{})
			require.NoError(t, db.Compact(context.Background(), nil, nil))
			require.Zero(t, expiringLeft(db))
			everyRead(t, db, "k", "", time.Time{})
		})
	}
}

// Operands are joined with each other only where nothing can have expired between them.
func TestOperandsAreNotJoinedOverAnExpiry(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	k := []byte("k")
	require.NoError(t, db.SetWithTTL(k, []byte("v"), time.Second, nil))
	require.NoError(t, db.Flush(context.Background()))
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	require.NoError(t, db.Merge(BytesAppend, k, []byte("+1"), nil))
	c.pass(time.Second)
	require.NoError(t, db.Merge(BytesAppend, k, []byte("+2"), nil))
	for range 2 {
		require.NoError(t, db.Flush(context.Background()))
		everyRead(t, db, "k", "+2", time.Time{})
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		everyRead(t, db, "k", "+2", time.Time{})
	}
	v, err := snap.Get(k)
	require.NoError(t, err)
	require.Equal(t, "v", string(v))
	require.NoError(t, snap.Close())
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	everyRead(t, db, "k", "+2", time.Time{})
}

// A transaction's operands on what expires inherit the expiry, too, and depend on it once read.
func TestOwnOperandsOnWhatExpires(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	k := []byte("k")
	for _, late := range []bool{false, true} {
		expires := db.Now().Add(time.Second)
		require.NoError(t, db.SetWithTTL(k, []byte("v"), time.Second, nil))
		err := db.Update(func(tx *Txn) error {
			require.NoError(t, tx.Merge(BytesAppend, k, []byte("+1")))
			v, at, err := tx.GetWithExpiry(k)
			require.NoError(t, err)
			require.Equal(t, "v+1", string(v))
			require.Equal(t, expires.UnixMilli(), at.UnixMilli())
			it, err := tx.NewIter(nil)
			require.NoError(t, err)
			require.True(t, it.SeekLT([]byte("k\x00")))
			require.Equal(t, "v+1", string(it.Value()))
			require.Equal(t, expires.UnixMilli(), it.Expiry().UnixMilli())
			require.NoError(t, it.Close())
			require.NoError(t, tx.SetWithExpiry([]byte("past"), []byte("x"), db.Now().Add(-time.Second)))
			require.NoError(t, tx.Merge(BytesAppend, []byte("past"), []byte("+9")))
			require.NoError(t, tx.SetWithTTL([]byte("own"), []byte("x"), time.Minute))
			require.NoError(t, tx.Merge(BytesAppend, []byte("own"), []byte("+9")))
			if late {
				c.pass(time.Second)
			}
			return nil
		})
		if late {
			require.ErrorIs(t, err, ErrConflict)
			continue
		}
		require.NoError(t, err)
		everyRead(t, db, "k", "v+1", expires)
		everyRead(t, db, "past", "+9", time.Time{})
		everyRead(t, db, "own", "x+9", db.Now().Add(time.Minute))
	}
	require.NoError(t, db.SetWithTTL(k, []byte("v"), time.Second, nil))
	require.NoError(t, db.Update(func(tx *Txn) error { // it reads nothing
		require.NoError(t, tx.Merge(BytesAppend, k, []byte("+1")))
		c.pass(time.Second)
		return nil
	}))
	everyRead(t, db, "k", "+1", time.Time{})
}

// A batch with operands and times to live can be applied again, although its operands were
// joined the first time.
func TestABatchOfOperandsAndTimesToLiveIsAppliedTwice(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{})
	b := db.NewBatch()
	b.Merge(BytesAppend, []byte("m"), []byte("1"))
	b.SetWithTTL([]byte("a"), []byte("first"), time.Second)
	b.Merge(BytesAppend, []byte("m"), []byte("23456789"))
	b.SetWithTTL([]byte("b"), []byte("second"), time.Minute)
	b.Merge(BytesAppend, []byte("b"), []byte("+"))
	for i := range 3 {
		require.NoError(t, db.Apply(b, nil))
		everyRead(t, db, "a", "first", db.Now().Add(time.Second))
		everyRead(t, db, "b", "second+", db.Now().Add(time.Minute))
		v, err := db.Get([]byte("m"))
		require.NoError(t, err)
		require.Len(t, v, 9*(i+1))
		c.pass(time.Hour)
		everyRead(t, db, "a", "", time.Time{})
		everyRead(t, db, "b", "", time.Time{})
	}
}

// B17: an entry that operands have changed is one event all the same, under the number that it
// then has; one that began anew after its expiry is none.
func TestExpiriesOfMergedEntriesAreEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openSized(t, vfs.NewMem(), Options{ExpiryEvents: true}, small())
		require.NoError(t, db.SetWithTTL([]byte("n"), Int64Bytes(1), time.Minute, nil))
		require.NoError(t, db.SetWithTTL([]byte("t"), []byte("v"), time.Minute, nil))
		for range 100 {
			require.NoError(t, db.Merge(Int64Add, []byte("n"), Int64Bytes(1), NoSync))
			require.NoError(t, db.Merge(BytesAppend, []byte("t"), []byte("+"), NoSync))
		}
		_, version, err := db.GetWithVersion([]byte("n"))
		require.NoError(t, err)
		require.NoError(t, db.Flush(context.Background()))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, []string{"root/n", "root/t"}, eventKeys(t, db))
		events, err := db.ExpiryEvents(1)
		require.NoError(t, err)
		require.Equal(t, version, events[0].Version)
		require.NoError(t, db.Merge(Int64Add, []byte("n"), Int64Bytes(7), nil))
		v, err := db.Get([]byte("n"))
		require.NoError(t, err)
		require.Equal(t, Int64Bytes(7), v)
		require.NoError(t, db.Close())
	})
}
