package lsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// writeTable makes a table of pairs of keys and values.
func writeTable(t *testing.T, fs vfs.FS, name string, pairs ...string) {
	t.Helper()
	w, err := NewTableWriter(name, &Options{seams: sized(fs)})
	require.NoError(t, err)
	for i := 0; i < len(pairs); i += 2 {
		require.NoError(t, w.Set([]byte(pairs[i]), []byte(pairs[i+1])))
	}
	require.NoError(t, w.Finish())
}

// requireNoneLeft: the tables in the directory are those of the version.
func requireNoneLeft(t *testing.T, db *DB, fs vfs.FS) {
	t.Helper()
	require.NoError(t, db.Close())
	loaded, err := manifest.Load(fs, "db")
	require.NoError(t, err)
	require.Len(t, tableFiles(t, fs), loaded.Version.NumTables())
}

func TestIngestedTablesOverwriteWhatIsThere(t *testing.T) {
	for name, refusal := range map[string]error{"linked": nil, "copied": vfs.ErrNoLink} {
		t.Run(name, func(t *testing.T) {
			fs := &linkCountFS{FS: vfs.NewMem(), refusal: refusal}
			db := openSized(t, fs, Options{}, small())
			set(t, db, "a", "old") // in a table
			set(t, db, "d", "old")
			require.NoError(t, db.Flush(noDeadline))
			set(t, db, "b", "old") // in the memtable
			set(t, db, "c", "kept")
			require.NoError(t, db.Delete([]byte("d"), NoSync))
			before := db.visible.load()

			writeTable(t, fs, "one", "a", "new", "b", "new")
			writeTable(t, fs, "two", "d", "new", "e", "")
			require.NoError(t, db.Ingest(noDeadline, "two", "one"))
			require.Equal(t, refusal == nil, fs.links == 2)
			require.NoError(t, fs.Remove("one"))
			require.NoError(t, fs.Remove("two"))
			want := map[string]string{"a": "new", "b": "new", "c": "kept", "d": "new", "e": ""}
			requireHolds(t, db, want)
			require.Equal(t, before+1, db.visible.load(), "one number for all")
			set(t, db, "b", "newer")
			want["b"] = "newer"
			requireHolds(t, db, want)
			require.NoError(t, db.Verify(noDeadline))

			reopened := killed(t, db, fs.FS.(*vfs.Mem))
			db = openSized(t, reopened, Options{}, small())
			requireHolds(t, db, want)
			require.NoError(t, db.Compact(noDeadline, nil, nil))
			requireHolds(t, db, want)
			require.NoError(t, db.Verify(noDeadline))
			requireNoneLeft(t, db, reopened)
		})
	}
}

// A snapshot from before sees nothing of the tables, through compactions too; one from
// after sees them; and each entry keeps its number.
func TestSnapshotsAndIngestedTables(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	set(t, db, "a", "1")
	before, err := db.NewSnapshot()
	require.NoError(t, err)
	writeTable(t, fs, "t", "a", "2", "b", "2")
	require.NoError(t, db.Ingest(noDeadline, "t"))
	number := db.visible.load()
	after, err := db.NewSnapshot()
	require.NoError(t, err)
	set(t, db, "a", "3")
	for range 2 {
		for i, s := range []*Snapshot{before, after} {
			v, err := s.Get([]byte("a"))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i+1), string(v))
			_, err = s.Get([]byte("b"))
			require.Equal(t, i == 0, errors.Is(err, ErrNotFound))
			n := 0
			for _, err := range s.ScanReverse(nil, nil) {
				require.NoError(t, err)
				n++
			}
			require.Equal(t, i+1, n)
		}
		requireValue(t, db, "a", "3")
		require.NoError(t, db.Compact(noDeadline, nil, nil))
	}
	require.NoError(t, before.Close())
	require.NoError(t, after.Close())
	for _, r := range db.state.Load().version.runs {
		for _, tb := range r.tables {
			reader, err := tb.open()
			require.NoError(t, err)
			require.False(t, tb.meta.Ingested, "it was rewritten")
			var it sstable.Iter
			it.Init(reader, sstable.IterOptions{})
			require.True(t, it.SeekGE(append(append([]byte{}, rootPrefix...), 'b'), keys.SeekTrailer(keys.MaxSeqNum)))
			require.Equal(t, keys.MakeTrailer(number, keys.KindSet), it.Trailer())
			require.NoError(t, it.Close())
		}
	}
	require.NoError(t, db.Close())
}

// Where nothing is in the way the tables go deep; they move without being rewritten.
func TestIngestedTablesGoWhereAFlushWould(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	writeTable(t, fs, "t1", "a", "1", "c", "1")
	writeTable(t, fs, "t2", "d", "2", "f", "2")
	writeTable(t, fs, "t3", "b", "3")
	require.NoError(t, db.Ingest(noDeadline, "t1"))
	require.NoError(t, db.Ingest(noDeadline, "t2"))
	v := db.state.Load().version
	require.Len(t, v.Levels[manifest.LastLevel], 1)
	require.Len(t, v.Levels[manifest.LastLevel][0].Tables, 2)
	require.NoError(t, db.Ingest(noDeadline, "t3"))
	v = db.state.Load().version
	require.Equal(t, 3, v.NumTables())
	require.Len(t, v.Levels[manifest.LastLevel][0].Tables, 2, "its range has a gap, but a table lies across")
	require.NoError(t, v.CheckInvariants())
	require.NoError(t, db.Checkpoint(noDeadline, "copy"))
	want := map[string]string{"a": "1", "b": "3", "c": "1", "d": "2", "f": "2"}
	requireHolds(t, db, want)
	cp := openCopy(t, fs, "copy", Options{})
	requireHolds(t, cp, want)
	require.NoError(t, cp.Verify(noDeadline))
	require.NoError(t, cp.Close())
	require.NoError(t, db.Close())
	db = openSized(t, fs, Options{}, small()) // after a clean close, with nothing in the log
	requireHolds(t, db, want)
	require.NoError(t, db.Close())
}

func TestATableWriterRefusesWhatCannotBeIngested(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.NewOS()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, fs.MkdirAll(dir))
			o := &Options{seams: sized(fs)}
			file := filepath.Join(dir, "t")
			gone := func() {
				_, err := fs.Size(file)
				require.ErrorIs(t, err, vfs.ErrNotExist)
			}
			for _, second := range []string{"b", "a", ""} {
				w, err := NewTableWriter(file, o)
				require.NoError(t, err)
				require.NoError(t, w.Set([]byte("b"), nil))
				require.ErrorIs(t, w.Set(make([]byte, keys.MaxUserKeyLen+1), nil), ErrTooLarge)
				require.ErrorIs(t, w.Set([]byte(second), nil), ErrInvalidTable)
				require.ErrorIs(t, w.Set([]byte("c"), nil), ErrInvalidTable)
				require.ErrorIs(t, w.Finish(), ErrInvalidTable)
				require.Error(t, w.Finish())
				gone()
			}
			w, err := NewTableWriter(file, o)
			require.NoError(t, err)
			_, err = NewTableWriter(file, o)
			require.ErrorIs(t, err, vfs.ErrExist)
			require.ErrorIs(t, w.Finish(), ErrInvalidTable, "it is empty")
			gone()
			w, err = NewTableWriter(file, o)
			require.NoError(t, err)
			require.NoError(t, w.Set([]byte("b"), nil))
			w.Abort()
			w.Abort()
			gone()
			require.Error(t, w.Set([]byte("c"), nil))
			_, err = NewTableWriter(file, &Options{BlockBytes: 1})
			require.ErrorIs(t, err, ErrInvalidOptions)
			_, err = NewTableWriter(filepath.Join(dir, "none", "t"), o)
			require.ErrorIs(t, err, vfs.ErrNotExist)
			writeTable(t, fs, file, "k", "v")
		})
	}
}

// rawTable makes a table of entries of any kind.
func rawTable(t *testing.T, fs vfs.FS, name string, add func(w *sstable.Writer) error) {
	t.Helper()
	f, err := fs.Create(name)
	require.NoError(t, err)
	w, err := sstable.NewWriter(f, sstable.WriterOptions{UID: fileid.UID{byte(len(name)), 9}})
	require.NoError(t, err)
	require.NoError(t, add(w))
	_, err = w.Finish()
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestFilesThatCannotBeIngestedAreRefused(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	set(t, db, "a", "old")
	require.NoError(t, db.Flush(noDeadline))
	at := func(seq keys.SeqNum, kind keys.Kind) keys.Trailer { return keys.MakeTrailer(seq, kind) }
	inRoot := append(append([]byte{}, rootPrefix...), 'k')
	rawTable(t, fs, "deletes", func(w *sstable.Writer) error { return w.Add(inRoot, at(0, keys.KindDelete), nil) })
	rawTable(t, fs, "twice", func(w *sstable.Writer) error {
		return errors.Join(w.Add(inRoot, at(0, keys.KindSet), nil), w.Add(inRoot, at(0, keys.KindDelete), nil))
	})
	rawTable(t, fs, "scoped", func(w *sstable.Writer) error {
		return errors.Join(w.Add(inRoot, at(0, keys.KindSet), nil), w.Add(rootUpper, at(0, keys.KindSet), nil))
	})
	rawTable(t, fs, "numbered", func(w *sstable.Writer) error { return w.Add(inRoot, at(7, keys.KindSet), nil) })
	writeTable(t, fs, "good", "b", "1", "d", "1")
	writeTable(t, fs, "inside", "c", "1")
	writeTable(t, fs, "damaged", "k", "1")
	f, err := fs.Open("damaged", vfs.ReadWrite)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte{0xff}, 90)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	f, err = fs.Create("empty")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	own := "db/" + tableFiles(t, fs)[0]
	for _, files := range [][]string{
		{"deletes"}, {"twice"}, {"scoped"}, {"numbered"}, {"damaged"}, {"empty"}, {own},
		{"good", "good"}, {"good", "inside"}, {"good", "damaged"},
	} {
		err := db.Ingest(noDeadline, files...)
		require.ErrorIs(t, err, ErrInvalidTable, "%v", files)
		require.NotErrorIs(t, err, ErrCorrupt, "the store is sound")
	}
	require.ErrorIs(t, db.Ingest(noDeadline, "good", "missing"), vfs.ErrNotExist)
	require.Error(t, db.Ingest(noDeadline, "db"), "a directory")
	require.NoError(t, db.Ingest(noDeadline))
	requireHolds(t, db, map[string]string{"a": "old"})
	require.NoError(t, db.Ingest(noDeadline, "good"))
	require.ErrorIs(t, db.Ingest(noDeadline, "good"), ErrInvalidTable, "it is there")
	set(t, db, "b", "2")
	require.NoError(t, db.Compact(noDeadline, nil, nil))
	require.NoError(t, db.Ingest(noDeadline, "good"), "it is not there any more")
	requireHolds(t, db, map[string]string{"a": "old", "b": "1", "d": "1"})
	requireNoneLeft(t, db, fs)
}

func TestIngestIntoAStoreThatCannotWrite(t *testing.T) {
	fs := vfs.NewMem()
	faults := vfs.NewFaults(fs)
	db := openSized(t, faults, Options{}, small())
	set(t, db, "k", "v")
	writeTable(t, fs, "t", "a", "1")
	ended, cancel := context.WithCancel(noDeadline)
	cancel()
	require.ErrorIs(t, db.Ingest(ended, "t"), context.Canceled)
	faults.Add(vfs.Rule{Kinds: vfs.OpLink, Err: syscall.ENOSPC})
	require.ErrorIs(t, db.Ingest(noDeadline, "t"), ErrNoSpace)
	set(t, db, "k", "v2")
	faults.Add(vfs.Rule{Kinds: vfs.OpSync, Glob: "wal-*", Forever: true})
	require.ErrorIs(t, db.Set([]byte("k"), nil, nil), ErrPoisoned)
	require.ErrorIs(t, db.Ingest(noDeadline, "t"), ErrPoisoned)
	_ = db.Close()
	require.ErrorIs(t, db.Ingest(noDeadline, "t"), ErrClosed)
	db, err := Open("db", &Options{ReadOnly: true, seams: sized(fs)})
	require.NoError(t, err)
	require.ErrorIs(t, db.Ingest(noDeadline, "t"), ErrReadOnly)
	require.NoError(t, db.Close())
}

// An edit of which nobody knows whether it is on disk takes a number with it: the store
// stops, for lack of space too. Else a commit could get the number, and be taken for one
// that is in tables.
func TestAnIngestOfWhichNothingIsKnownStopsTheStore(t *testing.T) {
	mem := vfs.NewMem()
	faults := vfs.NewFaults(mem)
	db := openSized(t, faults, Options{}, small())
	writeTable(t, mem, "t", "a", "1")
	faults.Add(vfs.Rule{Kinds: vfs.OpWrite, Glob: "MANIFEST-*", Effect: vfs.FailAfter, Err: syscall.ENOSPC})
	require.ErrorIs(t, db.Ingest(noDeadline, "t"), ErrPoisoned)
	require.ErrorIs(t, db.Set([]byte("b"), nil, nil), ErrPoisoned)
	left := mem.Copy()
	_ = db.Close()
	db = openSized(t, left, Options{}, small())
	require.NoError(t, db.Set([]byte("b"), []byte("2"), nil))
	requireHolds(t, db, map[string]string{"a": "1", "b": "2"})
	require.NoError(t, db.Close())
}

// Tables for a store in memory are the system's files.
func TestAStoreInMemoryIngestsFilesOfTheSystem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t")
	w, err := NewTableWriter(file, nil)
	require.NoError(t, err)
	require.NoError(t, w.Set([]byte("k"), []byte("v")))
	require.NoError(t, w.Finish())
	for _, o := range []Options{{InMemory: true}, {}} {
		db, err := Open(filepath.Join(t.TempDir(), "db"), &o)
		require.NoError(t, err)
		require.NoError(t, db.Ingest(noDeadline, file))
		requireHolds(t, db, map[string]string{"k": "v"})
		require.NoError(t, db.Verify(noDeadline))
		require.NoError(t, db.Close())
	}
}

// Whoever installs something, or picks a compaction, finds ingested tables visible.
func TestIngestedTablesAreVisibleBeforeTheyAreCompacted(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	for i := range 20 {
		writeTable(t, fs, fmt.Sprint(i), fmt.Sprintf("k%02d", i), "v")
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			db.manifestMu.Lock()
			visible := db.visible.load()
			db.manifestLog.Version().All(func(_ manifest.Level, _ manifest.RunID, tb *manifest.Table) bool {
				if tb.MaxSeqNum > visible {
					t.Errorf("a table of number %d while %d is visible", tb.MaxSeqNum, visible)
				}
				return true
			})
			db.manifestMu.Unlock()
		}
	})
	for i := range 20 {
		require.NoError(t, db.Ingest(noDeadline, fmt.Sprint(i)))
	}
	stop.Store(true)
	wg.Wait()
	require.NoError(t, db.Close())
}

// A reader that has loaded the state before the tables were in it, and the number after they
// were visible, meets no commit that came after them: it sees what was before both.
func TestReadersWithoutIngestedTablesMeetNoLaterCommit(t *testing.T) {
	var opened atomic.Pointer[DB]
	var last atomic.Pointer[readState] // without the tables
	fs := vfs.NewFaults(vfs.NewMem(), vfs.Rule{Kinds: vfs.OpWrite, Glob: "MANIFEST-*", When: func(vfs.Call) bool {
		if db := opened.Load(); db != nil {
			if s := db.state.Load(); s.version.NumTables() < 2 {
				s.refs.Add(1) // until the end of the test
				last.Store(s)
			}
		}
		return false
	}})
	db := openSized(t, fs, Options{}, small())
	opened.Store(db)
	set(t, db, "a", "1")
	writeTable(t, fs, "t", "b", "1")
	require.NoError(t, db.Ingest(noDeadline, "t"))
	before := last.Load()
	require.Equal(t, 1, before.version.NumTables())
	require.Equal(t, 2, db.state.Load().version.NumTables())
	set(t, db, "c", "1")
	require.Zero(t, before.mutable.Len())
	require.Empty(t, before.frozen)
	require.NoError(t, db.Close())
}

// Each writer counts in a key, the ingester in two that stand at both ends: no reader sees
// a commit without the ingest before it, nor half an ingest, and none goes back.
func TestIngestsBesideWritersAndReaders(t *testing.T) {
	fs := vfs.NewMem()
	db := openSized(t, fs, Options{}, small())
	const rounds = 25
	var stop atomic.Bool
	var done atomic.Int64 // ingests that have returned
	var wg sync.WaitGroup
	number := func(get func([]byte) ([]byte, error), key string) int {
		v, err := get([]byte(key))
		if errors.Is(err, ErrNotFound) {
			return 0
		}
		n := 0
		if err == nil {
			_, err = fmt.Sscan(string(v), &n)
		}
		if err != nil {
			t.Error(err)
		}
		return n
	}
	for w := range 2 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				seen := done.Load() // this commit comes after so many ingests
				if err := db.Set(fmt.Appendf(nil, "m%d", w), fmt.Appendf(nil, "%d", seen), NoSync); err != nil {
					t.Error(err)
				}
				if err := db.Set(fmt.Appendf(nil, "fill%d-%d", w, i%300), make([]byte, 100), NoSync); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			last := 0
			for !stop.Load() {
				snap, err := db.NewSnapshot()
				if err != nil {
					t.Error(err)
					return
				}
				a, z := number(snap.Get, "a"), number(snap.Get, "z")
				m := max(number(snap.Get, "m0"), number(snap.Get, "m1"))
				if a != z || a < last || m > a {
					t.Errorf("snapshot: %d and %d of the ingests, %d of the writers, %d before", a, z, m, last)
				}
				last = a
				if again := number(snap.Get, "a"); again != a {
					t.Errorf("a snapshot changed from %d to %d", a, again)
				}
				seen := map[string]int{}
				for e, err := range db.Scan([]byte("m0"), nil) { // m0, m1, z: a commit, then the ingest
					if err != nil {
						t.Error(err)
					}
					n := 0
					_, _ = fmt.Sscan(string(e.Value), &n)
					seen[string(e.Key)] = n
				}
				if max(seen["m0"], seen["m1"]) > seen["z"] {
					t.Errorf("scan: %v", seen)
				}
				_ = snap.Close()
			}
		})
	}
	for i := 1; i <= rounds; i++ {
		file := fmt.Sprint("t", i)
		writeTable(t, fs, file, "a", fmt.Sprint(i), "z", fmt.Sprint(i))
		require.NoError(t, db.Ingest(noDeadline, file))
		done.Store(int64(i))
		requireValue(t, db, "a", fmt.Sprint(i))
		requireValue(t, db, "z", fmt.Sprint(i))
	}
	stop.Store(true)
	wg.Wait()
	requireNoneLeft(t, db, fs)
}
