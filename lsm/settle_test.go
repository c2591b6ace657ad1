package lsm

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// Everything was deleted and the store left alone: the tombstones stayed in the mutable
// memtable, which nothing flushed, and no space came back. Nor did it after reopening.
func TestSpaceReturnsToAStoreAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		z := small()
		z.MinMemtableBytes, z.MemtableBytes, z.BudgetBytes, z.SettleAfter = 1<<20, 1<<20, 8<<20, time.Second
		z.MinSegmentBytes, z.MaxSegmentBytes = 64<<10, 256<<10
		db := openSized(t, fs, Options{Compression: NoCompression, BlobThreshold: -1}, z)
		fill := func() {
			for i := range 1000 {
				require.NoError(t, db.Set(fmt.Appendf(nil, "k%04d", i), make([]byte, 4<<10), NoSync))
			}
		}
		fill()
		time.Sleep(time.Minute)
		require.Zero(t, db.Metrics().Levels[0].Runs)
		require.Greater(t, db.Metrics().Levels[manifest.LastLevel].Bytes, int64(2<<20))

		for i := range 1000 {
			require.NoError(t, db.Delete(fmt.Appendf(nil, "k%04d", i), NoSync))
		}
		require.Greater(t, db.Metrics().Levels[manifest.LastLevel].Bytes, int64(2<<20))
		time.Sleep(time.Minute)
		requireEmpty(t, db)

		fill()
		time.Sleep(time.Minute)
		for i := range 1000 {
			require.NoError(t, db.Delete(fmt.Appendf(nil, "k%04d", i), NoSync))
		}
		require.NoError(t, db.Close())
		db = openSized(t, fs, Options{Compression: NoCompression}, z)
		time.Sleep(time.Minute)
		requireEmpty(t, db)
		require.NoError(t, db.Close())
	})
}

// requireEmpty asserts that a store in which all was deleted takes what an empty one does.
func requireEmpty(t *testing.T, db *DB) {
	t.Helper()
	m := db.Metrics()
	for _, level := range m.Levels {
		require.Zero(t, level.Tables)
	}
	require.LessOrEqual(t, m.LogBytes, 3*db.opts.seams.Sizing.MaxSegmentBytes)
	require.Empty(t, tableFiles(t, db.opts.seams.FS))
}

// A log that is kept for a memtable with much less in it goes with a flush.
func TestALogMuchLargerThanItsMemtableIsGivenUpAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		z := small()
		z.MinSegmentBytes, z.MaxSegmentBytes = 4<<20, 4<<20
		z.MinMemtableBytes, z.MemtableBytes, z.BudgetBytes, z.SettleAfter = 1<<20, 1<<20, 8<<20, time.Second
		db := openSized(t, fs, Options{}, z)
		require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
		time.Sleep(time.Minute)
		require.Zero(t, db.Metrics().Flushes, "there is nothing to be had yet")
		require.NoError(t, db.Close())
		db = openSized(t, fs, Options{}, z)
		before := db.Metrics().LogBytes
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, db.Metrics().Flushes)
		require.LessOrEqual(t, db.Metrics().LogBytes, before-4<<20)
		require.NoError(t, db.Close())
	})
}

// A store that is written a little now and then is not flushed each time.
func TestASmallStoreIsNotFlushedAtEveryRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := small()
		z.SettleAfter = time.Second
		db := openSized(t, vfs.NewMem(), Options{}, z)
		for i := range 20 {
			require.NoError(t, db.Set(fmt.Appendf(nil, "k%d", i), []byte("v"), nil))
			require.NoError(t, db.Delete(fmt.Appendf(nil, "k%d", i-1), nil))
			time.Sleep(5 * time.Second)
			require.True(t, db.settler.resting())
		}
		require.Zero(t, db.Metrics().Flushes)
		require.NoError(t, db.Close())
	})
}
