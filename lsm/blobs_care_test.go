package lsm_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// longForm is the long form of tests.
var longForm = os.Getenv("LOAM_LONG") != ""

// allocated returns how many bytes f has allocated on the heap.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// blobStore is a closed store of a few tables and blob files, on disk.
func blobStore(t *testing.T) (dir string, want map[string]string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "db")
	db, err := lsm.Open(dir, &lsm.Options{BlobThreshold: 100, Compression: lsm.NoCompression})
	require.NoError(t, err)
	want = map[string]string{}
	for run := range 3 {
		for i := range 30 {
			k := fmt.Sprintf("k%02d", i)
			if run == 0 || i%5 == run {
				v := large(fmt.Sprint(k, run), 50+20*i)
				require.NoError(t, db.Set([]byte(k), v, nil))
				want[k] = string(v)
			}
		}
		require.NoError(t, db.Flush(context.Background()))
	}
	require.NoError(t, db.Close())
	return dir, want
}

func files(t *testing.T, dir, suffix string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

// Every byte of a blob file is covered: offline and online, and by Salvage, which takes over
// all values but those that the byte is part of.
func TestDamageOfBlobFilesIsFoundAndSalvaged(t *testing.T) {
	dir, want := blobStore(t)
	ctx := context.Background()
	r, err := lsm.Verify(ctx, dir, nil)
	require.NoError(t, err)
	require.NoError(t, r.Err())
	require.Equal(t, 3, r.BlobFiles)
	require.Positive(t, r.BlobBytes)
	name := files(t, dir, ".blob")[0]
	whole, err := os.ReadFile(name)
	require.NoError(t, err)
	for at := 7; at < len(whole); at += 997 {
		p := append([]byte{}, whole...)
		p[at] ^= 0x10
		require.NoError(t, os.WriteFile(name, p, 0o600))
		r, err := lsm.Verify(ctx, dir, nil)
		require.NoError(t, err)
		require.NotEmpty(t, r.Findings, "byte %d", at)
		require.Equal(t, filepath.Base(name), r.Findings[0].File)
		db, err := lsm.Open(dir, &lsm.Options{ReadOnly: true})
		require.NoError(t, err)
		var damage *lsm.CorruptionError
		require.ErrorAs(t, db.Verify(ctx), &damage)
		require.Equal(t, filepath.Base(name), damage.File)
		require.NoError(t, db.Close())
		salvaged(t, dir, want, func(r *lsm.SalvageReport, missing int) {
			require.LessOrEqual(t, missing, 1, "byte %d", at)
			require.False(t, missing > 0 && r.Complete(), r.String())
		})
	}
	require.NoError(t, os.WriteFile(name, whole, 0o600))
	salvaged(t, dir, want, func(r *lsm.SalvageReport, missing int) {
		require.Zero(t, missing)
		require.True(t, r.Complete(), r.String())
	})
}

// salvaged salvages the store, checks that nothing is wrong and that what is missing is in
// the report, and gives both to check.
func salvaged(t *testing.T, dir string, want map[string]string, check func(r *lsm.SalvageReport, missing int)) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "saved")
	r, err := lsm.Salvage(context.Background(), dir, to, &lsm.Options{BlobThreshold: 100})
	require.NoError(t, err)
	db, err := lsm.Open(to, nil)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Verify(context.Background()))
	missing := 0
	for k, v := range want {
		got, err := db.Get([]byte(k))
		if err == nil && string(got) == v {
			continue
		}
		missing++
		named := false
		for _, f := range r.Files {
			for _, l := range f.Lost {
				named = named || l.Keys.Contains([]byte(k))
			}
		}
		require.True(t, named, "%s: %v\n%s", k, err, r)
		if err == nil {
			doubtful := false
			for _, d := range r.Doubtful {
				doubtful = doubtful || d.Contains([]byte(k))
			}
			require.True(t, doubtful, "%s has an older value\n%s", k, r)
		} else {
			require.ErrorIs(t, err, lsm.ErrNotFound)
		}
	}
	check(r, missing)
}

// A blob file that is missing, short or another's keeps the store from opening, or its values
// from being read; what is in the others is salvaged.
func TestMissingAndForeignBlobFiles(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, names []string){
		"missing": func(t *testing.T, names []string) { require.NoError(t, os.Remove(names[1])) },
		"short":   func(t *testing.T, names []string) { require.NoError(t, os.Truncate(names[1], 200)) },
		"swapped": func(t *testing.T, names []string) {
			require.NoError(t, os.Rename(names[1], names[1]+"x"))
			require.NoError(t, os.Rename(names[2], names[1]))
			require.NoError(t, os.Rename(names[1]+"x", names[2]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := blobStore(t)
			change(t, files(t, dir, ".blob"))
			r, err := lsm.Verify(context.Background(), dir, nil)
			require.NoError(t, err)
			require.NotEmpty(t, r.Findings)
			_, err = lsm.Open(dir, nil)
			require.ErrorIs(t, err, lsm.ErrCorrupt)
			salvaged(t, dir, want, func(r *lsm.SalvageReport, missing int) {
				if name == "swapped" {
					require.Zero(t, missing, "a file is known by its identity")
					return
				}
				require.LessOrEqual(t, missing, 6)
				require.False(t, r.Complete())
			})
		})
	}
}

// Without a manifest every table is taken over with the values that it names.
func TestSalvageOfBlobFilesWithoutAManifest(t *testing.T) {
	dir, want := blobStore(t)
	for _, name := range append(files(t, dir, "CURRENT"), files(t, dir, "1")...) {
		if base := filepath.Base(name); base == "CURRENT" || strings.HasPrefix(base, "MANIFEST") {
			require.NoError(t, os.Remove(name))
		}
	}
	r, err := lsm.Verify(context.Background(), dir, nil)
	require.NoError(t, err)
	require.Equal(t, 3, r.BlobFiles)
	require.NotEmpty(t, r.Findings)
	salvaged(t, dir, want, func(r *lsm.SalvageReport, missing int) { require.Zero(t, missing) })
}

func TestTheScrubFindsDamageInBlobFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openBlobs(t, fs, func(o *lsm.Options, _ *seams.Sizing) { o.ScrubBytesPerSec = 1 << 20 })
		for i := range 20 {
			require.NoError(t, db.Set(fmt.Appendf(nil, "k%02d", i), large(fmt.Sprint(i), 1000), nil))
		}
		flush(t, db)
		name := blobNames(t, fs)[0]
		f, err := fs.Open("db/"+name, vfs.ReadWrite)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte{1}, 5000)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		time.Sleep(25 * time.Hour)
		m := db.Metrics()
		require.Positive(t, m.ScrubFindings)
		require.GreaterOrEqual(t, m.ScrubbedBytes, m.BlobBytes)
		var damage *lsm.CorruptionError
		require.ErrorAs(t, db.Verify(context.Background()), &damage)
		require.Equal(t, name, damage.File)
		require.NoError(t, db.Close())
	})
}

// A checkpoint is whole, by links and by copies, and lives on without the store.
func TestACheckpointHasItsBlobFiles(t *testing.T) {
	for _, linked := range []bool{true, false} {
		mem := vfs.NewMem()
		var fs vfs.FS = mem
		if !linked {
			fs = vfs.NewFaults(mem, vfs.Rule{Kinds: vfs.OpLink, Err: vfs.ErrNoLink, Forever: true})
		}
		db := openBlobs(t, fs, nil)
		want := map[string]string{}
		for i := range 30 {
			k, v := fmt.Sprintf("k%02d", i), large(fmt.Sprint(i), 500)
			require.NoError(t, db.Set([]byte(k), v, nil))
			want[k] = string(v)
		}
		require.NoError(t, db.Checkpoint(context.Background(), "copy"))
		require.NoError(t, db.DeleteRange(nil, nil, nil))
		flush(t, db)
		compactAll(t, db)
		require.NoError(t, db.Close())
		o := lsm.Options{MustExist: true}
		seams.Inject(&o, seams.Seams{FS: mem})
		copied, err := lsm.Open("copy", &o)
		require.NoError(t, err)
		readsAll(t, copied, want)
		require.NoError(t, copied.Verify(context.Background()))
		require.NoError(t, copied.Close())
	}
}

// What a crash leaves of blob files goes when the store is opened.
func TestOrphanedBlobFilesGo(t *testing.T) {
	fs := vfs.NewMem()
	db := openBlobs(t, fs, nil)
	require.NoError(t, db.Set([]byte("k"), large("v", 1000), nil))
	flush(t, db)
	kept := blobNames(t, fs)
	require.NoError(t, db.Close())
	f, err := fs.Create("db/000777.blob")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	db = openBlobs(t, fs, nil)
	require.NoError(t, db.Set([]byte("k2"), large("v", 1000), nil))
	flush(t, db)
	require.NoError(t, db.Close())
	left := blobNames(t, fs)
	require.Len(t, left, 2)
	require.Equal(t, kept[0], left[0])
	require.Greater(t, left[1], "000777.blob", "its number is not used again")
}

// A blob file of which values are to be moved, and cannot be read, is met once; the tables
// that refer to it are merged as before.
func TestADamagedBlobFileIsMetOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openBlobs(t, fs, nil)
		set := func(n int, v string) {
			for i := range n {
				require.NoError(t, db.Set(fmt.Appendf(nil, "k%02d", i), large(v, 1000), nil))
			}
			flush(t, db)
		}
		set(30, "old")
		name := blobNames(t, fs)[0]
		f, err := fs.Open("db/"+name, vfs.ReadWrite)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte{1}, 28*1000)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		set(20, "new")
		compactAll(t, db)
		time.Sleep(time.Hour)
		errs := db.Metrics().CompactionErrors
		require.Equal(t, int64(1), errs)
		set(10, "newer")
		compactAll(t, db)
		time.Sleep(time.Hour)
		require.Equal(t, errs, db.Metrics().CompactionErrors)
		got, err := db.Get([]byte("k05"))
		require.NoError(t, err)
		require.Equal(t, string(large("newer", 1000)), string(got))
		require.NoError(t, db.Close())
	})
}
