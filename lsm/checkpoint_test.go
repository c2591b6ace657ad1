package lsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

var noDeadline = context.Background()

// openCopy opens a checkpoint on fs.
func openCopy(t *testing.T, fs vfs.FS, dir string, o Options) *DB {
	t.Helper()
	o.MustExist = true
	o.seams = sized(fs)
	db, err := Open(dir, &o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func requireValue(t *testing.T, db *DB, key, want string) {
	t.Helper()
	v, err := db.Get([]byte(key))
	require.NoError(t, err, key)
	require.Equal(t, want, string(v), key)
}

func set(t *testing.T, db *DB, key, value string) {
	t.Helper()
	require.NoError(t, db.Set([]byte(key), []byte(value), NoSync))
}

// linkCountFS counts links, and refuses them with an error if there is one.
type linkCountFS struct {
	vfs.FS
	links   int
	refusal error
}

func (l *linkCountFS) Link(oldName, newName string) error {
	if l.refusal != nil {
		return l.refusal
	}
	l.links++
	return l.FS.Link(oldName, newName)
}

// fillFor writes so much that there are tables in several levels, and a memtable.
func fillFor(t *testing.T, db *DB) map[string]string {
	t.Helper()
	want := map[string]string{}
	for i := range 2000 {
		k, v := fmt.Sprintf("k%04d", i*7919%1000), fmt.Sprintf("%d %s", i, strings.Repeat("x", 50))
		set(t, db, k, v)
		want[k] = v
		if i%100 == 99 {
			require.NoError(t, db.Delete([]byte(k), NoSync))
			delete(want, k)
		}
	}
	return want
}

func requireHolds(t *testing.T, db *DB, want map[string]string) {
	t.Helper()
	n := 0
	for e, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		require.Equal(t, want[string(e.Key)], string(e.Value), "%s", e.Key)
		n++
	}
	require.Equal(t, len(want), n)
}

func TestACheckpointHoldsWhatTheStoreHeld(t *testing.T) {
	for name, refusal := range map[string]error{"linked": nil, "copied": vfs.ErrNoLink} {
		t.Run(name, func(t *testing.T) {
			fs := &linkCountFS{FS: vfs.NewMem(), refusal: refusal}
			db := openSized(t, fs, Options{}, small())
			want := fillFor(t, db)
			require.NoError(t, db.Checkpoint(noDeadline, "some/where/copy"))
			require.Equal(t, refusal == nil, fs.links > 0)
			set(t, db, "later", "1")
			require.NoError(t, db.Delete([]byte("k0001"), nil))

			cp := openCopy(t, fs, "some/where/copy", Options{ReadOnly: true})
			requireHolds(t, cp, want)
			require.NoError(t, cp.Verify(noDeadline))
			require.NoError(t, cp.Close())
			cp = openCopy(t, fs, "some/where/copy", Options{})
			requireHolds(t, cp, want)
			set(t, cp, "own", "2")
			require.NoError(t, cp.Compact(noDeadline, nil, nil))
			_, err := db.Get([]byte("own"))
			require.ErrorIs(t, err, ErrNotFound)
			require.NoError(t, cp.Close())
			requireValue(t, db, "later", "1")
			require.NoError(t, db.Verify(noDeadline))
			require.NoError(t, db.Close())
		})
	}
}

func TestAnEmptyStoreAndACheckpointCanBeCheckpointed(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	require.NoError(t, db.Checkpoint(noDeadline, "empty"))
	cp := openCopy(t, fs, "empty", Options{})
	requireHolds(t, cp, nil)
	set(t, cp, "k", "v")
	require.NoError(t, cp.Checkpoint(noDeadline, "db/inside")) // a directory may hold others
	requireHolds(t, openCopy(t, fs, "db/inside", Options{}), map[string]string{"k": "v"})
	require.NoError(t, db.Close())
	requireHolds(t, openSized(t, fs, Options{}, small()), nil)
}

// Identity, numbers and marks: a checkpoint has a history of its own from the number after
// its last one on, and never gives out a number that its history has.
func TestACheckpointPartsFromTheHistoryOfItsStore(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, openSized(t, fs, Options{}, small()).Close())
	db := openSized(t, fs, Options{}, small())
	flushRuns(t, db, 5)
	require.NoError(t, db.Compact(noDeadline, nil, nil))
	require.NoError(t, db.Delete([]byte("a"), nil))
	require.NoError(t, db.Compact(noDeadline, nil, nil)) // for the history floor
	last := db.visible.load()
	require.NoError(t, db.Checkpoint(noDeadline, "copy"))
	db.manifestMu.Lock()
	was := db.manifestLog.State()
	db.manifestMu.Unlock()
	set(t, db, "k", "source")

	loaded, err := manifest.Load(fs, "copy", nil)
	require.NoError(t, err)
	is := loaded.State
	require.NotEqual(t, was.Store, is.Store)
	require.Equal(t, last, is.FlushedSeqNum)
	require.Equal(t, was.HistoryFloor, is.HistoryFloor)
	require.Positive(t, is.HistoryFloor)
	require.Equal(t, was.ReservedSeqNum, is.ReservedSeqNum)
	require.Equal(t, was.NextFileNum, is.NextFileNum)
	require.Equal(t, was.NextRunID, is.NextRunID)
	require.GreaterOrEqual(t, is.LastTime, was.LastTime)
	require.Empty(t, is.Segments)
	n := len(was.Lineage)
	require.Equal(t, was.Lineage, is.Lineage[:n])
	require.Len(t, is.Lineage, n+1)
	require.Equal(t, last+1, is.Lineage[n].First)

	cp := openCopy(t, fs, "copy", Options{})
	require.Equal(t, last, cp.visible.load())
	set(t, cp, "k", "copy")
	require.Equal(t, last+1, cp.visible.load())
	requireValue(t, db, "k", "source")
	ours := cp.manifestLog.State().Lineage
	require.Equal(t, was.Lineage, ours[:n])
	require.NotEqual(t, was.Lineage[n-1].ID, ours[len(ours)-1].ID)
	require.NoError(t, cp.Close())
}

func TestADirectoryThatIsInUseIsRefused(t *testing.T) {
	everyFS := map[string]func(t *testing.T) (vfs.FS, string){
		"memory": func(*testing.T) (vfs.FS, string) { return vfs.NewMem(), "db" },
		"disk":   func(t *testing.T) (vfs.FS, string) { return vfs.NewOS(), filepath.Join(t.TempDir(), "db") },
	}
	for name, makeFS := range everyFS {
		t.Run(name, func(t *testing.T) {
			fs, dir := makeFS(t)
			o := Options{seams: sized(fs)}
			db, err := Open(dir, &o)
			require.NoError(t, err)
			defer db.Close()
			set(t, db, "k", "v")

			require.ErrorIs(t, db.Checkpoint(noDeadline, dir), ErrNotEmpty)
			require.NoError(t, fs.MkdirAll(filepath.Join(dir, "other")))
			f, err := fs.Create(filepath.Join(dir, "other", "mine"))
			require.NoError(t, err)
			require.NoError(t, f.Close())
			require.ErrorIs(t, db.Checkpoint(noDeadline, filepath.Join(dir, "other")), ErrNotEmpty)
			names, err := fs.List(filepath.Join(dir, "other"))
			require.NoError(t, err)
			require.Equal(t, []string{"mine"}, names)
			require.Error(t, db.Checkpoint(noDeadline, filepath.Join(dir, "other", "mine")))

			empty := filepath.Join(dir, "empty")
			require.NoError(t, fs.MkdirAll(empty))
			held, err := fs.Lock(filepath.Join(empty, manifest.LockName), true, "somebody")
			require.NoError(t, err)
			require.ErrorIs(t, db.Checkpoint(noDeadline, empty), ErrLocked)
			require.NoError(t, held.Close())
			require.NoError(t, db.Checkpoint(noDeadline, empty))
			require.ErrorIs(t, db.Checkpoint(noDeadline, empty), ErrNotEmpty)
			requireHolds(t, openCopy(t, fs, empty, Options{}), map[string]string{"k": "v"})
		})
	}
}

func TestACheckpointOfAStoreThatCannotWrite(t *testing.T) {
	fs := vfs.NewMem()
	faults := vfs.NewFaults(fs)
	// Nobody but the test syncs: what a Set finds synced it writes synced, without a sync that could fail.
	db := openSized(t, faults, Options{SyncInterval: -1}, small())
	set(t, db, "k", "v")
	ended, cancel := context.WithCancel(noDeadline)
	cancel()
	require.ErrorIs(t, db.Checkpoint(ended, "copy"), context.Canceled)
	faults.Add(vfs.Rule{Kinds: vfs.OpSync, Glob: "wal-*", Forever: true})
	require.ErrorIs(t, db.Set([]byte("k"), nil, nil), ErrPoisoned)
	require.ErrorIs(t, db.Checkpoint(noDeadline, "copy"), ErrPoisoned)
	_ = db.Close()
	require.ErrorIs(t, db.Checkpoint(noDeadline, "copy"), ErrClosed)

	o := Options{ReadOnly: true, seams: sized(fs)}
	db, err := Open("db", &o)
	require.NoError(t, err)
	require.ErrorIs(t, db.Checkpoint(noDeadline, "copy"), ErrReadOnly)
	require.NoError(t, db.Close())
	_, err = fs.List("copy")
	require.ErrorIs(t, err, vfs.ErrNotExist, "nothing was made for nothing")
}

// What is left of a checkpoint that failed is refused by Open, and cleared by the next one;
// the store itself goes on. Damage is met by a copy, and reported.
func TestACheckpointThatFailsCanBeMadeAgain(t *testing.T) {
	fs := vfs.NewMem()
	faults := vfs.NewFaults(fs)
	db := openSized(t, faults, Options{}, small())
	want := fillFor(t, db)
	require.NoError(t, db.Flush(noDeadline))
	// The second table, and the clearing of the first.
	faults.Add(vfs.Rule{Kinds: vfs.OpLink, Skip: 1, Err: syscall.ENOSPC})
	faults.Add(vfs.Rule{Kinds: vfs.OpRemove, Glob: "copy/*.sst"})
	require.ErrorIs(t, db.Checkpoint(noDeadline, "copy"), ErrNoSpace)
	for _, o := range []Options{{}, {MustExist: true}, {ReadOnly: true}} {
		o.seams = sized(fs)
		_, err := Open("copy", &o)
		require.ErrorIs(t, err, ErrNotExist)
		require.ErrorContains(t, err, "not finished")
	}
	faults.Clear()
	faults.Add(vfs.Rule{Kinds: vfs.OpLink, Forever: true, Err: syscall.EXDEV})
	faults.Add(vfs.Rule{Kinds: vfs.OpRead, Glob: "db/*.sst", Effect: vfs.Flip})
	require.ErrorIs(t, db.Checkpoint(noDeadline, "copy"), ErrCorrupt)
	faults.Clear()
	names, err := fs.List("copy")
	require.NoError(t, err)
	require.Equal(t, []string{manifest.LockName}, names)
	require.NoError(t, db.Checkpoint(noDeadline, "copy"))
	requireHolds(t, openCopy(t, fs, "copy", Options{}), want)
	require.NoError(t, db.Set([]byte("k"), nil, nil))
	require.NoError(t, db.Close())
}

// A store in memory is checkpointed to disk, from where it can be opened.
func TestAStoreInMemoryIsCheckpointedToDisk(t *testing.T) {
	db, err := Open("memory", &Options{InMemory: true})
	require.NoError(t, err)
	want := fillFor(t, db)
	dir := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, db.Checkpoint(noDeadline, dir))
	require.NoError(t, db.Close())
	cp, err := Open(dir, &Options{MustExist: true})
	require.NoError(t, err)
	requireHolds(t, cp, want)
	require.NoError(t, cp.Close())
}

// gatedLinkFS calls before ahead of each Link, which may wait.
type gatedLinkFS struct {
	vfs.FS
	before func()
}

func (g *gatedLinkFS) Link(oldName, newName string) error {
	g.before()
	return g.FS.Link(oldName, newName)
}

// Tables that are compacted away while they are linked stay until they are.
func TestTablesAreNotDeletedUnderACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		fs := &gatedLinkFS{FS: mem}
		z := small()
		z.L0Trigger = 100
		db := openSized(t, fs, Options{}, z)
		flushRuns(t, db, 4)
		before := tableFiles(t, mem)
		gone := false
		synctest.Wait() // nobody looks at the hook meanwhile
		fs.before = func() {
			if !gone {
				gone = true
				require.NoError(t, db.Compact(noDeadline, nil, nil))
				set(t, db, "a", "later")
				time.Sleep(time.Minute) // whatever is to be deleted is
			}
		}
		require.NoError(t, db.Checkpoint(noDeadline, "copy"))
		time.Sleep(time.Minute)
		after := tableFiles(t, mem)
		require.Len(t, after, 1)
		require.NotContains(t, before, after[0])
		cp := openCopy(t, mem, "copy", Options{})
		requireHolds(t, cp, map[string]string{"a": "3", "z": "3"})
		require.NoError(t, cp.Close())
		require.NoError(t, db.Close())
	})
}

// Writers commit pairs all the while: each checkpoint has what was committed before it, a
// first part of the rest, and no half of a batch. All at once go where there is one name.
func TestCheckpointsBesideWriters(t *testing.T) {
	for _, refusal := range []error{nil, vfs.ErrNoLink} {
		fs := &linkCountFS{FS: vfs.NewMem(), refusal: refusal}
		db := openSized(t, &noCountFS{fs}, Options{}, small())
		const writers = 3
		var acked [writers]int
		var mu sync.Mutex // guards acked
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := 1; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					b := db.NewBatch()
					b.Set(fmt.Appendf(nil, "a%d", w), fmt.Appendf(nil, "%d", i))
					b.Set(fmt.Appendf(nil, "fill-%d-%d", w, i%500), make([]byte, 100))
					b.Set(fmt.Appendf(nil, "z%d", w), fmt.Appendf(nil, "%d", i))
					if err := db.Apply(b, NoSync); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					acked[w] = i
					mu.Unlock()
				}
			})
		}
		for i := range 8 {
			mu.Lock()
			before := acked
			mu.Unlock()
			dir := fmt.Sprintf("copy-%d", i)
			var together sync.WaitGroup
			errs := make([]error, 2)
			for j := range errs {
				together.Go(func() { errs[j] = db.Checkpoint(noDeadline, dir) })
			}
			together.Wait()
			require.True(t, (errs[0] == nil) != (errs[1] == nil), "%v", errs)
			err := errors.Join(errs...)
			require.True(t, errors.Is(err, ErrLocked) || errors.Is(err, ErrNotEmpty), "%v", err)
			cp := openCopy(t, fs.FS, dir, Options{})
			for w := range writers {
				a, aerr := cp.Get(fmt.Appendf(nil, "a%d", w))
				z, zerr := cp.Get(fmt.Appendf(nil, "z%d", w))
				if before[w] == 0 && errors.Is(aerr, ErrNotFound) {
					require.ErrorIs(t, zerr, ErrNotFound)
					continue
				}
				require.NoError(t, errors.Join(aerr, zerr))
				require.Equal(t, string(a), string(z))
				n := 0
				_, err := fmt.Sscan(string(a), &n)
				require.NoError(t, err)
				require.GreaterOrEqual(t, n, before[w])
			}
			require.NoError(t, cp.Verify(noDeadline))
			require.NoError(t, cp.Close())
		}
		close(stop)
		wg.Wait()
		require.NoError(t, db.Close())
	}
}

// noCountFS refuses links as its linkCountFS does, and counts none: for several goroutines.
type noCountFS struct{ *linkCountFS }

func (n *noCountFS) Link(oldName, newName string) error {
	if n.refusal != nil {
		return n.refusal
	}
	return n.FS.Link(oldName, newName)
}

// Close ends a checkpoint, which holds the store meanwhile as an iterator does.
func TestCloseEndsACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		fs := &gatedLinkFS{FS: mem, before: func() { time.Sleep(time.Hour) }}
		z := small()
		z.L0Trigger = 100
		db := openSized(t, fs, Options{}, z)
		flushRuns(t, db, 4)
		done := make(chan error)
		go func() { done <- db.Checkpoint(noDeadline, "copy") }()
		synctest.Wait()
		require.ErrorIs(t, db.Close(), ErrInUse)
		require.ErrorIs(t, <-done, ErrClosed)
		names, err := mem.List("copy")
		require.NoError(t, err)
		require.Equal(t, []string{manifest.LockName}, names)
	})
}
