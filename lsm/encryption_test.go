package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// masterKey is the provider of the master key of that number.
func masterKey(n byte) crypto.KeyProvider {
	return crypto.KeyBytes(bytes.Repeat([]byte{n}, crypto.KeyLen))
}

// encrypted are options of small encrypted stores.
func encrypted(fs vfs.FS, key byte) *Options {
	return &Options{
		Encryption: &Encryption{Key: masterKey(key)}, CompactionWorkers: 1, SyncInterval: -1,
		BlobThreshold: 500, seams: sized(fs),
	}
}

func mustOpen(t *testing.T, o *Options) *DB {
	t.Helper()
	db, err := Open("db", o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// canary is what no file may show: a part of each key and each value.
const canary = "canary-in-the-mine"

func canaryKey(i int) []byte { return fmt.Appendf(nil, "%s-key-%06d", canary, i) }

func canaryValue(i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%s-value-%06d;", canary, i), 1+i%60) // some in blob files
}

// fillCanaries writes entries [from, to), flushed in parts.
func fillCanaries(t *testing.T, db *DB, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		require.NoError(t, db.Set(canaryKey(i), canaryValue(i), NoSync))
		if i%100 == 99 {
			require.NoError(t, db.Flush(context.Background()))
		}
	}
}

func checkCanaries(t *testing.T, db *DB, n int) {
	t.Helper()
	i := 0
	for e, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		require.Equal(t, string(canaryKey(i)), string(e.Key))
		require.Equal(t, string(canaryValue(i)), string(e.Value))
		i++
	}
	require.Equal(t, n, i)
	v, err := db.Get(canaryKey(n / 2))
	require.NoError(t, err)
	require.Equal(t, canaryValue(n/2), v)
}

// filesIn are the contents of a directory's files: in memory at one moment, since those of an open
// store come and go.
func filesIn(t *testing.T, fs vfs.FS, dir string) map[string][]byte {
	t.Helper()
	if mem, ok := fs.(*vfs.Mem); ok {
		fs = mem.Copy()
	}
	names, err := fs.List(dir)
	require.NoError(t, err)
	all := map[string][]byte{}
	for _, name := range names {
		f, err := fs.Open(path.Join(dir, name), vfs.ReadOnly)
		require.NoError(t, err)
		size, err := f.Size()
		require.NoError(t, err)
		all[name] = make([]byte, size)
		if _, err := f.ReadAt(all[name], 0); !errors.Is(err, io.EOF) {
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
	}
	return all
}

func putFile(t *testing.T, fs vfs.FS, name string, content []byte) {
	t.Helper()
	err := fs.Remove(name)
	if !errors.Is(err, vfs.ErrNotExist) {
		require.NoError(t, err)
	}
	f, err := fs.Create(name)
	require.NoError(t, err)
	_, err = f.WriteAt(content, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// B60, R36: everything that a store does it does encrypted, and nothing of it is in clear in any file,
// whether the store is open, was closed, or was copied, nor in what it logs.
func TestAnEncryptedStoreShowsNothing(t *testing.T) {
	ctx := context.Background()
	for _, mode := range []LogMode{LogMapped, LogWritten} {
		fs := vfs.NewMem()
		o := encrypted(fs, 1)
		o.Compression, o.LogMode = NoCompression, mode
		var logged lockedBuffer
		o.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		shown := func(dir string) {
			for name, content := range filesIn(t, fs, dir) {
				require.NotContains(t, string(content), canary, name)
				require.NotContains(t, name, canary)
			}
		}
		db := mustOpen(t, o)
		fillCanaries(t, db, 0, 450)
		require.NoError(t, db.Merge(BytesAppend, canaryKey(450), canaryValue(450), nil))
		sc, err := db.Scope(scope.Agent(canary + "-agent"))
		require.NoError(t, err)
		require.NoError(t, sc.Set(canaryKey(0), canaryValue(0), nil))
		shown("db")
		require.NoError(t, db.Compact(ctx, nil, nil))
		require.NoError(t, db.Checkpoint(ctx, "copy"))
		require.NoError(t, db.Verify(ctx))
		checkCanaries(t, db, 451)
		require.NotZero(t, db.Metrics().BlobFiles)
		require.NoError(t, db.Close())
		shown("db")
		shown("copy")
		db = mustOpen(t, o)
		checkCanaries(t, db, 451)
		require.NoError(t, db.Close())
		copied, err := Open("copy", o)
		require.NoError(t, err)
		checkCanaries(t, copied, 451)
		require.NoError(t, copied.Close())
		require.Contains(t, logged.String(), "flushed")
		require.NotContains(t, logged.String(), canary)
	}
}

// lockedBuffer takes what several goroutines log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// readNames notes which files are opened.
type readNames struct {
	vfs.FS
	opened []string
}

func (r *readNames) Open(name string, m vfs.OpenMode) (vfs.File, error) {
	r.opened = append(r.opened, path.Base(name))
	return r.FS.Open(name, m)
}

// B60: a wrong key, no key, and a key for a store in clear say so before anything else of the
// store is read, and change nothing.
func TestOptionsThatDoNotFitTheStore(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name        string
		made, asked byte // 0: in clear
		want        error
		read        []string
	}{
		{"wrong key", 1, 2, ErrWrongKey, []string{crypto.KeyringName}},
		{"no key", 1, 0, ErrEncrypted, nil},
		{"in clear", 0, 1, ErrNotEncrypted, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			options := func(fs vfs.FS, key byte) *Options {
				o := encrypted(fs, key)
				if key == 0 {
					o.Encryption = nil
				}
				return o
			}
			db := mustOpen(t, options(fs, c.made))
			fillCanaries(t, db, 0, 150)
			require.NoError(t, db.Close())
			before := filesIn(t, fs, "db")
			reads := &readNames{FS: fs}
			asked := options(reads, c.asked)
			refused := func(err error) {
				t.Helper()
				require.ErrorIs(t, err, c.want)
				require.NotErrorIs(t, err, ErrCorrupt)
				if c.made != 0 {
					require.Equal(t, c.read, reads.opened)
				}
				reads.opened = nil
			}
			_, err := Open("db", asked)
			refused(err)
			_, err = Verify(ctx, "db", asked)
			refused(err)
			_, err = Salvage(ctx, "db", "new", asked)
			refused(err)
			asked.ReadOnly = true
			_, err = Open("db", asked)
			refused(err)
			require.Equal(t, before, filesIn(t, fs, "db"))
			_, err = fs.List("new")
			require.ErrorIs(t, err, vfs.ErrNotExist)
			mustOpen(t, options(fs, c.made))
		})
	}
}

func TestEncryptionOptionsAreValidated(t *testing.T) {
	for _, e := range []Encryption{{}, {Key: masterKey(1), Cipher: 3}, {Key: masterKey(1), Policy: crypto.Policy{MaxAge: -1}}} {
		require.ErrorIs(t, (&Options{Encryption: &e}).Validate(), ErrInvalidOptions)
	}
	require.NoError(t, (&Options{Encryption: &Encryption{Key: masterKey(1), Cipher: crypto.ChaCha20Poly1305}}).Validate())
	_, err := Open("db", &Options{Encryption: &Encryption{Key: crypto.KeyBytes(nil)}, InMemory: true})
	require.ErrorIs(t, err, crypto.ErrInvalidKey)
}

// A store in memory is encrypted like any other: its checkpoints are.
func TestAnEncryptedStoreInMemory(t *testing.T) {
	for _, c := range []crypto.Cipher{crypto.AES256GCM, crypto.ChaCha20Poly1305} {
		o := &Options{Encryption: &Encryption{Key: masterKey(1), Cipher: c}, InMemory: true}
		db := mustOpen(t, o)
		fillCanaries(t, db, 0, 150)
		st, err := db.KeyStatus()
		require.NoError(t, err)
		require.Equal(t, c, st.Keys[0].Cipher)
		dir := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, db.Checkpoint(context.Background(), dir))
		_, err = Open(dir, nil)
		require.ErrorIs(t, err, ErrEncrypted)
		copied, err := Open(dir, &Options{Encryption: &Encryption{Key: masterKey(1)}})
		require.NoError(t, err)
		checkCanaries(t, copied, 150)
		require.NoError(t, copied.Close())
	}
}

// The master key changes with one small file; a copy keeps the key that it was made under.
func TestTheMasterKeyIsChanged(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	db := mustOpen(t, encrypted(fs, 1))
	fillCanaries(t, db, 0, 120)
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	require.NoError(t, db.Compact(ctx, nil, nil))
	tables := tableFiles(t, fs)
	before, err := db.KeyStatus()
	require.NoError(t, err)
	require.NoError(t, db.RotateMasterKey(ctx, masterKey(2)))
	after := tableFiles(t, fs) // a flush of the background may have added one
	kept := slices.ContainsFunc(tables, func(name string) bool { return slices.Contains(after, name) })
	require.True(t, kept, "they are not written anew")
	now, err := db.KeyStatus()
	require.NoError(t, err)
	require.Equal(t, before.Active, now.Active, "the data key stays")
	require.Len(t, now.Keys, len(before.Keys))
	fillCanaries(t, db, 120, 140)
	require.NoError(t, db.Close())
	_, err = Open("db", encrypted(fs, 1))
	require.ErrorIs(t, err, ErrWrongKey)
	checkCanaries(t, mustOpen(t, encrypted(fs, 2)), 140)
	_, err = Open("copy", encrypted(fs, 2))
	require.ErrorIs(t, err, ErrWrongKey)
	copied, err := Open("copy", encrypted(fs, 1))
	require.NoError(t, err)
	checkCanaries(t, copied, 120)
	require.NoError(t, copied.Close())
}

// B61: data keys change by age at an opening and at a flush, by bytes at a flush, and on demand.
func TestDataKeysAreRotated(t *testing.T) {
	var mu sync.Mutex
	now := time.UnixMilli(1e12)
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	o := encrypted(vfs.NewMem(), 1)
	o.Encryption.Policy.MaxAge = time.Hour
	o.seams.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	active := func(db *DB) seal.KeyID {
		st, err := db.KeyStatus()
		require.NoError(t, err)
		require.Len(t, st.Keys, int(st.Active))
		return st.Active
	}
	db := mustOpen(t, o)
	fillCanaries(t, db, 0, 100)
	require.Equal(t, seal.KeyID(1), active(db))
	pass(time.Hour)
	fillCanaries(t, db, 100, 200)
	require.Equal(t, seal.KeyID(2), active(db))
	require.NoError(t, db.Close())
	pass(2 * time.Hour)
	db = mustOpen(t, o)
	require.Equal(t, seal.KeyID(3), active(db))
	require.NoError(t, db.RotateDataKeys())
	require.Equal(t, seal.KeyID(4), active(db))
	checkCanaries(t, db, 200)
	st, err := db.KeyStatus()
	require.NoError(t, err)
	require.NotZero(t, st.Keys[0].Sealed, "kept over openings")
	require.NoError(t, db.Close())

	o.Encryption.Policy = crypto.Policy{MaxBytes: 256 << 10}
	db = mustOpen(t, o)
	for i := 200; active(db) == 4; i++ {
		require.Less(t, i, 20_000)
		fillCanaries(t, db, i, i+1)
	}
	require.NoError(t, db.Verify(context.Background()))
}

// Tables that were built outside come into an encrypted store encrypted.
func TestTablesAreIngestedEncrypted(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	require.NoError(t, db.Set(canaryKey(3), []byte("older"), nil))
	w, err := NewTableWriter("outside.sst", o)
	require.NoError(t, err)
	for i := range 300 {
		require.NoError(t, w.Set(canaryKey(i), canaryValue(i)))
	}
	require.NoError(t, w.Finish())
	require.NoError(t, db.Ingest(ctx, "outside.sst"))
	checkCanaries(t, db, 300)
	require.NoError(t, db.Verify(ctx))
	require.NoError(t, db.Close())
	for name, content := range filesIn(t, fs, "db") {
		require.NotContains(t, string(content), canary, name)
	}
	db = mustOpen(t, o)
	checkCanaries(t, db, 300)
	require.NoError(t, fs.MkdirAll("files"))
	require.NoError(t, fs.Link("outside.sst", "files/outside.sst"))
	putFile(t, fs, "broken.sst", append(filesIn(t, fs, "files")["outside.sst"], 0))
	require.ErrorIs(t, db.Ingest(ctx, "broken.sst"), ErrInvalidTable)
	checkCanaries(t, db, 300)
}

// A damaged encrypted store is salvaged into an encrypted one, with keys of its own.
func TestADamagedEncryptedStoreIsSalvaged(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	o.BlobThreshold = -1
	db := mustOpen(t, o)
	fillCanaries(t, db, 0, 300)
	require.NoError(t, db.Compact(ctx, nil, nil))
	require.NoError(t, db.Close())
	r, err := Verify(ctx, "db", o)
	require.NoError(t, err)
	require.NoError(t, r.Err())
	require.EqualValues(t, 300, r.Entries)
	name := tableFiles(t, fs)[0]
	content := filesIn(t, fs, "db")[name]
	content[len(content)/3] ^= 1
	putFile(t, fs, "db/"+name, content)
	r, err = Verify(ctx, "db", o)
	require.NoError(t, err)
	require.ErrorIs(t, r.Err(), ErrAuth)
	require.NotContains(t, r.Err().Error(), canary)
	report, err := Salvage(ctx, "db", "new", o)
	require.NoError(t, err)
	require.False(t, report.Complete())
	for name, content := range filesIn(t, fs, "new") {
		require.NotContains(t, string(content), canary, name)
	}
	_, err = Open("new", inClear(o))
	require.ErrorIs(t, err, ErrEncrypted)
	saved, err := Open("new", o)
	require.NoError(t, err)
	defer saved.Close()
	require.Positive(t, keyStatus(t, saved, 1).Tables)
	n := 0
	for e, err := range saved.Scan(nil, nil) {
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(e.Key), canary))
		n++
	}
	require.Less(t, n, 300)
	require.Greater(t, n, 200)
}

// inClear is o without encryption.
func inClear(o *Options) *Options {
	c := *o
	c.Encryption = nil
	return &c
}

func TestAPlainStoreHasNoKeys(t *testing.T) {
	db := mustOpen(t, &Options{InMemory: true})
	_, err := db.Anchor()
	require.ErrorIs(t, err, ErrNotEncrypted)
	_, err = db.KeyStatus()
	require.ErrorIs(t, err, ErrNotEncrypted)
	require.ErrorIs(t, db.RotateDataKeys(), ErrNotEncrypted)
	require.ErrorIs(t, db.RotateMasterKey(context.Background(), masterKey(1)), ErrNotEncrypted)
}
