package lsm

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// A batch of many ranges took the leader a time that grew with their square: each tombstone
// copied a list of all that there were, and one of all snapshots. Allocated bytes count that.
func TestARangeOfALongBatchCostsWhatAnotherDoes(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{SyncInterval: -1}, small())
	require.NoError(t, db.Set([]byte("k"), nil, NoSync))
	var snaps []*Snapshot
	for range 500 {
		s, err := db.NewSnapshot()
		require.NoError(t, err)
		snaps = append(snaps, s)
		require.NoError(t, db.Set([]byte("k"), nil, NoSync))
	}
	const n = 16 << 10
	b := db.NewBatch()
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(n) {
		b.DeleteRange(numbered(2*i), numbered(2*i+1))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, db.Apply(b, NoSync))
	runtime.ReadMemStats(&after)
	each := (after.TotalAlloc - before.TotalAlloc) / n
	t.Logf("%d bytes for a range", each)
	require.Less(t, each, uint64(7<<10))
	for _, s := range snaps {
		require.NoError(t, s.Close())
	}
	require.NoError(t, db.Close())
}

// Snapshots keep many numbers over one span, and a batch cuts that into thousands, each with
// all of them: the memtable is frozen before, not after.
func TestTheRangeTombstonesOfAMemtableAreBounded(t *testing.T) {
	z := small()
	z.MinMemtableBytes, z.MemtableBytes, z.BudgetBytes = 4<<20, 4<<20, 64<<20
	db := openSized(t, vfs.NewMem(), Options{SyncInterval: -1}, z)
	var snaps []*Snapshot
	for range 60 {
		require.NoError(t, db.DeleteRange(nil, nil, NoSync))
		s, err := db.NewSnapshot()
		require.NoError(t, err)
		snaps = append(snaps, s)
	}
	require.NoError(t, db.Set(numbered(1), nil, NoSync))
	b := db.NewBatch()
	for i := range 2000 {
		b.DeleteRange(numbered(2*i), numbered(2*i+1))
	}
	require.NoError(t, db.Apply(b, NoSync))
	s := db.state.Load()
	for _, m := range append([]*mutableTable{s.mutable}, s.frozen...) {
		require.LessOrEqual(t, m.ranges.Load().Pairs(), 3*maxRangePairs)
	}
	require.Equal(t, 1, countKeys(t, db))
	for _, s := range snaps {
		require.NoError(t, s.Close())
	}
	require.NoError(t, db.Close())
}

// The ends of tombstones are kept beside the arena, which does not get full of them.
func TestTheEndsOfRangeTombstonesAreBounded(t *testing.T) {
	z := small()
	z.MinMemtableBytes, z.MemtableBytes, z.BudgetBytes = 4<<20, 4<<20, 64<<20
	db := openSized(t, vfs.NewMem(), Options{SyncInterval: -1}, z)
	long := make([]byte, keys.MaxUserKeyLen/2)
	for i := range 400 {
		lower := append(numbered(i), long...)
		require.NoError(t, db.DeleteRange(lower, append(lower, 0), NoSync))
		kept := 0
		for _, span := range db.state.Load().mutable.ranges.Load().Spans() {
			kept += len(span.Lower) + len(span.Upper)
		}
		require.LessOrEqual(t, kept, maxRangeBytes)
	}
	require.NoError(t, db.Close())
}

// The memtable that replaces one with many range tombstones takes a batch of any length.
func TestABatchOfMoreRangesThanAMemtableKeeps(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{SyncInterval: -1}, small())
	fillNumbered(t, db, 100)
	require.NoError(t, db.Flush(context.Background()))
	for _, n := range []int{maxRangePairs + 100, 1000} {
		b := db.NewBatch()
		for i := range n {
			b.DeleteRange(numbered(2*i), numbered(2*i+1))
		}
		require.NoError(t, db.Apply(b, NoSync))
	}
	require.Equal(t, 50, countKeys(t, db))
	require.NoError(t, db.Close())
	db = openSized(t, fs, Options{}, small())
	require.Equal(t, 50, countKeys(t, db))
	require.NoError(t, db.Close())
}
