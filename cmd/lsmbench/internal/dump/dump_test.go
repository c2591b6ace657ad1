package dump

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/proc"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/lsm"
)

// storeToDump makes a store with 30 keys in a table and three operations in the log.
func storeToDump(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	db, err := lsm.Open(dir, nil)
	require.NoError(t, err)
	for i := range 30 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "flushed-%02d", i), []byte("secret"), lsm.NoSync))
	}
	require.NoError(t, db.Flush(t.Context()))
	require.NoError(t, db.Delete([]byte("flushed-00"), nil))
	b := db.NewBatch()
	b.Set([]byte("a\x00b"), []byte("hidden"))
	b.Set([]byte("empty"), nil)
	require.NoError(t, db.Apply(b, nil))
	require.NoError(t, db.Close())
	return dir
}

func dumped(t *testing.T, dir string, o Options) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Store(t.Context(), &out, dir, o)
	return out.String(), err
}

// dirSize returns the bytes of the files in dir.
func dirSize(dir string) (int64, error) {
	logs, others, err := proc.Sizes(dir, func(string) bool { return false })
	return logs + others, err
}

func TestDumpShowsManifestLogAndTables(t *testing.T) {
	dir := storeToDump(t)
	before, err := dirSize(dir)
	require.NoError(t, err)
	out, err := dumped(t, dir, Options{Limit: 20})
	require.NoError(t, err)
	for _, want := range []string{
		"MANIFEST-0", ", run 1: 1 tables, ", "30 entries, 0 deletes", `[1/"flushed-00", 1/"flushed-29"]`,
		`    1/"flushed-00" 31,DELETE` + "\n", `    1/"a\x00b" 32,SET 6 bytes`, `    1/"empty" 33,SET 0 bytes`,
		"2 operations from 32", "  ends clean after 33: 3 operations, and 30 that are in tables; 0 bytes lost", `    1/"flushed-19" 20,SET 6 bytes`, "    … and 10 more",
	} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "secret", "values stay out unless asked for")
	require.NotContains(t, out, "hidden")
	require.NotContains(t, out, `"flushed-20"`)
	after, err := dirSize(dir)
	require.NoError(t, err)
	require.Equal(t, before, after)

	out, err = dumped(t, dir, Options{Values: true})
	require.NoError(t, err)
	require.Contains(t, out, `    1/"flushed-29" 30,SET "secret"`)
	require.Contains(t, out, `    1/"a\x00b" 32,SET "hidden"`)
	require.NotContains(t, out, "more")
}

func TestDumpRefusesWhatIsNoStoreOrInUse(t *testing.T) {
	empty := t.TempDir()
	_, err := dumped(t, empty, Options{})
	require.ErrorContains(t, err, "no store")
	size, err := dirSize(empty)
	require.NoError(t, err)
	require.Zero(t, size)

	dir := filepath.Join(t.TempDir(), "store")
	db, err := lsm.Open(dir, nil)
	require.NoError(t, err)
	_, err = dumped(t, dir, Options{Limit: 20})
	require.ErrorContains(t, err, "locked")
	require.NoError(t, db.Close())
}

// FuzzEachOp decodes any bytes as a batch.
func FuzzEachOp(f *testing.F) {
	f.Add([]byte{byte(keys.KindSet), 2, 1, 'k', 1, 'v'})
	f.Add([]byte{byte(keys.KindDelete), 0})
	f.Add([]byte{byte(keys.KindSet), 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, payload []byte) {
		size := 0
		err := eachOp(payload, func(kind keys.Kind, key, value []byte) {
			require.True(t, kind.Valid())
			size += 2 + len(key) + len(value)
		})
		require.LessOrEqual(t, size, len(payload))
		if err == nil && len(payload) > 0 {
			require.NotZero(t, size)
		}
	})
}
