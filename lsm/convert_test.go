package lsm

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
)

// clearStore makes a store in clear that has n canaries, some in the log alone, and a scope.
func clearStore(t *testing.T, o *Options, n int) {
	t.Helper()
	db := mustOpen(t, inClear(o))
	fillCanaries(t, db, 0, n)
	sc, err := db.Scope(scope.Agent(canary + "-agent"))
	require.NoError(t, err)
	require.NoError(t, sc.Set([]byte(canary), []byte(canary), nil))
	require.NoError(t, db.Close())
}

func checkScope(t *testing.T, db *DB) {
	t.Helper()
	sc, err := db.Scope(scope.Agent(canary + "-agent"))
	require.NoError(t, err)
	v, err := sc.Get([]byte(canary))
	require.NoError(t, err)
	require.Equal(t, canary, string(v))
}

// converted waits until nothing is left to be written anew.
func converted(t *testing.T, db *DB) {
	t.Helper()
	require.Eventually(t, func() bool {
		st, err := db.KeyStatus()
		require.NoError(t, err)
		if st.Conversion == Decrypting {
			return st.Left == 0 && !slices.ContainsFunc(st.Keys, func(k DataKeyStatus) bool { return k.Bytes > 0 })
		}
		return st.Conversion == NoConversion
	}, 30*time.Second, time.Millisecond)
	require.Zero(t, db.Metrics().ConversionBytes)
}

// showsNothing requires that no file of the store has a canary, nor has the name of one.
func showsNothing(t *testing.T, fs vfs.FS) {
	t.Helper()
	for name, content := range filesIn(t, fs, "db") {
		require.False(t, bytes.Contains(content, []byte(canary)), name)
		require.NotContains(t, name, canary)
	}
}

// R36: a store in clear becomes an encrypted one while it is used. Without the key it does not open from the
// beginning on; when it is there nothing of it is in clear in any file.
func TestAStoreInClearIsEncrypted(t *testing.T) {
	ctx := context.Background()
	for _, mode := range []LogMode{LogMapped, LogWritten} {
		fs := vfs.NewMem()
		o := encrypted(fs, 1)
		o.LogMode, o.Compression = mode, NoCompression
		clearStore(t, o, 450)
		_, err := Open("db", o)
		require.ErrorIs(t, err, ErrNotEncrypted)
		require.ErrorContains(t, err, "Encrypt")

		require.NoError(t, Encrypt(ctx, "db", o))
		require.ErrorIs(t, Encrypt(ctx, "db", o), ErrEncrypted, "it is begun once")
		_, err = Open("db", inClear(o))
		require.ErrorIs(t, err, ErrEncrypted)
		_, err = Open("db", encrypted(fs, 2))
		require.ErrorIs(t, err, ErrWrongKey)

		db := mustOpen(t, o)
		fillCanaries(t, db, 450, 600)
		converted(t, db)
		checkCanaries(t, db, 600)
		checkScope(t, db)
		st, err := db.KeyStatus()
		require.NoError(t, err)
		require.Zero(t, st.InClear)
		require.Zero(t, st.Left)
		require.NoError(t, db.Verify(ctx))
		require.NoError(t, db.Close())
		showsNothing(t, fs)
		r, err := Verify(ctx, "db", o)
		require.NoError(t, err)
		require.NoError(t, r.Err())
		db = mustOpen(t, o)
		checkCanaries(t, db, 600)
		checkScope(t, db)
		require.NoError(t, db.Close())
	}
}

// What a Close ends is a store in clear, which opens without a key alone.
func TestAnEncryptedStoreIsDecrypted(t *testing.T) {
	ctx := context.Background()
	for _, mode := range []LogMode{LogMapped, LogWritten} {
		fs := vfs.NewMem()
		o := encrypted(fs, 1)
		o.LogMode = mode
		db := mustOpen(t, o)
		fillCanaries(t, db, 0, 450)
		require.NoError(t, db.Close())
		require.ErrorIs(t, Decrypt(ctx, "db", encrypted(fs, 2)), ErrWrongKey)
		require.NoError(t, Decrypt(ctx, "db", paused(o))) // or it may be done at once
		_, err := Open("db", inClear(o))
		require.ErrorIs(t, err, ErrEncrypted)
		db = mustOpen(t, o)
		st, err := db.KeyStatus()
		require.NoError(t, err)
		require.Equal(t, Decrypting, st.Conversion)
		require.ErrorIs(t, db.RotateDataKeys(), ErrDecrypting)
		fillCanaries(t, db, 450, 600)
		converted(t, db)
		st, err = db.KeyStatus()
		require.NoError(t, err)
		require.Positive(t, st.InClear.Tables)
		require.Positive(t, st.InClear.BlobFiles)
		require.Positive(t, st.InClear.LogSegments)
		require.True(t, st.Keys[st.Active-1].Manifest, "it is encrypted to the end")
		checkCanaries(t, db, 600)
		require.NoError(t, db.Close())
		_, err = Open("db", o)
		require.ErrorIs(t, err, ErrNotEncrypted)
		require.ErrorIs(t, Decrypt(ctx, "db", o), ErrNotEncrypted)
		for name := range filesIn(t, fs, "db") {
			require.NotContains(t, name, crypto.KeyringName)
		}
		db = mustOpen(t, inClear(o))
		checkCanaries(t, db, 600)
		require.NoError(t, db.Verify(ctx))
		require.NoError(t, db.Close())
		// And back, with another key.
		o = encrypted(fs, 2)
		require.NoError(t, Encrypt(ctx, "db", o))
		db = mustOpen(t, o)
		converted(t, db)
		checkCanaries(t, db, 600)
		require.NoError(t, db.Close())
		showsNothing(t, fs)
	}
}

// halfway is a store of n canaries that is on its way, the last hundred of them encrypted: nothing is merged.
func halfway(t *testing.T, fs vfs.FS, n int) *Options {
	t.Helper()
	o := encrypted(fs, 1)
	clearStore(t, o, n-100)
	require.NoError(t, Encrypt(context.Background(), "db", paused(o)))
	db := mustOpen(t, paused(o))
	fillCanaries(t, db, n-100, n)
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Close())
	return o
}

// paused is o with tables that no compaction may touch.
func paused(o *Options) *Options {
	c := *o
	c.seams.Sizing.NoCompaction = true
	return &c
}

// A store that is on its way back is turned, too: what is in clear by then is listed anew.
func TestAConversionIsTurned(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := halfway(t, fs, 300)
	require.NoError(t, Decrypt(ctx, "db", paused(o)))
	db := mustOpen(t, paused(o))
	st, err := db.KeyStatus()
	require.NoError(t, err)
	require.Equal(t, Decrypting, st.Conversion)
	fillCanaries(t, db, 300, 400)
	require.NoError(t, db.Close())
	require.NoError(t, Encrypt(ctx, "db", paused(o)))
	db = mustOpen(t, paused(o))
	st, err = db.KeyStatus()
	require.NoError(t, err)
	require.Equal(t, Encrypting, st.Conversion)
	require.Positive(t, st.Left)
	require.Equal(t, st.Left, st.InClear.Bytes)
	require.Equal(t, st.Left, db.Metrics().ConversionBytes)
	require.Zero(t, st.InClear.LogSegments)
	require.NoError(t, db.Close())
	db = mustOpen(t, o)
	converted(t, db)
	checkCanaries(t, db, 400)
	require.NoError(t, db.Close())
	showsNothing(t, fs)
}

// A store on its way is read with the key, without writing; its checkpoints are on the same way.
func TestAStoreOnItsWayIsReadAndCopied(t *testing.T) {
	ctx := context.Background()
	for _, back := range []bool{false, true} {
		fs := vfs.NewMem()
		o := halfway(t, fs, 300)
		if back {
			require.NoError(t, Decrypt(ctx, "db", paused(o)))
		}
		before := filesIn(t, fs, "db")
		reading := *o
		reading.ReadOnly = true
		db := mustOpen(t, &reading)
		checkCanaries(t, db, 300)
		st, err := db.KeyStatus()
		require.NoError(t, err)
		require.Positive(t, st.InClear.Tables)
		require.NoError(t, db.Close())
		require.Equal(t, before, filesIn(t, fs, "db"))

		db = mustOpen(t, paused(o))
		require.NoError(t, db.Set(canaryKey(300), canaryValue(300), nil))
		require.NoError(t, db.Checkpoint(ctx, "copy"))
		require.NoError(t, db.Close())
		_, err = Open("copy", inClear(o))
		require.ErrorIs(t, err, ErrEncrypted)
		copied, err := Open("copy", o)
		require.NoError(t, err)
		converted(t, copied)
		checkCanaries(t, copied, 301)
		checkScope(t, copied)
		require.NoError(t, copied.Close())
		if back {
			copied, err = Open("copy", inClear(o))
			require.NoError(t, err)
			checkCanaries(t, copied, 301)
			require.NoError(t, copied.Close())
		}
		report, err := Salvage(ctx, "db", "saved", o)
		require.NoError(t, err)
		require.True(t, report.Complete())
		saved, err := Open("saved", o)
		require.NoError(t, err)
		checkCanaries(t, saved, 301)
		require.NoError(t, saved.Close())
	}
}

// The conversion ends only when readers have left what is in clear, and its files are gone.
func TestEncryptionEndsWhenNothingInClearIsLeft(t *testing.T) {
	fs := vfs.NewMem()
	o := halfway(t, fs, 300)
	gate := make(chan struct{})
	o.seams.FS = &gatedFS{FS: fs, before: func(name string) {
		if strings.HasSuffix(name, ".sst") {
			<-gate // or the iterator might come too late
		}
	}}
	db := mustOpen(t, o)
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	require.True(t, it.First())
	close(gate)
	require.Eventually(t, func() bool { return db.Metrics().ConversionBytes == 0 }, 30*time.Second, time.Millisecond)
	require.NoError(t, db.Flush(context.Background()))
	held := 0
	for name, content := range filesIn(t, fs.Copy(), "db") {
		if strings.Contains(string(content), canary) && filepath.Ext(name) != "" {
			held++
		}
	}
	require.Positive(t, held, "the iterator has some")
	require.NoError(t, db.endEncryption())
	st, err := db.KeyStatus()
	require.NoError(t, err)
	require.Equal(t, Encrypting, st.Conversion, "%d files are in clear", held)
	require.NoError(t, it.Close())
	converted(t, db)
	for name, content := range filesIn(t, fs.Copy(), "db") {
		require.False(t, bytes.Contains(content, []byte(canary)), name)
	}
	require.NoError(t, db.Close())
}

// What has sealed values stays encrypted: nobody could read them.
func TestAStoreWithScopeKeysIsNotDecrypted(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	sc, err := db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	require.NoError(t, sc.SetSealed([]byte("k"), []byte("v"), nil))
	require.NoError(t, db.Checkpoint(ctx, "copy"))
	require.NoError(t, db.Close())
	for _, dir := range []string{"db", "copy"} {
		require.ErrorIs(t, Decrypt(ctx, dir, o), ErrScopeKeys)
		db, err := Open(dir, o)
		require.NoError(t, err)
		require.NoError(t, db.Close())
	}
}

func TestNothingIsSealedInAStoreThatIsDecrypted(t *testing.T) {
	fs := vfs.NewMem()
	o := halfway(t, fs, 110)
	require.NoError(t, Decrypt(context.Background(), "db", paused(o)))
	db := mustOpen(t, paused(o))
	sc, err := db.Scope(scope.Agent("a"))
	require.NoError(t, err)
	require.ErrorIs(t, sc.SetSealed([]byte("k"), []byte("v"), nil), ErrDecrypting)
	require.ErrorIs(t, sc.Seal(nil), ErrDecrypting)
	checkCanaries(t, db, 110)
}

// Calls that make no sense change nothing.
func TestConversionsThatAreRefused(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	for _, call := range []func(context.Context, string, *Options) error{Encrypt, Decrypt} {
		require.ErrorIs(t, call(ctx, "db", o), ErrNotExist)
	}
	_, err := fs.List("db")
	require.ErrorIs(t, err, vfs.ErrNotExist)
	clearStore(t, o, 120)
	before := filesIn(t, fs, "db")
	for _, call := range []func(context.Context, string, *Options) error{Encrypt, Decrypt} {
		require.ErrorIs(t, call(ctx, "db", inClear(o)), ErrInvalidOptions)
		reading := *o
		reading.ReadOnly = true
		require.ErrorIs(t, call(ctx, "db", &reading), ErrReadOnly)
		require.ErrorIs(t, call(ctx, "db", &Options{InMemory: true, Encryption: o.Encryption}), ErrInvalidOptions)
		anchored := *o
		anchored.Encryption = &Encryption{Key: masterKey(1), MinAnchor: Anchor{keyring: crypto.Anchor{Epoch: 1}}}
		err := call(ctx, "db", &anchored)
		require.Error(t, err)
		require.True(t, errors.Is(err, ErrRollback) || errors.Is(err, ErrNotEncrypted))
	}
	require.ErrorIs(t, Decrypt(ctx, "db", o), ErrNotEncrypted)
	require.Equal(t, before, filesIn(t, fs, "db"))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, Encrypt(ended, "db", o), context.Canceled)
	db := mustOpen(t, inClear(o))
	require.ErrorIs(t, Encrypt(ctx, "db", o), ErrLocked)
	checkCanaries(t, db, 120)
	require.NoError(t, db.Close())

	// A damaged store is not taken for what it should be.
	for name, content := range filesIn(t, fs, "db") {
		if filepath.Ext(name) == ".sst" {
			content[len(content)/2] ^= 1
			putFile(t, fs, "db/"+name, content)
			break
		}
	}
	require.ErrorIs(t, Encrypt(ctx, "db", o), ErrCorrupt)
	_, err = Open("db", o)
	require.ErrorIs(t, err, ErrNotEncrypted)
}
