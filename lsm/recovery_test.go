package lsm

import (
	"context"
	"fmt"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

func openOn(t *testing.T, fs vfs.FS, o Options) *DB {
	t.Helper()
	o.seams = seams.Seams{FS: fs, Sizing: seams.Sizing{ReserveSeqNums: 1000}}
	db, err := Open("db", &o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// killed returns what a killed process leaves of the store, and lets the store go.
func killed(t *testing.T, db *DB, fs *vfs.Mem) *vfs.Mem {
	left := fs.Copy()
	require.NoError(t, db.Close())
	return left
}

// After a crash no number that may have been given out is given out again: it may be
// known outside the process.
func TestSequenceNumbersAreNotReusedAfterACrash(t *testing.T) {
	fs := vfs.NewMem()
	db := openOn(t, fs, Options{})
	for i := range 10 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "k%d", i), nil, NoSync))
	}
	reserved := db.reserved.Load()
	require.GreaterOrEqual(t, reserved, uint64(1000))
	left := killed(t, db, fs)

	db = openOn(t, left, Options{})
	require.False(t, db.found.Clean)
	require.GreaterOrEqual(t, uint64(db.lastSeqNum), reserved)
	require.EqualValues(t, 10, db.found.ReplayedOps)
	require.NoError(t, db.Close())

	last := db.lastSeqNum
	db = openOn(t, left, Options{})
	require.True(t, db.found.Clean)
	require.Equal(t, last, db.lastSeqNum, "after a clean end numbers go on")
	require.NoError(t, db.Close())
}

// Numbers are reserved ahead of use, also when no flush renews the mark.
func TestNumbersBeyondTheMarkAreReservedFirst(t *testing.T) {
	db := openOn(t, vfs.NewMem(), Options{})
	for i := range 5000 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "k%d", i), nil, NoSync))
		db.manifestMu.Lock()
		reserved := db.manifestLog.State().ReservedSeqNum
		db.manifestMu.Unlock()
		require.LessOrEqual(t, db.lastSeqNum, reserved)
	}
	require.NoError(t, db.Close())
}

// Opening to read changes no file, even after a crash.
func TestReadOnlyOpeningWritesNothing(t *testing.T) {
	fs := vfs.NewMem()
	db := openOn(t, fs, Options{})
	for i := range 100 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "k%03d", i), []byte("v"), NoSync))
	}
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Set([]byte("later"), []byte("v"), nil))
	left := killed(t, db, fs)

	counted := vfs.NewFaults(left)
	db = openOn(t, counted, Options{ReadOnly: true})
	n := 0
	for _, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 101, n)
	require.ErrorIs(t, db.Set([]byte("k"), nil, nil), ErrReadOnly)
	require.ErrorIs(t, db.Flush(context.Background()), ErrReadOnly)
	require.ErrorIs(t, db.Compact(context.Background(), nil, nil), ErrReadOnly)
	require.NoError(t, db.Close())
	writes := vfs.OpWrites &^ vfs.OpLock
	require.Zero(t, counted.Count(writes, ""))
}

// What is missing is damage, met when the store is opened.
func TestAMissingTableIsFoundAtOpening(t *testing.T) {
	fs := vfs.NewMem()
	db := openOn(t, fs, Options{})
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Close())
	require.NoError(t, fs.Remove("db/000001.sst"))
	o := Options{seams: seams.Seams{FS: fs}}
	_, err := Open("db", &o)
	var c *CorruptionError
	require.ErrorAs(t, err, &c)
	require.Equal(t, "000001.sst", c.File)
	require.ErrorIs(t, err, ErrCorrupt)
}

// The log was replayed into memtables that began as small as those of a new store: each
// of them became a run of level 0.
func TestALogIsReplayedIntoFewMemtables(t *testing.T) {
	fs := vfs.NewMem()
	z := small()
	z.MinMemtableBytes, z.MemtableBytes, z.BudgetBytes = 1<<20, 1<<20, 8<<20
	db := openSized(t, fs, Options{}, z)
	for i := range 6000 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "k%05d", i), make([]byte, 100), NoSync))
	}
	left := killed(t, db, fs)
	z.MinMemtableBytes = 16 << 10
	o := Options{ReadOnly: true, seams: seams.Seams{FS: left, Sizing: z}}
	db, err := Open("db", &o)
	require.NoError(t, err)
	require.LessOrEqual(t, len(db.state.Load().frozen), 1)
	require.EqualValues(t, 6000, db.found.ReplayedOps)
	require.NoError(t, db.Close())
}

// Opening again and again leaves neither tables nor log segments behind.
func TestOpeningAgainAndAgainCollectsNothing(t *testing.T) {
	fs := vfs.NewMem()
	for i := range 30 {
		db := openOn(t, fs, Options{})
		require.NoError(t, db.Set([]byte("k"), fmt.Appendf(nil, "%d", i), nil))
		require.NoError(t, db.Close())
		names, err := fs.List("db")
		require.NoError(t, err)
		require.LessOrEqual(t, len(names), 16, "%v", names) // four tables, nine slots, three others
	}
	db := openOn(t, fs, Options{})
	v, err := db.Get([]byte("k"))
	require.NoError(t, err)
	require.Equal(t, "29", string(v))
	require.NoError(t, db.Close())
}
