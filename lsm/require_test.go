package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// version returns the version of a key, which a read must be able to tell.
func version(t *testing.T, db *lsm.DB, key string) lsm.Version {
	t.Helper()
	_, v, err := db.GetWithVersion([]byte(key))
	if !errors.Is(err, lsm.ErrNotFound) {
		require.NoError(t, err)
	}
	return v
}

func TestEachWriteGivesAKeyANewVersion(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(lsm.Options) *lsm.DB) {
		db := open(lsm.Options{})
		k := []byte("k")
		v, none, err := db.GetWithVersion(k)
		require.ErrorIs(t, err, lsm.ErrNotFound)
		require.Nil(t, v)
		require.Equal(t, lsm.Absent, none)

		require.NoError(t, db.Set(k, []byte("1"), nil))
		v, first, err := db.GetWithVersion(k)
		require.NoError(t, err)
		require.Equal(t, "1", string(v))
		require.NotEqual(t, lsm.Absent, first)

		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		require.NoError(t, db.Set([]byte("other"), nil, nil))
		require.Equal(t, first, version(t, db, "k"), "another key's write")
		require.NoError(t, db.Set(k, []byte("1"), nil))
		second := version(t, db, "k")
		require.Greater(t, second, first, "the same value is a write too")

		v, old, err := snap.GetWithVersion(k)
		require.NoError(t, err)
		require.Equal(t, "1", string(v))
		require.Equal(t, first, old)
		require.NoError(t, snap.Close())
		_, _, err = snap.GetWithVersion(k)
		require.ErrorIs(t, err, lsm.ErrClosed)

		require.NoError(t, db.Flush(context.Background()))
		require.Equal(t, second, version(t, db, "k"))
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		require.Equal(t, second, version(t, db, "k"))
		require.NoError(t, db.Close())
		_, _, err = db.GetWithVersion(k)
		require.ErrorIs(t, err, lsm.ErrClosed)

		db = open(lsm.Options{})
		require.Equal(t, second, version(t, db, "k"))
		require.NoError(t, db.Delete(k, nil))
		require.Equal(t, lsm.Absent, version(t, db, "k"))
		require.NoError(t, db.Set(k, nil, nil))
		require.Greater(t, version(t, db, "k"), second, "after a delete too")
	})
}

func TestABatchIsAppliedOnlyIfItsRequirementsHold(t *testing.T) {
	for name, w := range map[string]*lsm.WriteOptions{"synced": lsm.Sync, "unsynced": lsm.NoSync} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, open func(lsm.Options) *lsm.DB) {
				db := open(lsm.Options{})
				create := db.NewBatch()
				create.Require([]byte("k"), lsm.Absent)
				create.Set([]byte("k"), []byte("1"))
				create.Set([]byte("made"), nil)
				require.NoError(t, db.Apply(create, w))
				require.ErrorIs(t, db.Apply(create, w), lsm.ErrConflict)
				require.NoError(t, db.Delete([]byte("made"), w))

				v := version(t, db, "k")
				b := db.NewBatch()
				b.Require([]byte("k"), v)
				b.Require([]byte("gone"), lsm.Absent)
				b.Set([]byte("k"), []byte("2"))
				b.Set([]byte("n"), nil)
				require.Equal(t, 2, b.Len(), "requirements are no operations")
				require.NoError(t, db.Apply(b, w))
				require.ErrorIs(t, db.Apply(b, w), lsm.ErrConflict, "its own write has changed the version")
				require.NoError(t, db.Delete([]byte("n"), w))

				b.Reset()
				b.Require([]byte("k"), version(t, db, "k"))
				b.Require([]byte("gone"), v) // does not hold
				b.Set([]byte("k"), []byte("3"))
				b.Set([]byte("n"), nil)
				require.ErrorIs(t, db.Apply(b, w), lsm.ErrConflict)
				got, err := db.Get([]byte("k"))
				require.NoError(t, err)
				require.Equal(t, "2", string(got))
				has, err := db.Has([]byte("n"))
				require.NoError(t, err)
				require.False(t, has, "nothing of it was written")

				b.Reset()
				b.Set([]byte("n"), nil)
				require.NoError(t, db.Apply(b, w), "Reset drops requirements")
			})
		})
	}
}

// What a batch requires is judged before its own operations, and all of it.
func TestRequirementsAreOfTheStateBefore(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	var b lsm.Batch
	b.Set([]byte("k"), nil)
	b.Require([]byte("k"), lsm.Absent)
	require.NoError(t, db.Apply(&b, nil))
	v := version(t, db, "k")

	b.Reset()
	b.Delete([]byte("k"))
	b.Require([]byte("k"), v)
	b.Require([]byte("k"), v)
	require.NoError(t, db.Apply(&b, nil))
	require.Equal(t, lsm.Absent, version(t, db, "k"))

	b.Reset()
	b.Require([]byte("k"), lsm.Absent)
	b.Require([]byte("k"), v)
	b.Set([]byte("k"), nil)
	require.ErrorIs(t, db.Apply(&b, nil), lsm.ErrConflict, "no key has two versions")
}

func TestABatchOfRequirementsAloneIsACheck(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	require.NoError(t, db.Set([]byte("k"), nil, nil))
	b := db.NewBatch()
	b.Require([]byte("k"), version(t, db, "k"))
	b.Require([]byte("n"), lsm.Absent)
	require.NoError(t, db.Apply(b, nil))
	require.NoError(t, db.Set([]byte("n"), nil, nil))
	require.ErrorIs(t, db.Apply(b, nil), lsm.ErrConflict)
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.Apply(b, nil), lsm.ErrClosed)
}

func TestRequirementsThatCannotBeJudgedAreRefused(t *testing.T) {
	fs := vfs.NewMem()
	o := lsm.Options{}
	seams.Inject(&o, seams.Seams{FS: fs})
	db, err := lsm.Open("db", &o)
	require.NoError(t, err)
	b := db.NewBatch()
	b.Require(make([]byte, 65_536), lsm.Absent)
	b.Set([]byte("k"), nil)
	var limit *lsm.LimitError
	require.ErrorAs(t, db.Apply(b, nil), &limit)
	require.Equal(t, "key", limit.What)
	require.Equal(t, lsm.Absent, version(t, db, "k"))

	b.Reset()
	b.Require(make([]byte, 65_535), lsm.Absent)
	b.Require(nil, lsm.Absent)
	b.Set([]byte("k"), nil)
	require.NoError(t, db.Apply(b, nil))
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.Apply(b, nil), lsm.ErrClosed)

	o.ReadOnly = true
	db, err = lsm.Open("db", &o)
	require.NoError(t, err)
	require.ErrorIs(t, db.Apply(b, nil), lsm.ErrReadOnly)
	require.NotEqual(t, lsm.Absent, version(t, db, "k"))
	require.NoError(t, db.Close())
}

// Counters are raised by compare-and-set from many goroutines, synced and not, beside
// plain writes that never conflict, through flushes and a ring of a few keys: no increment
// is lost.
func TestIncrementsByCompareAndSetAreNotLost(t *testing.T) {
	for _, ringKeys := range []int{0, 2, 16} {
		t.Run(fmt.Sprintf("ring=%d", ringKeys), func(t *testing.T) {
			o := lsm.Options{SyncInterval: -1}
			seams.Inject(&o, seams.Seams{FS: vfs.NewMem(), Sizing: seams.Sizing{
				MinMemtableBytes: 16 << 10, MemtableBytes: 16 << 10, BudgetBytes: 1 << 20, RingKeys: ringKeys,
			}})
			db, err := lsm.Open("db", &o)
			require.NoError(t, err)
			const workers, each = 8, 50
			var wg sync.WaitGroup
			errs := make(chan error, workers+2)
			for i := range workers {
				wg.Go(func() { errs <- increment(db, i, each) })
			}
			for range 2 {
				wg.Go(func() {
					for i := range 500 {
						if err := db.Set(fmt.Appendf(nil, "plain%d", i%50), make([]byte, 100), lsm.NoSync); err != nil {
							errs <- err
							return
						}
					}
					errs <- nil
				})
			}
			wg.Wait()
			for range cap(errs) {
				require.NoError(t, <-errs)
			}
			for _, c := range []string{"c0", "c1"} {
				v, err := db.Get([]byte(c))
				require.NoError(t, err)
				require.Equal(t, strconv.Itoa(workers/2*each), string(v))
			}
			require.NoError(t, db.Close())
		})
	}
}

func increment(db *lsm.DB, worker, times int) error {
	key := fmt.Appendf(nil, "c%d", worker%2)
	for done := 0; done < times; {
		v, version, err := db.GetWithVersion(key)
		if err != nil && !errors.Is(err, lsm.ErrNotFound) {
			return err
		}
		n, _ := strconv.Atoi(string(v))
		b := db.NewBatch()
		b.Require(key, version)
		b.Set(key, strconv.AppendInt(nil, int64(n)+1, 10))
		switch err := db.Apply(b, &lsm.WriteOptions{Unsynced: (worker+done)%3 > 0}); {
		case err == nil:
			done++
		case !errors.Is(err, lsm.ErrConflict):
			return err
		}
	}
	return nil
}
