package lsm

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// openRestful opens a store that is at rest after a second.
func openRestful(t *testing.T, fs vfs.FS) *DB {
	z := small()
	z.SettleAfter = time.Second
	return openSized(t, fs, Options{Compression: NoCompression}, z)
}

func fillScope(t *testing.T, db *DB, s scope.Scope, entries, valueLen int) *Scope {
	t.Helper()
	sc, err := db.Scope(s)
	require.NoError(t, err)
	for i := range entries {
		require.NoError(t, sc.Set(fmt.Appendf(nil, "k%05d", i), make([]byte, valueLen), NoSync))
	}
	return sc
}

// count returns how many entries a scope shows.
func count(t *testing.T, sc *Scope) int {
	t.Helper()
	n := 0
	for _, err := range sc.Scan(nil, nil) {
		require.NoError(t, err)
		n++
	}
	return n
}

// entriesOf returns how many entries of an id are in tables.
func entriesOf(t *testing.T, db *DB, id scope.ID) int {
	t.Helper()
	s := db.state.Load()
	r := newResolved(id, 0)
	c := scopeCount{scopeKeys: r.scopeKeys, seq: keys.MaxSeqNum}
	for i := range s.version.runs {
		for j := range s.version.runs[i].sources {
			require.NoError(t, c.block(s.version.runs[i].sources[j:j+1]))
		}
	}
	return int(c.entries)
}

func idOf(t *testing.T, sc *Scope) scope.ID {
	t.Helper()
	id, err := sc.db.lookUp(sc.entry, keys.MaxSeqNum)
	require.NoError(t, err)
	return id
}

// A dropped scope gives its space back without anybody's doing, whole tables without
// reading them, and is forgotten.
func TestSpaceOfADroppedScopeReturnsByItself(t *testing.T) {
	for _, w := range []*WriteOptions{Sync, NoSync} {
		synctest.Test(t, func(t *testing.T) {
			fs := vfs.NewMem()
			db := openRestful(t, fs)
			kept := fillScope(t, db, scope.User("kept"), 300, 100)
			gone := fillScope(t, db, scope.User("gone"), 3000, 100)
			also := fillScope(t, db, scope.User("also kept"), 300, 100)
			time.Sleep(time.Minute)
			full := db.Metrics().DiskBytes - db.Metrics().LogBytes
			require.Greater(t, full, int64(300<<10))
			id := idOf(t, gone)
			written := db.Metrics().CompactedBytes
			require.NoError(t, gone.Drop(w))
			require.Equal(t, 1, db.Metrics().DeadScopes)
			time.Sleep(time.Minute)
			require.Zero(t, entriesOf(t, db, id))
			require.Less(t, db.Metrics().DiskBytes-db.Metrics().LogBytes, full/3)
			require.Less(t, db.Metrics().CompactedBytes-written, full/3, "whole tables are dropped unread")
			require.Equal(t, 300, count(t, kept))
			require.Equal(t, 300, count(t, also))
			require.NoError(t, db.Flush(context.Background()))
			time.Sleep(time.Minute)
			require.Zero(t, db.Metrics().DeadScopes)
			for range db.records(t, recordDeath) {
				require.Fail(t, "a death record outlived its scope")
			}
			require.NoError(t, db.Verify(context.Background()))
			require.NoError(t, db.Close())
		})
	}
}

// records yields the keys of a kind of record.
func (d *DB) records(t *testing.T, kind recordKind) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		it, err := d.newIter(systemKeys, recordBounds(kind), keys.MaxSeqNum)
		require.NoError(t, err)
		defer it.Close()
		for it.Next() {
			if !yield(it.Key()) {
				return
			}
		}
	}
}

// Many small scopes in the same tables, most of them dropped.
func TestSpaceOfManySmallScopesReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openRestful(t, fs)
		var all []*Scope
		for i := range 400 {
			all = append(all, fillScope(t, db, scope.Session(fmt.Sprint(i)), 10, 30))
		}
		time.Sleep(time.Minute)
		full := db.Metrics().Levels[manifest.LastLevel].Entries
		require.Greater(t, full, int64(4000))
		for i, sc := range all {
			if i%4 != 0 {
				require.NoError(t, sc.Drop(NoSync))
			}
		}
		time.Sleep(time.Minute)
		require.NoError(t, db.Flush(context.Background()))
		time.Sleep(time.Minute)
		m := db.Metrics()
		require.Zero(t, m.DeadScopes)
		entries := int64(0)
		for _, l := range m.Levels {
			entries += l.Entries
		}
		require.Less(t, entries, full/3)
		for i, sc := range all {
			want := 10
			if i%4 != 0 {
				want = 0
			}
			require.Equal(t, want, count(t, sc), "scope %d", i)
		}
		require.NoError(t, db.Close())
	})
}

// Death records are found again when the store is opened: the space returns although the
// process ended right after the drop.
func TestSpaceReturnsAfterReopening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openRestful(t, fs)
		fillScope(t, db, scope.User("kept"), 10, 10)
		gone := fillScope(t, db, scope.User("gone"), 1000, 100)
		id := idOf(t, gone)
		require.NoError(t, db.Flush(context.Background()))
		require.NoError(t, gone.Drop(NoSync))
		require.NoError(t, db.Close())
		db = openRestful(t, fs)
		time.Sleep(time.Minute)
		require.Zero(t, entriesOf(t, db, id))
		require.NoError(t, db.Flush(context.Background()))
		time.Sleep(time.Minute)
		require.Zero(t, db.Metrics().DeadScopes)
		require.NoError(t, db.Close())
	})
}

// What a dropped scope held stays for a snapshot that sees it, and goes when that is
// closed.
func TestADroppedScopeOutlivesItsSnapshots(t *testing.T) {
	for range 4 { // what runs beside what differs from one time to the next
		droppedScopeOutlivesItsSnapshots(t)
	}
}

func droppedScopeOutlivesItsSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openRestful(t, fs)
		sc := fillScope(t, db, scope.User("u"), 1000, 100)
		id := idOf(t, sc)
		require.NoError(t, db.Flush(context.Background()))
		before, err := db.NewSnapshot()
		require.NoError(t, err)
		require.NoError(t, sc.Drop(nil))
		after, err := db.NewSnapshot()
		require.NoError(t, err)
		fillScope(t, db, scope.User("u"), 10, 10)
		require.NoError(t, db.Flush(context.Background()))
		time.Sleep(time.Minute)
		then, err := before.Scope(scope.User("u"))
		require.NoError(t, err)
		require.Equal(t, 1000, count(t, then))
		gone, err := after.Scope(scope.User("u"))
		require.NoError(t, err)
		require.Zero(t, count(t, gone))
		require.Equal(t, 10, count(t, sc))
		require.NoError(t, before.Close())
		time.Sleep(time.Minute)
		require.Zero(t, entriesOf(t, db, id), "the later snapshot does not see it")
		require.NoError(t, after.Close())
		require.NoError(t, db.Close())
	})
}

// An id is never given out again: what a scope held before it was dropped, still in
// tables, is nothing that a later scope could show.
func TestIDsAreNotReusedAfterReopening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openRestful(t, fs)
		sc := fillScope(t, db, scope.User("u"), 100, 100)
		old := idOf(t, sc)
		require.NoError(t, db.Flush(context.Background()))
		require.NoError(t, sc.Drop(NoSync)) // not reclaimed before Close
		require.NoError(t, db.Close())
		db = openRestful(t, fs)
		for i := range 40 {
			sc, err := db.Scope(scope.User(fmt.Sprint(i)))
			require.NoError(t, err)
			require.NoError(t, sc.Set([]byte("new"), nil, NoSync))
			require.Equal(t, 1, count(t, sc))
			require.Greater(t, idOf(t, sc), old)
		}
		require.NoError(t, db.Close())
	})
}

// A handle that has seen the scope alive writes to what has its name now.
func TestAStaleHandleWritesToTheScopeOfItsName(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	for _, take := range []func(*Scope) error{
		func(sc *Scope) error { return sc.Drop(NoSync) },
		func(sc *Scope) error { return sc.Move(scope.User("elsewhere"), NoSync) },
	} {
		stale := fillScope(t, db, scope.User("u"), 1, 1)
		require.Equal(t, 1, count(t, stale)) // the handle knows the id now
		batch := stale.NewBatch()
		batch.Set([]byte("batch"), nil)
		sc, err := db.Scope(scope.User("u"))
		require.NoError(t, err)
		require.NoError(t, take(sc))
		require.NoError(t, stale.Set([]byte("set"), nil, NoSync))
		require.NoError(t, sc.Drop(NoSync))
		require.NoError(t, db.Apply(batch, NoSync))
		require.NoError(t, stale.Set([]byte("again"), nil, NoSync))
		fresh, err := db.Scope(scope.User("u"))
		require.NoError(t, err)
		require.Equal(t, 2, count(t, fresh))
		for _, k := range []string{"batch", "again"} {
			has, err := fresh.Has([]byte(k))
			require.NoError(t, err)
			require.True(t, has, k)
		}
		require.NoError(t, fresh.Drop(nil))
	}
}

// The copy of a scope is not taken for one that a crash has interrupted, and what is left
// of one that was interrupted goes.
func TestOnlyUnfinishedCopiesAreRemovedAtOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openRestful(t, fs)
		sc := fillScope(t, db, scope.User("u"), 300, 100)
		_, err := sc.Copy(context.Background(), scope.User("copy"), nil)
		require.NoError(t, err)
		half, err := db.newScopeID()
		require.NoError(t, err)
		var intent dirBatch
		intent.add(keys.KindSet, idKey(recordStaged, half), flagValue)
		_, err = db.commitDirectory(&intent, nil)
		require.NoError(t, err)
		it, err := sc.NewIter(nil)
		require.NoError(t, err)
		_, err = db.stageEntries(context.Background(), it, 0, half, nil)
		require.NoError(t, err)
		require.NoError(t, it.Close())
		require.NoError(t, db.Flush(context.Background()))
		require.Equal(t, 300, entriesOf(t, db, half))
		require.NoError(t, db.Close())

		db = openRestful(t, fs)
		time.Sleep(time.Minute)
		require.NoError(t, db.Flush(context.Background()))
		time.Sleep(time.Minute)
		require.Zero(t, entriesOf(t, db, half))
		for range db.records(t, recordStaged) {
			require.Fail(t, "a staged record is left")
		}
		require.Zero(t, db.Metrics().DeadScopes)
		sc, err = db.Scope(scope.User("copy"))
		require.NoError(t, err)
		require.Equal(t, 300, count(t, sc))
		require.NoError(t, db.Close())
	})
}

// So many changes of the directory that the list of recent ones has lost some.
func TestHandlesSurviveMoreChangesThanAreRemembered(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	sc := fillScope(t, db, scope.User("u"), 1, 1)
	require.Equal(t, 1, count(t, sc))
	other, err := db.Scope(scope.User("v"))
	require.NoError(t, err)
	for range maxRecentChanges {
		require.NoError(t, other.Set(nil, nil, NoSync))
		require.NoError(t, other.Drop(NoSync))
	}
	require.Greater(t, db.directory.floor, keys.SeqNum(sc.held.Load().at.Load()))
	require.NoError(t, sc.Set([]byte("k"), nil, NoSync))
	require.Equal(t, 2, count(t, sc))
}

// What the engine keeps of scopes in memory is bounded.
func TestTheCacheOfScopesIsBounded(t *testing.T) {
	c := scopeCache{half: 8}
	for i := range 1000 {
		c.put(scope.User(fmt.Sprint(i)), newResolved(scope.ID(i), 0))
		require.NotNil(t, c.get(scope.User("0")), "what is used stays")
		require.LessOrEqual(t, len(c.younger)+len(c.older), 2*c.half)
	}
	require.Nil(t, c.get(scope.User("1")))
}

// A drop that is not synced may be undone by a power cut: until it is durable, no table may
// lack what the scope held.
func TestAnUndoneDropHasLostNothing(t *testing.T) {
	t.Run("in clear", func(t *testing.T) { anUndoneDropHasLostNothing(t, nil) })
	t.Run("encrypted", func(t *testing.T) { anUndoneDropHasLostNothing(t, &Encryption{Key: masterKey(1)}) })
}

func anUndoneDropHasLostNothing(t *testing.T, encryption *Encryption) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewCrashMem()
		z := small()
		z.SettleAfter = time.Second
		o := Options{Compression: NoCompression, SyncInterval: -1, LogMode: LogWritten, Encryption: encryption}
		db := openSized(t, mem, o, z)
		sc := fillScope(t, db, scope.User("u"), 500, 100)
		require.NoError(t, db.Flush(context.Background()))
		from := mem.Ops()
		require.NoError(t, sc.Drop(NoSync))
		time.Sleep(time.Minute)
		states, undone := 0, 0
		e := mem.Explore()
		for k := from; k <= e.Len(); k += 3 {
			e.AdvanceTo(k)
			for s := range e.States(vfs.StateOptions{Pending: 4, Cuts: 2}) {
				again := openSized(t, s.Mem(), o, z)
				sc, err := again.Scope(scope.User("u"))
				require.NoError(t, err)
				n := count(t, sc)
				require.True(t, n == 0 || n == 500, "%d of 500 entries", n)
				there, err := sc.Exists()
				require.NoError(t, err)
				require.Equal(t, n > 0, there)
				require.NoError(t, again.Close())
				if states++; there {
					undone++
				}
			}
		}
		require.Positive(t, undone)
		require.Less(t, undone, states)
		require.NoError(t, db.Close())
	})
}

// What a dropped scope holds in the memtable alone keeps its log: a store at rest flushes
// it, and writes nothing of it.
func TestTheLogOfADroppedScopeReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := small()
		z.MinMemtableBytes, z.MemtableBytes, z.BudgetBytes, z.SettleAfter = 8<<20, 8<<20, 64<<20, time.Second
		db := openSized(t, vfs.NewMem(), Options{Compression: NoCompression}, z)
		sc := fillScope(t, db, scope.User("u"), 2000, 1000)
		time.Sleep(time.Minute)
		require.Zero(t, db.Metrics().Flushes)
		require.NoError(t, sc.Drop(NoSync))
		time.Sleep(time.Minute)
		require.Equal(t, int64(1), db.Metrics().Flushes)
		require.Less(t, db.Metrics().FlushedBytes, int64(100<<10))
		require.Zero(t, db.Metrics().DeadScopes)
		require.NoError(t, db.Close())
	})
}
