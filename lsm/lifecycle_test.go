package lsm

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// Metrics held the store as an iterator does, so that a Close beside it returned ErrInUse.
func TestMetricsBesideCloseAreNoUse(t *testing.T) {
	for range 50 {
		db := openOn(t, vfs.NewMem(), Options{})
		var wg sync.WaitGroup
		begun, stop := make(chan struct{}, 4), make(chan struct{})
		for range 4 {
			wg.Go(func() {
				for first := true; ; first = false {
					db.Metrics()
					if first {
						begun <- struct{}{}
					}
					select {
					case <-stop:
						return
					default:
						runtime.Gosched()
					}
				}
			})
		}
		for range 4 {
			<-begun
		}
		require.NoError(t, db.Close())
		close(stop)
		wg.Wait()
	}
}

// A second Close returned before the first had ended, and with it the lock.
func TestASecondCloseWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openOn(t, vfs.NewMem(), Options{})
		guard := db.readers.Enter() // keeps Close from ending
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- db.Close() }()
		synctest.Wait()
		go func() { second <- db.Close() }()
		time.Sleep(time.Second)
		require.Empty(t, first)
		require.Empty(t, second)
		guard.Leave()
		require.NoError(t, <-first)
		require.NoError(t, <-second)
	})
}

func TestOpenIteratorsAreCounted(t *testing.T) {
	db := openOn(t, vfs.NewMem(), Options{})
	snap, err := db.NewSnapshot()
	require.NoError(t, err)
	it, err := snap.NewIter(nil)
	require.NoError(t, err)
	require.Equal(t, 1, db.Metrics().Iterators)
	require.Equal(t, 1, db.Metrics().Snapshots)
	require.NoError(t, it.Close())
	require.NoError(t, it.Close())
	require.Zero(t, db.Metrics().Iterators)
	require.NoError(t, snap.Close())
	require.NoError(t, db.Close())
}

// Opening with MustExist left a lock file in a directory that held no store; opening to
// read one whose lock file was not copied said that there was none.
func TestADirectoryWithoutALockFile(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("db"))
	for _, o := range []Options{{MustExist: true}, {ReadOnly: true}} {
		o.seams.FS = fs
		_, err := Open("db", &o)
		require.ErrorIs(t, err, ErrNotExist)
		names, err := fs.List("db")
		require.NoError(t, err)
		require.Empty(t, names)
	}
	require.NoError(t, openOn(t, fs, Options{}).Close())
	require.NoError(t, fs.Remove("db/LOCK"))
	o := Options{ReadOnly: true}
	o.seams.FS = fs
	_, err := Open("db", &o)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrNotExist)
	require.ErrorContains(t, err, "LOCK")
	require.NoError(t, openOn(t, fs, Options{MustExist: true}).Close())
}

// A new store's directory was taken for durable when the one above it could not be synced
// for lack of permission: a power cut took the store with all that was acknowledged.
func TestAStoreIsNotMadeWhereItsEntryCannotBeSynced(t *testing.T) {
	mem := vfs.NewCrashMem()
	faults := vfs.NewFaults(mem, vfs.Rule{Kinds: vfs.OpSyncDir, Glob: ".", Err: syscall.EACCES})
	_, err := Open("db", &Options{seams: sized(faults)})
	require.ErrorIs(t, err, syscall.EACCES)
	db := openOn(t, faults, Options{})
	require.NoError(t, db.Set([]byte("k"), nil, nil))
	left := mem.CrashCopy()
	require.NoError(t, db.Close())
	db = openOn(t, left, Options{MustExist: true})
	_, err = db.Get([]byte("k"))
	require.NoError(t, err)
	require.NoError(t, db.Close())

	for _, made := range []bool{false, true} { // where the parent may never be read
		mem := vfs.NewMem()
		if made {
			require.NoError(t, mem.MkdirAll("db"))
		}
		faults := vfs.NewFaults(mem, vfs.Rule{
			Kinds: vfs.OpSyncDir | vfs.OpList, Glob: ".", Forever: true, Err: syscall.EACCES,
		})
		for range 2 { // what the first leaves must not make the second believe
			db, err := Open("db", &Options{seams: sized(faults)})
			if !made {
				require.ErrorIs(t, err, syscall.EACCES)
				continue
			}
			require.NoError(t, err, "whoever made the directory answers for it")
			require.NoError(t, db.Close())
		}
	}
}

// Making a store synced every directory up to the root, a device flush for each.
func TestOnlyDirectoriesThatChangedAreSynced(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll("a/b/c"))
	for _, c := range []struct {
		dir    string
		synced []string
		not    []string
	}{
		{"a/b/c/d/db", []string{"a/b/c/d", "a/b/c", "a/b"}, []string{"a", "."}},
		{"a/b/c", []string{"a/b"}, []string{"a", "."}},
	} {
		faults := vfs.NewFaults(mem)
		db, err := Open(c.dir, &Options{seams: sized(faults)})
		require.NoError(t, err)
		for _, dir := range c.synced {
			require.Equal(t, 1, faults.Count(vfs.OpSyncDir, dir), dir)
		}
		for _, dir := range c.not {
			require.Zero(t, faults.Count(vfs.OpSyncDir, dir), dir)
		}
		require.NoError(t, db.Close())
	}
}

// What a crash has left is removed, by the deleter, and before Close.
func TestFilesOfACrashAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		require.NoError(t, openOn(t, fs, Options{}).Close())
		orphans := []string{"db/000077.sst", "db/000078.blob", "db/MANIFEST-000099"}
		for _, name := range orphans {
			f, err := fs.Create(name)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
		db := openOn(t, fs, Options{})
		require.NoError(t, db.Set([]byte("k"), nil, nil))
		require.NoError(t, db.Flush(context.Background()))
		synctest.Wait()
		for _, name := range orphans {
			_, err := fs.Size(name)
			require.ErrorIs(t, err, vfs.ErrNotExist, name)
		}
		require.Len(t, tableFiles(t, fs), 1)
		require.NoError(t, db.Close())
	})
}

// Tables that were compacted away are gone from the directory while the store is open.
func TestObsoleteTablesAreRemovedBeforeClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openSized(t, fs, Options{}, small())
		flushRuns(t, db, 3)
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		time.Sleep(time.Second)
		require.Len(t, tableFiles(t, fs), 1)
		require.NoError(t, db.Close())
	})
}

// The states that were replaced right before Close held tables that were to be deleted:
// they stayed in the directory until the next opening.
func TestCloseRemovesWhatTheLastStatesHeld(t *testing.T) {
	fs := vfs.NewMem()
	z := small()
	z.L0Trigger = 100
	db := openSized(t, fs, Options{}, z)
	flushRuns(t, db, 4)
	db.background.stop() // whoever would release the states in time
	db.compactor.mu.Lock()
	db.compactor.manual = append(db.compactor.manual, &manualCompaction{
		lower: rootPrefix, upper: rootUpper, last: db.visible.load(), done: make(chan error, 1),
	})
	db.compactor.mu.Unlock()
	for more := true; more; {
		var err error
		more, err = db.compactor.runNext(context.Background())
		require.NoError(t, err)
	}
	require.Len(t, tableFiles(t, fs), 5)
	require.NoError(t, db.Close())
	require.Len(t, tableFiles(t, fs), 1)
}

// A merge that was written but surely not installed leaves no tables behind. Of the first
// edit that fails nobody knows whether it is on disk; what it names is left to the next
// opening.
func TestTablesThatAreNotInstalledAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		faults := vfs.NewFaults(mem)
		db := openSized(t, faults, Options{}, small())
		flushRuns(t, db, 3)
		before := len(tableFiles(t, mem))
		faults.Add(vfs.Rule{Kinds: vfs.OpWrite, Glob: "MANIFEST-*", Forever: true, Err: syscall.ENOSPC})
		for range 3 {
			require.ErrorIs(t, db.Compact(context.Background(), nil, nil), ErrNoSpace)
			time.Sleep(time.Second)
			require.Len(t, tableFiles(t, mem), before+1)
		}
		faults.Clear()
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		require.NoError(t, db.Close())
	})
}

// What only a snapshot kept goes when the snapshot does, without another call.
func TestSpaceOfASnapshotReturnsWhenItIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := small()
		z.SettleAfter = time.Second
		db := openSized(t, vfs.NewMem(), Options{}, z)
		for i := range 2000 {
			require.NoError(t, db.Set(fmt.Appendf(nil, "k%04d", i), make([]byte, 100), NoSync))
		}
		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		for i := range 2000 {
			require.NoError(t, db.Delete(fmt.Appendf(nil, "k%04d", i), NoSync))
		}
		require.NoError(t, db.Flush(context.Background()))
		time.Sleep(time.Minute)
		require.Positive(t, db.Metrics().Levels[6].Tables)
		require.NoError(t, snap.Close())
		time.Sleep(time.Minute)
		requireEmpty(t, db)
		require.NoError(t, db.Close())
	})
}

// Every table file that was opened is closed again, and so is every mapping.
func TestReadersOfTablesAreClosed(t *testing.T) {
	faults := vfs.NewFaults(vfs.NewMem())
	db := openSized(t, faults, Options{}, small())
	for i := range 3000 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "k%05d", i*7919%3000), make([]byte, 100), NoSync))
	}
	for _, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
	}
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	_, err := db.Get([]byte("k00001"))
	require.NoError(t, err)
	require.NoError(t, db.Close())
	opened := faults.Count(vfs.OpCreate|vfs.OpOpen|vfs.OpMap, "*.sst")
	require.Greater(t, opened, 20)
	require.Equal(t, opened, faults.Count(vfs.OpClose, "*.sst"))
}

// Engine time does not go back when the wall clock does, not even to the last commit.
func TestEngineTimeGoesOnAfterClose(t *testing.T) {
	fs := vfs.NewMem()
	var now atomic.Int64
	now.Store(1e12)
	open := func() *DB {
		o := Options{}
		o.seams.FS, o.seams.Now = fs, func() time.Time { return time.UnixMilli(now.Load()) }
		db, err := Open("db", &o)
		require.NoError(t, err)
		return db
	}
	db := open()
	require.NoError(t, db.Set([]byte("k"), nil, nil))
	now.Add(time.Hour.Milliseconds())
	ended := db.clock.millis()
	require.NoError(t, db.Close())
	now.Add(-2 * time.Hour.Milliseconds())
	db = open()
	require.GreaterOrEqual(t, db.clock.millis(), ended)
	require.NoError(t, db.Close())
}

// An empty store takes at most 4 MiB of memory, whatever its budget.
func TestAnEmptyStoreTakesLittleMemory(t *testing.T) {
	const stores = 8
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, taken := heap(), int64(0)
	var open []*DB
	for range stores {
		db, err := Open(t.TempDir(), nil)
		require.NoError(t, err)
		open = append(open, db)
		taken += db.mutable.capacity + db.Metrics().CacheBytes
	}
	taken += heap() - before
	for _, db := range open {
		require.NoError(t, db.Close())
	}
	require.LessOrEqual(t, taken/stores, int64(4<<20))
}
