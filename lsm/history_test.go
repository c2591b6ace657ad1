package lsm

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
)

// A position stands for what is on the device.
func TestPositionsSurvivePowerCuts(t *testing.T) {
	for _, mode := range []LogMode{LogMapped, LogWritten} {
		fs := vfs.NewCrashMem()
		o := Options{LogMode: mode, SyncInterval: -1}
		if mode == LogWritten {
			o.Encryption = &Encryption{Key: masterKey(1)}
		}
		db := openSized(t, fs, o, small())
		setAll(t, db, "a=1", "b=1")
		at := positionNow(t, db)
		setAll(t, db, "c=1")
		left := fs.CrashCopy()
		require.NoError(t, db.Close())
		db = openSized(t, left, o, small())
		require.NotContains(t, changesOf(t, db, at), "a")
		require.Contains(t, changesOf(t, db, Position{}), lines("set a=1", "set b=1"))
		require.NoError(t, db.Close())
	}
}

// A copy of the directory, or the same one after a crash, may give the numbers of a position
// to other writes: the position is then refused, and those before it are not.
func TestPositionsOfOtherHistoriesAreRefused(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	setAll(t, db, "a=1")
	shared := positionNow(t, db)
	require.NoError(t, db.wal.Sync(db.wal.End()))
	running := fs.CopyDurable() // as a copy of a running machine's disk
	setAll(t, db, "b=1")
	lost := positionNow(t, db) // before the crash that the copy has seen
	require.NoError(t, db.Close())
	closed := fs.Copy()

	reopened := openSized(t, fs, Options{}, small())
	setAll(t, reopened, "c=1", "d=1")
	ours := positionNow(t, reopened)
	require.Equal(t, lines("set b=1", "set c=1", "set d=1"), changesOf(t, reopened, shared))
	require.Equal(t, lines("set c=1", "set d=1"), changesOf(t, reopened, lost))
	for name, other := range map[string]*vfs.Mem{"running": running, "closed": closed} {
		db := openSized(t, other, Options{}, small())
		fresh := positionNow(t, db)
		setAll(t, db, "x=1", "y=1", "z=1")
		require.Equal(t, lines("set x=1", "set y=1", "set z=1"), changesOf(t, db, fresh), name)
		_, err := tryChanges(db, ours)
		require.ErrorIs(t, err, ErrDiverged, name)
		require.ErrorIs(t, db.SetHorizon("h", ours), ErrDiverged)
		_, err = tryChanges(reopened, positionNow(t, db))
		require.ErrorIs(t, err, ErrDiverged, name)
		got, err := tryChanges(db, lost)
		if name == "running" { // what the position stands for is not in it
			require.ErrorIs(t, err, ErrDiverged)
			require.Equal(t, lines("set x=1", "set y=1", "set z=1"), changesOf(t, db, shared))
		} else {
			require.NoError(t, err)
			require.Equal(t, lines("set x=1", "set y=1", "set z=1"), got)
		}
		require.NoError(t, db.Close())
	}
}

// What is ahead, or of another store, is refused; a reader says what it cannot promise.
func TestPositionsThatCannotBe(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	require.True(t, positionNow(t, db).IsZero())
	setAll(t, db, "a=1")
	old, err := db.NewSnapshot()
	require.NoError(t, err)
	setAll(t, db, "b=1")
	ahead := positionNow(t, db)
	for _, err := range old.Diff(ahead) {
		require.ErrorIs(t, err, ErrInvalidPosition)
	}
	foreign := ahead
	foreign.open[3]++
	_, err = tryChanges(db, foreign)
	require.ErrorIs(t, err, ErrDiverged)
	require.NoError(t, old.Close())
	for _, err := range old.Diff(Position{}) {
		require.ErrorIs(t, err, ErrClosed)
	}
	_, err = old.Position()
	require.ErrorIs(t, err, ErrClosed)

	torn := fs.Copy()
	require.NoError(t, db.Close())
	_, err = positionOfReader(t, torn)
	require.ErrorIs(t, err, ErrReadOnly, "the log may not be on the device")
	got, err := positionOfReader(t, fs)
	require.NoError(t, err)
	require.Equal(t, ahead, got)
}

func positionOfReader(t *testing.T, fs vfs.FS) (Position, error) {
	db := openSized(t, fs, Options{ReadOnly: true}, small())
	defer db.Close()
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	defer snap.Close()
	return snap.Position()
}

// After Salvage no position of the old store is one.
func TestSalvagedStoresHaveAHistoryOfTheirOwn(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	setAll(t, db, "a=1", "b=1")
	deleteAll(t, db, "a")
	at := positionNow(t, db)
	require.NoError(t, db.SetHorizon("h", at))
	require.NoError(t, db.Close())
	var o Options
	o.seams = seams.Seams{FS: fs, Sizing: small()}
	_, err := Salvage(context.Background(), "db", "saved", &o)
	require.NoError(t, err)
	o.CompactionWorkers = 1
	db, err = Open("saved", &o)
	require.NoError(t, err)
	defer db.Close()
	_, err = tryChanges(db, at)
	require.ErrorIs(t, err, ErrDiverged)
	hs, err := db.Horizons()
	require.NoError(t, err)
	require.Len(t, hs, 1)
	require.Equal(t, HorizonDiverged, hs[0].State)
	fresh := positionNow(t, db)
	require.False(t, fresh.IsZero())
	setAll(t, db, "c=1")
	require.Equal(t, lines("set c=1"), changesOf(t, db, fresh))
	require.NoError(t, db.SetHorizon("h", fresh))
}
