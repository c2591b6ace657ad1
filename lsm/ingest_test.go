package lsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

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
	loaded, err := manifest.Load(fs, "db", nil)
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
	guard := db.readers.Enter() // a compaction may follow, now that the snapshots are closed
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
	guard.Leave()
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
	db := openSized(t, faults, Options{SyncInterval: -1}, small()) // nobody but the test syncs
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

// While level 0 is full an ingest waits as writers do, and ends with its context or the
// store; the lead goes on, and the files are removed.
func TestAnIngestThatWaitsForLevel0Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		z := small()
		z.L0Trigger, z.L0Slow, z.L0Stop = 1000, 2, 3
		db := openSized(t, fs, Options{SyncInterval: -1}, z)
		flushRuns(t, db, 4)
		require.Len(t, db.state.Load().version.Levels[0], 3)
		writeTable(t, fs, "t", "a", "new")
		ctx, cancel := context.WithTimeout(noDeadline, time.Second)
		defer cancel()
		require.ErrorIs(t, db.Ingest(ctx, "t"), context.DeadlineExceeded)
		require.NoError(t, db.Flush(noDeadline), "the lead was passed on")
		time.Sleep(time.Minute)
		require.Len(t, tableFiles(t, fs), 4)
		waiting := make(chan error)
		go func() { waiting <- db.Ingest(noDeadline, "t") }()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- db.Close() }()
		require.ErrorIs(t, <-waiting, ErrClosed)
		if err := <-closed; err != nil {
			require.ErrorIs(t, err, ErrInUse) // it had not returned yet
		}
		require.NoError(t, openSized(t, fs, Options{}, small()).Close())
		loaded, err := manifest.Load(fs, "db", nil)
		require.NoError(t, err)
		require.Len(t, tableFiles(t, fs), loaded.Version.NumTables())
	})
}

// The number of an ingested table's entries is in the manifest alone. Salvage gives them
// theirs, and where the manifest is lost says that their keys are in doubt.
func TestSalvageOfIngestedTables(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := Options{seams: sized(fs)}
	db, err := Open("db", &o)
	require.NoError(t, err)
	for _, k := range []string{"a", "b", "c"} {
		require.NoError(t, db.Set([]byte(k), []byte("old"), nil))
	}
	writeTable(t, fs, "out.sst", "b", "ingested", "c", "ingested", "d", "ingested")
	require.NoError(t, db.Ingest(ctx, "out.sst"))
	require.NoError(t, db.Set([]byte("c"), []byte("new"), nil))
	require.NoError(t, db.Close())

	report, err := Salvage(ctx, "db", "new", &o)
	require.NoError(t, err)
	require.True(t, report.Complete(), report)
	db, err = Open("new", &o)
	require.NoError(t, err)
	for k, want := range map[string]string{"a": "old", "b": "ingested", "c": "new", "d": "ingested"} {
		got, err := db.Get([]byte(k))
		require.NoError(t, err)
		require.Equal(t, want, string(got), k)
	}
	require.NoError(t, db.Close())

	names, err := fs.List("db")
	require.NoError(t, err)
	for _, name := range names {
		if name == "CURRENT" || strings.HasPrefix(name, "MANIFEST") {
			require.NoError(t, fs.Remove("db/"+name))
		}
	}
	report, err = Salvage(ctx, "db", "lost", &o)
	require.NoError(t, err)
	require.True(t, report.DeletedMayReturn)
	doubtful := false
	for _, r := range report.Doubtful {
		doubtful = doubtful || r.Contains([]byte("b")) && r.Contains([]byte("d"))
	}
	require.True(t, doubtful, report)
}
