package lsm

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

func TestVerifyAndSalvageRefuseWhatTheyCannotDo(t *testing.T) {
	ctx := context.Background()
	s := newCareStore(t, 0, true)
	fs := s.mem.Copy()
	_, err := Verify(ctx, "nowhere", s.options(fs))
	require.ErrorIs(t, err, ErrNotExist)
	_, err = Salvage(ctx, "nowhere", "new", s.options(fs))
	require.ErrorIs(t, err, ErrNotExist)
	_, err = Verify(ctx, "db", &Options{BlockBytes: 1})
	require.ErrorIs(t, err, ErrInvalidOptions)
	_, err = Salvage(ctx, "db", "new", &Options{BlockBytes: 1})
	require.ErrorIs(t, err, ErrInvalidOptions)
	_, err = Salvage(ctx, "db", "db", s.options(fs))
	require.ErrorIs(t, err, vfs.ErrExist)

	db, err := Open("db", s.options(fs))
	require.NoError(t, err)
	_, err = Verify(ctx, "db", s.options(fs))
	require.ErrorIs(t, err, ErrLocked)
	_, err = Salvage(ctx, "db", "new", s.options(fs))
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, db.Close())

	// Beside a reader both work.
	o := s.options(fs)
	o.ReadOnly = true
	db, err = Open("db", o)
	require.NoError(t, err)
	r, err := Verify(ctx, "db", s.options(fs))
	require.NoError(t, err)
	require.NoError(t, r.Err())
	require.NoError(t, db.Verify(ctx))
	require.NoError(t, db.Close())

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Verify(ended, "db", s.options(fs))
	require.ErrorIs(t, err, context.Canceled)
	_, err = Salvage(ended, "db", "new2", s.options(fs))
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.content(fs, "new2")
	require.Error(t, err)
}

// Whatever call fails while the new store is written: the error is returned, and newDir
// holds no store that opens, or all of it.
func TestAFailedSalvageLeavesNoHalfAStore(t *testing.T) {
	s := newCareStore(t, 1, true)
	whole := vfs.NewFaults(s.mem.Copy())
	_, err := Salvage(context.Background(), "db", "new", s.options(whole))
	require.NoError(t, err)
	calls := whole.Count(vfs.OpWrites, "new*/*") + whole.Count(vfs.OpWrites, "new")
	require.Greater(t, calls, 20)
	for i := range calls {
		fs := vfs.NewFaults(s.mem.Copy(), vfs.Rule{
			Kinds: vfs.OpWrites, Skip: i, Err: syscall.ENOSPC,
			When: func(c vfs.Call) bool { return strings.HasPrefix(c.Path, "new") },
		})
		_, err := Salvage(context.Background(), "db", "new", s.options(fs))
		if len(fs.Fired()) == 0 {
			continue
		}
		fs.Clear()
		got, oerr := s.content(fs, "new")
		if err == nil {
			require.Equal(t, s.want, got, "%v", fs.Fired()) // a file that was to be removed stayed
			continue
		}
		if oerr == nil {
			require.Equal(t, s.want, got, "%v", fs.Fired())
		}
	}
}

// A log that does not fit into memory goes through tables of the new directory, which are
// gone in the end.
func TestSalvageOfALargeLogTakesLittleMemory(t *testing.T) {
	fs := vfs.NewMem()
	z := small()
	z.MemtableBytes, z.MinMemtableBytes, z.BudgetBytes = 4<<20, 4<<20, 64<<20
	o := Options{SyncInterval: -1}
	o.seams = seams.Seams{FS: fs, Sizing: z}
	db, err := Open("db", &o)
	require.NoError(t, err)
	want := map[string]string{}
	for i := range 6000 {
		k := fmt.Sprintf("key-%05d", (i*7919)%5000)
		want[k] = strings.Repeat(fmt.Sprint(i), 30)
		require.NoError(t, db.Set([]byte(k), []byte(want[k]), NoSync))
	}
	require.NoError(t, db.Close())
	for _, name := range []string{"", "CURRENT"} {
		fs := fs.Copy()
		if name != "" {
			require.NoError(t, fs.Remove(path.Join("db", name)))
			require.NoError(t, fs.Remove(path.Join("db", "MANIFEST-000001")))
		}
		s := &careStore{z: z}
		so := s.options(fs)
		so.seams.Sizing.BudgetBytes, so.seams.Sizing.MemtableBytes = 256<<10, 64<<10
		r, err := Salvage(context.Background(), "db", "new", so)
		require.NoError(t, err)
		require.EqualValues(t, 6000, r.Entries)
		got, err := s.content(fs, "new")
		require.NoError(t, err)
		require.Equal(t, want, got)
		names, err := fs.List("new")
		require.NoError(t, err)
		loaded, err := manifest.Load(fs, "new", nil)
		require.NoError(t, err)
		for _, name := range names {
			if strings.HasSuffix(name, ".sst") {
				known := false
				loaded.Version.All(func(_ manifest.Level, _ manifest.RunID, tb *manifest.Table) bool {
					known = known || manifest.TableName(tb.Num) == name
					return !known
				})
				require.True(t, known, name)
			}
		}
		for _, f := range r.Files {
			require.False(t, strings.HasSuffix(f.Name, ".sst"), f.Name)
		}
	}
}

// Tables that a compaction has replaced and a crash has left are not read while the manifest
// says so. Without it nobody can tell, and the report says that.
func TestReplacedTablesComeBackOnlyWithoutTheManifest(t *testing.T) {
	mem := vfs.NewMem()
	s := &careStore{z: careSizes()}
	o := s.options(mem)
	db, err := Open("db", o)
	require.NoError(t, err)
	require.NoError(t, db.Set([]byte("deleted"), []byte("v"), nil))
	require.NoError(t, db.Set([]byte("kept"), []byte("old"), nil))
	require.NoError(t, db.Flush(context.Background()))
	old := tableFiles(t, mem)
	require.Len(t, old, 1)
	p := readAll(t, mem, path.Join("db", old[0]))
	require.NoError(t, db.Delete([]byte("deleted"), nil))
	require.NoError(t, db.Set([]byte("kept"), []byte("new"), nil))
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	require.NoError(t, db.Close())
	require.NotContains(t, tableFiles(t, mem), old[0])
	f, err := mem.Create(path.Join("db", old[0]))
	require.NoError(t, err)
	_, err = f.WriteAt(p, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	v, err := Verify(context.Background(), "db", s.options(mem))
	require.NoError(t, err)
	require.NoError(t, v.Err())
	require.Equal(t, old, v.Unlisted)
	r, err := Salvage(context.Background(), "db", "with", s.options(mem))
	require.NoError(t, err)
	require.True(t, r.Complete(), r)
	got, err := s.content(mem, "with")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"kept": "new"}, got)

	require.NoError(t, mem.Remove("db/CURRENT"))
	for _, name := range []string{"MANIFEST-000001", "MANIFEST-000002", "MANIFEST-000003"} {
		_ = mem.Remove(path.Join("db", name))
	}
	r, err = Salvage(context.Background(), "db", "without", s.options(mem))
	require.NoError(t, err)
	require.True(t, r.DeletedMayReturn)
	require.False(t, r.Complete())
	got, err = s.content(mem, "without")
	require.NoError(t, err)
	require.Equal(t, "new", got["kept"], "sequence numbers decide")
}

// writeRawTable makes a table in the store's directory and its line for a manifest.
func writeRawTable(t *testing.T, fs vfs.FS, num fileid.Num, write func(w *sstable.Writer)) *manifest.Table {
	t.Helper()
	uid := fileid.UID{byte(num), 42}
	f, err := fs.Create(path.Join("db", manifest.TableName(num)))
	require.NoError(t, err)
	w, err := sstable.NewWriter(f, sstable.WriterOptions{UID: uid})
	require.NoError(t, err)
	write(w)
	m, err := w.Finish()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return &manifest.Table{
		Num: num, UID: uid, Bytes: m.Size, Digest: m.Digest, Smallest: m.Smallest, Largest: m.Largest,
		LargestExclusive: m.LargestExclusive, MinSeqNum: m.MinSeqNum, MaxSeqNum: m.MaxSeqNum,
		Entries: m.Entries, Deletes: m.Deletes, RangeDeletes: m.RangeDeletes,
	}
}

func inRoot(key string) []byte { return slices.Concat(rootPrefix, []byte(key)) }

// Range tombstones are carried over, cut where they meet and where tables end, as are merge
// operands and entries of other scopes.
func TestSalvageCarriesRangeTombstonesOver(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("db"))
	other := append([]byte{0x05}, "elsewhere"...)
	operand := bytes.Repeat([]byte{1}, keys.MergeHeaderLen+3)
	a := writeRawTable(t, fs, 1, func(w *sstable.Writer) {
		for i := range 400 {
			require.NoError(t, w.Add(inRoot(fmt.Sprintf("k%03d", i)), keys.MakeTrailer(keys.SeqNum(10+i), keys.KindSet), make([]byte, 40)))
		}
		require.NoError(t, w.Add(other, keys.MakeTrailer(5, keys.KindMerge), operand))
		require.NoError(t, w.AddRangeTombstone(inRoot("a"), inRoot("k100"), keys.MakeTrailer(9, keys.KindRangeDelete)))
	})
	b := writeRawTable(t, fs, 2, func(w *sstable.Writer) {
		require.NoError(t, w.AddRangeTombstone(inRoot("b"), inRoot("k399"), keys.MakeTrailer(1000, keys.KindRangeDelete)))
	})
	v := &manifest.Version{}
	v.Levels[0] = []manifest.Run{{ID: 2, Tables: []*manifest.Table{b}}}
	v.Levels[6] = []manifest.Run{{ID: 1, Tables: []*manifest.Table{a}}}
	s := &careStore{z: careSizes()}
	o := s.options(fs)
	require.NoError(t, manifest.CreateWith(&manifest.State{
		Store: fileid.UID{7}, FormatVersion: 1, NextFileNum: 3, NextRunID: 3, FlushedSeqNum: 1000, ReservedSeqNum: 2000,
		Operators: []string{"counter"}, ReservedScopeID: 77, LastTime: 123,
	}, v, manifest.LogOptions{FS: fs, Dir: "db", Random: newDB("db", o.withDefaults()).opts.seams.Random}))

	verified, err := Verify(context.Background(), "db", o)
	require.NoError(t, err)
	require.NoError(t, verified.Err())
	r, err := Salvage(context.Background(), "db", "new", o)
	require.NoError(t, err)
	require.True(t, r.Complete(), r)
	require.EqualValues(t, 401, r.Entries)
	loaded, err := manifest.Load(fs, "new", nil)
	require.NoError(t, err)
	require.Equal(t, []string{"counter"}, loaded.State.Operators)
	require.EqualValues(t, 77, loaded.State.ReservedScopeID)
	require.EqualValues(t, 2000, loaded.State.ReservedSeqNum)
	require.EqualValues(t, 123, loaded.State.LastTime)
	require.Greater(t, loaded.Version.NumTables(), 1)
	requireCovered(t, fs, loaded.Version, r.RangeTombstones)

	// Lost range tombstones put every key of their table in doubt, above older ones.
	f, err := fs.Open(path.Join("db", manifest.TableName(b.Num)), vfs.ReadWrite)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte{0xee}, 85)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	r, err = Salvage(context.Background(), "db", "damaged", o)
	require.NoError(t, err)
	require.True(t, r.DeletedMayReturn)
	require.Len(t, r.Doubtful, 1)
	for _, k := range []string{"b", "k000", "k398"} {
		require.True(t, r.Doubtful[0].Contains([]byte(k)), r)
	}
	require.False(t, r.Doubtful[0].Contains([]byte("a")))
}

// Range tombstones of the log lie in each other as they were written: of many that do, each
// would be cut at the bounds of all others. As after Open, the newest over a key is enough.
func TestSalvageJoinsTheRangeTombstonesOfTheLog(t *testing.T) {
	fs := vfs.NewMem()
	s := &careStore{z: careSizes()}
	s.z.MemtableBytes, s.z.MinMemtableBytes, s.z.BudgetBytes = 4<<20, 4<<20, 64<<20
	o := s.options(fs)
	o.SyncInterval = -1
	db, err := Open("db", o)
	require.NoError(t, err)
	const n = 600
	for i := range n {
		require.NoError(t, db.DeleteRange(numbered(i), numbered(2*n-i), NoSync))
		if i%3 == 0 {
			require.NoError(t, db.Set(numbered(i), nil, NoSync)) // the next begins behind it
		}
		require.NoError(t, db.Set(numbered(i+1), nil, NoSync)) // the next deletes it
	}
	require.NoError(t, db.Close())
	require.Empty(t, tableFiles(t, fs))
	want, err := s.content(fs.Copy(), "db")
	require.NoError(t, err)
	require.Len(t, want, n/3+1)
	r, err := Salvage(context.Background(), "db", "new", s.options(fs))
	require.NoError(t, err)
	require.True(t, r.Complete(), r)
	require.NotZero(t, r.RangeTombstones)
	require.LessOrEqual(t, r.RangeTombstones, int64(2*n+10))
	got, err := s.content(fs, "new")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// requireCovered checks which numbers delete which keys in the salvaged tables.
func requireCovered(t *testing.T, fs vfs.FS, v *manifest.Version, fragments int64) {
	t.Helper()
	covers := map[string]map[keys.SeqNum]bool{}
	n := int64(0)
	v.All(func(_ manifest.Level, _ manifest.RunID, tb *manifest.Table) bool {
		f, err := fs.Open(path.Join("new", manifest.TableName(tb.Num)), vfs.ReadOnly)
		require.NoError(t, err)
		w, err := sstable.OpenWreck(context.Background(), f, sstable.WreckOptions{UID: tb.UID})
		require.NoError(t, err)
		for _, g := range w.RangeTombstones() {
			n++
			for _, k := range []string{"0", "a", "az", "b", "k099", "k100", "k398", "k399", "z"} {
				if bytes.Compare(g.Lower, inRoot(k)) <= 0 && bytes.Compare(inRoot(k), g.Upper) < 0 {
					if covers[k] == nil {
						covers[k] = map[keys.SeqNum]bool{}
					}
					covers[k][g.Trailer.SeqNum()] = true
				}
			}
		}
		require.NoError(t, f.Close())
		return true
	})
	require.Equal(t, fragments, n)
	require.Equal(t, map[string]map[keys.SeqNum]bool{
		"a": {9: true}, "az": {9: true}, "b": {9: true, 1000: true}, "k099": {9: true, 1000: true}, "k100": {1000: true}, "k398": {1000: true},
	}, covers)
}

// On a real file system, with a lock file that is missing too.
func TestVerifyAndSalvageOnDisk(t *testing.T) {
	parent := t.TempDir()
	dir, fresh := filepath.Join(parent, "db"), filepath.Join(parent, "new")
	db, err := Open(dir, nil)
	require.NoError(t, err)
	for i := range 3000 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "key-%05d", i), make([]byte, 100), NoSync))
	}
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Set([]byte("last"), []byte("in the log"), nil))
	require.NoError(t, db.Close())
	fs := vfs.NewOS()
	require.NoError(t, fs.Remove(filepath.Join(dir, "LOCK")))
	require.NoError(t, fs.Remove(filepath.Join(dir, "CURRENT")))
	_, err = Open(dir, nil)
	require.ErrorIs(t, err, ErrCorrupt)
	_ = fs.Remove(filepath.Join(dir, "LOCK"))
	v, err := Verify(context.Background(), dir, nil)
	require.NoError(t, err)
	require.Len(t, v.Findings, 1)
	require.Equal(t, "CURRENT", v.Findings[0].File)
	r, err := Salvage(context.Background(), dir, fresh, nil)
	require.NoError(t, err)
	require.True(t, r.Complete(), r)
	names, err := fs.List(dir)
	require.NoError(t, err)
	require.NotContains(t, names, "LOCK")
	db, err = Open(fresh, &Options{MustExist: true})
	require.NoError(t, err)
	got, err := db.Get([]byte("last"))
	require.NoError(t, err)
	require.Equal(t, "in the log", string(got))
	require.NoError(t, db.Verify(context.Background()))
	require.NoError(t, db.Close())
}

// FuzzHostileDirectory verifies and salvages a directory in which two files hold any bytes.
// What comes of it opens, and verifies.
func FuzzHostileDirectory(f *testing.F) {
	s := newCareStore(f, 1, true)
	for i, name := range s.names {
		f.Add(uint8(i), s.files[name], uint8(i+1), []byte("x"))
		f.Add(uint8(i), s.files[name][:len(s.files[name])/2], uint8(i), []byte{})
	}
	f.Fuzz(func(t *testing.T, a uint8, p []byte, b uint8, q []byte) {
		fs := s.mem.Copy()
		replaceFile(t, fs, s.names[int(a)%len(s.names)], p)
		replaceFile(t, fs, s.names[int(b)%len(s.names)], q)
		v, err := Verify(context.Background(), "db", s.options(fs))
		if err != nil {
			require.ErrorIs(t, err, ErrTooNew)
		} else {
			require.Less(t, len(v.Findings), 100_000)
		}
		r, err := Salvage(context.Background(), "db", "new", s.options(fs))
		if err != nil {
			require.ErrorIs(t, err, ErrTooNew)
			return
		}
		require.NotEmpty(t, r.String())
		again, err := Verify(context.Background(), "new", s.options(fs))
		require.NoError(t, err)
		require.NoError(t, again.Err())
		require.Equal(t, r.Entries, again.Entries)
	})
}
