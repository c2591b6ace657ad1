package lsm

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/wal"
)

// R34: a store that is on its way takes no file in clear but those that were there when it began, byte for byte. Each
// file is replaced by one of another store, by one of the same store and number with other content, and by itself with
// a bit changed, and files are added.
func TestFilesInClearKeepToWhatWasFound(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	halfway(t, fs, 250)
	good := filesIn(t, fs, "db")
	other := vfs.NewMem()
	clearStore(t, encrypted(other, 1), 250)
	foreign := filesIn(t, other, "db")
	read := func(files map[string][]byte, readOnly bool) error {
		o := withFiles(t, files)
		o.ReadOnly = readOnly
		db, err := Open("db", o)
		if err != nil {
			return err
		}
		defer db.Close()
		for e, err := range db.Scan(nil, nil) {
			if err != nil {
				return err
			}
			if !strings.HasPrefix(string(e.Key), canary) {
				return errors.New("a key of somebody else")
			}
		}
		checkCanaries(t, db, 250)
		return nil
	}
	require.NoError(t, read(good, false))
	tried := 0
	for _, name := range clearFiles(t, withFiles(t, good)) {
		content := good[name]
		forged := damagedForms(content, foreign[name])
		for what, with := range forged {
			files := map[string][]byte{}
			for n, c := range good {
				files[n] = c
			}
			files[name] = with
			for _, readOnly := range []bool{true, false} {
				err := read(files, readOnly)
				require.ErrorIs(t, err, ErrCorrupt, "%s: %s", name, what)
				if len(with) == len(content) {
					require.ErrorIs(t, err, ErrAuth, "%s: %s", name, what)
				}
			}
			r, err := Verify(ctx, "db", withFiles(t, files))
			require.NoError(t, err)
			require.Error(t, r.Err(), "%s: %s", name, what)
			tried++
		}
	}
	require.Greater(t, tried, 4)
}

// R34: a table in clear that was forged by somebody who knows all that the store has, with the identity, the size and the
// keys of the one that was there, and other values, is not taken for it, be it read or encrypted.
func TestAForgedTableInClearIsRefused(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	o := encrypted(fs, 1)
	o.BlobThreshold, o.Compression = -1, NoCompression
	clearStore(t, o, 120)
	require.NoError(t, Encrypt(ctx, "db", paused(o)))
	tried := 0
	for _, name := range clearFiles(t, withFiles(t, filesIn(t, fs, "db"))) {
		for _, idle := range []bool{true, false} {
			fs := fs.Copy()
			forgeTable(t, fs, name)
			o := encrypted(fs, 1)
			if o.BlobThreshold = -1; idle {
				o = paused(o)
			}
			db := mustOpen(t, o)
			refused := 0
			for i := range 120 {
				v, err := db.Get(canaryKey(i))
				if err != nil {
					require.ErrorIs(t, err, ErrAuth)
					refused++
					continue
				}
				require.Equal(t, string(canaryValue(i)), string(v))
			}
			require.Positive(t, refused)
			require.NoError(t, db.Close())
			tried++
		}
	}
	require.Greater(t, tried, 1)
}

// forgeTable changes the values of a table in clear and nothing else.
func forgeTable(t *testing.T, fs vfs.FS, name string) {
	t.Helper()
	f, err := fs.Open("db/"+name, vfs.ReadOnly)
	require.NoError(t, err)
	w, err := sstable.OpenWreck(t.Context(), f, sstable.WreckOptions{Name: name})
	require.NoError(t, err)
	made, err := fs.Create("db/forged")
	require.NoError(t, err)
	o := (&Options{Compression: NoCompression, BlockBytes: 4096, FilterBitsPerKey: 10}).tableOptions(false)
	o.UID = w.UID()
	out, err := sstable.NewWriter(made, o)
	require.NoError(t, err)
	for w.Next() {
		value := bytes.ReplaceAll(w.Value(), []byte("value"), []byte("VALUE"))
		require.NoError(t, out.Add(w.Key(), w.Trailer(), value))
	}
	require.NoError(t, w.Err())
	meta, err := out.Finish()
	require.NoError(t, err)
	require.Equal(t, w.Size(), meta.Size, "it would be found by its size")
	require.NoError(t, errors.Join(made.Close(), f.Close(), fs.Rename("db/forged", "db/"+name)))
}

// Where a crash has left segments in clear on the list of a store that is being encrypted, nothing in them is believed.
func TestALogInClearHasNothing(t *testing.T) {
	db := mustOpen(t, paused(halfway(t, vfs.NewMem(), 110)))
	s := &manifest.State{Conversion: &manifest.Conversion{To: manifest.ToEncrypted}, Segments: []manifest.Segment{{Num: 3, Slot: 2}}}
	rec := &replayed{log: wal.Recovery{Live: []wal.Segment{{Num: 3}}}}
	require.NoError(t, db.dropClearLog(s, rec))
	require.Empty(t, rec.log.Live)
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	err := db.dropClearLog(s, rec)
	require.ErrorIs(t, err, ErrAuth)
	require.ErrorContains(t, err, "wal-0002")
}

// clearFiles are the names of the tables and blob files in clear.
func clearFiles(t *testing.T, o *Options) (names []string) {
	t.Helper()
	o.ReadOnly = true
	db := mustOpen(t, o)
	for num, table := range db.tables {
		if table.meta.Key == 0 {
			names = append(names, manifest.TableName(num))
		}
	}
	for num, b := range db.blobs {
		if b.meta.Key == 0 {
			names = append(names, manifest.BlobName(num))
		}
	}
	require.NoError(t, db.Close())
	return names
}

// damagedForms are files that could take the place of one in clear.
func damagedForms(content, foreign []byte) map[string][]byte {
	bit := bytes.Clone(content)
	bit[len(bit)/2] ^= 1
	last := bytes.Clone(content)
	last[len(last)-1] ^= 0x80
	out := map[string][]byte{"a bit": bit, "the last byte": last}
	if foreign != nil {
		out["another store's"] = foreign
	}
	return out
}
