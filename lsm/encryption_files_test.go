package lsm

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
)

// withFiles are options of an encrypted store that consists of the files.
func withFiles(t *testing.T, files map[string][]byte) *Options {
	t.Helper()
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("db"))
	for name, content := range files {
		putFile(t, fs, "db/"+name, content)
	}
	return encrypted(fs, 1)
}

// B60: a store, or a part of it, that was put back to what it was is older than an anchor taken since.
func TestWhatWasPutBackIsOlderThanTheAnchor(t *testing.T) {
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	fillCanaries(t, db, 0, 120)
	first, err := db.Anchor()
	require.NoError(t, err)
	older := filesIn(t, fs, "db")
	fillCanaries(t, db, 120, 240)
	second, err := db.Anchor()
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	require.NoError(t, db.Close())
	newer := filesIn(t, fs, "db")

	opens := func(files map[string][]byte, a Anchor) error {
		o := withFiles(t, files)
		o.Encryption.MinAnchor = a
		for _, readOnly := range []bool{true, false} {
			o.ReadOnly = readOnly && files != nil
			db, err := Open("db", o)
			if err != nil {
				return err
			}
			_ = db.Close()
		}
		return nil
	}
	require.NoError(t, opens(newer, second))
	require.NoError(t, opens(newer, first))
	require.NoError(t, opens(older, first))
	require.NoError(t, opens(older, Anchor{}), "without an anchor it is what the store wrote")
	err = opens(older, second)
	require.ErrorIs(t, err, ErrRollback)
	require.ErrorIs(t, err, ErrCorrupt)
	o = withFiles(t, older)
	o.Encryption.MinAnchor = second
	r, err := Verify(context.Background(), "db", o)
	require.NoError(t, err)
	require.ErrorIs(t, r.Err(), ErrRollback)
	require.ErrorIs(t, opens(nil, first), ErrRollback, "gone, and not made anew")

	// Another store of the same key is not this one.
	other := vfs.NewMem()
	db = mustOpen(t, encrypted(other, 1))
	require.NoError(t, db.Close())
	require.ErrorIs(t, opens(filesIn(t, other, "db"), first), ErrAuth)
	// One with another's keyring neither.
	mixed := filesIn(t, other, "db")
	mixed[crypto.KeyringName] = newer[crypto.KeyringName]
	require.ErrorIs(t, opens(mixed, Anchor{}), ErrAuth)
}

// B60: a keyring that was put back is refused however often the store is opened: its epoch does not
// grow until it is as new as it should be.
func TestAKeyringThatWasPutBackStaysRefused(t *testing.T) {
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	db := mustOpen(t, o)
	fillCanaries(t, db, 0, 20)
	require.NoError(t, db.RotateDataKeys())
	older := filesIn(t, fs, "db")[crypto.KeyringName] // it has all data keys that there will be
	require.NoError(t, db.RotateMasterKey(context.Background(), masterKey(2)))
	require.NoError(t, db.Close())
	putFile(t, fs, "db/"+crypto.KeyringName, older)
	for range 6 {
		_, err := Open("db", o)
		require.ErrorIs(t, err, ErrCorrupt)
	}
	require.Equal(t, older, filesIn(t, fs, "db")[crypto.KeyringName])
	r, err := Verify(context.Background(), "db", o)
	require.NoError(t, err)
	require.Error(t, r.Err())
}

// B60: files of the store that change their places, those of other stores, and plain ones are not
// authentic; one that is missing is damage.
func TestForeignFilesAreNotAuthentic(t *testing.T) {
	ctx := context.Background()
	// Nothing is merged, so that the stores have files of the same names.
	build := func(o *Options) map[string][]byte {
		db := mustOpen(t, paused(o))
		fillCanaries(t, db, 0, 250)
		require.NoError(t, db.Close())
		return filesIn(t, o.seams.FS, "db")
	}
	good := build(encrypted(vfs.NewMem(), 1))
	other := build(encrypted(vfs.NewMem(), 1))
	plain := build(inClear(encrypted(vfs.NewMem(), 1)))
	read := func(files map[string][]byte) error {
		db, err := Open("db", withFiles(t, files))
		if err != nil {
			return err
		}
		defer db.Close()
		if err := db.Verify(ctx); err != nil {
			return err
		}
		checkCanaries(t, db, 250)
		return nil
	}
	require.NoError(t, read(good))
	tried := 0
	for name := range good {
		if name == "LOCK" || name == "CURRENT" || name == crypto.KeyringName {
			continue // nothing, no secret, and its own tests
		}
		for what, from := range map[string]map[string][]byte{"another store's": other, "in clear": plain} {
			if content, ok := from[name]; ok {
				changed := maps.Clone(good)
				changed[name] = content
				err := read(changed)
				if err == nil && filepath.Ext(name) == "" && name[0] == 'w' {
					continue // a slot of the log that is free may hold anything
				}
				require.ErrorIs(t, err, ErrCorrupt, "%s: %s", name, what)
				tried++
			}
		}
	}
	require.Greater(t, tried, 20)
	delete(good, crypto.KeyringName)
	require.ErrorIs(t, read(good), ErrCorrupt)
	require.NotErrorIs(t, read(good), ErrNotEncrypted)
}

// planted are the files of an encrypted store whose manifest is lost, with files in clear of
// another store beside them.
func planted(t *testing.T) (files map[string][]byte, names []string) {
	t.Helper()
	build := func(o *Options, from, to int) map[string][]byte {
		db := mustOpen(t, o)
		fillCanaries(t, db, from, to)
		require.NoError(t, db.Close())
		return filesIn(t, o.seams.FS, "db")
	}
	files = build(encrypted(vfs.NewMem(), 1), 0, 120)
	o := inClear(encrypted(vfs.NewMem(), 1))
	for name, content := range build(o, 500, 620) {
		switch filepath.Ext(name) {
		case ".sst", ".blob":
			name = "9" + name
			names = append(names, name)
			files[name] = content
		}
	}
	for name, content := range files {
		if filepath.Ext(name) == "" && name != crypto.KeyringName && bytes.HasPrefix([]byte(name), []byte("MANIFEST")) {
			files[name] = bytes.Clone(content[:len(content)/2])
		}
	}
	require.NotEmpty(t, names)
	return files, names
}

// Files in clear that somebody has put beside those of an encrypted store are never taken over,
// also where no manifest says which files are the store's.
func TestPlantedFilesInClearAreNotSalvaged(t *testing.T) {
	ctx := context.Background()
	files, names := planted(t)
	o := withFiles(t, files)
	r, err := Verify(ctx, "db", o)
	require.NoError(t, err)
	for _, name := range names {
		require.True(t, slices.ContainsFunc(r.Findings, func(c *CorruptionError) bool {
			return c.File == name && errors.Is(c, ErrAuth)
		}), "%s in %v", name, r.Findings)
	}
	_, err = Salvage(ctx, "db", "new", o)
	require.NoError(t, err)
	db, err := Open("new", o)
	require.NoError(t, err)
	defer db.Close()
	n := 0
	for e, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		require.Negative(t, bytes.Compare(e.Key, canaryKey(500)))
		n++
	}
	require.Greater(t, n, 50)
}
