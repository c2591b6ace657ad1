package lsm_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/lsm"
)

// What no read has met is damaged all the same, and Verify says where. It passes the
// cache, so that what a read has met before does not hide the damage.
func TestVerifyFindsDamageThatNoReadHasMet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := lsm.Open(dir, nil)
	require.NoError(t, err)
	for i := range 5000 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "key-%06d", i), make([]byte, 100), lsm.NoSync))
	}
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Verify(context.Background()))
	n := 0
	for _, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 5000, n)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, db.Verify(ended), context.Canceled)

	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	f, err := os.OpenFile(tables[0], os.O_RDWR, 0)
	require.NoError(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], 10_000)
	require.NoError(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b[:], 10_000)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	var damage *lsm.CorruptionError
	require.ErrorAs(t, db.Verify(context.Background()), &damage)
	require.Equal(t, filepath.Base(tables[0]), damage.File)
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.Verify(context.Background()), lsm.ErrClosed)
	db, err = lsm.Open(dir, &lsm.Options{ReadOnly: true})
	require.NoError(t, err)
	require.ErrorIs(t, db.Verify(context.Background()), lsm.ErrCorrupt)
	require.NoError(t, db.Close())
}
