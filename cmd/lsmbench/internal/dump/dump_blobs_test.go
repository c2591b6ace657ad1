package dump

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/lsm"
)

func TestDumpShowsBlobFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	db, err := lsm.Open(dir, &lsm.Options{BlobThreshold: 1000, Compression: lsm.NoCompression})
	require.NoError(t, err)
	for i := range 3 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "large-%d", i), make([]byte, 2000), lsm.NoSync))
	}
	require.NoError(t, db.Set([]byte("small"), []byte("v"), lsm.NoSync))
	require.NoError(t, db.Flush(t.Context()))
	require.NoError(t, db.Close())
	out, err := dumped(t, dir, Options{Values: true})
	require.NoError(t, err)
	for _, want := range []string{
		"refers to 6024 bytes of 00", `    1/"large-1" 2,SETBLOB 2000 bytes in blob file 0 of the table, 2008 at 2088`, `    1/"small" 4,SET "v"`,
		".blob\n  uid ", "3 values, ", "referred to by 1 tables: 6024 bytes, 0 are garbage",
	} {
		require.Contains(t, out, want)
	}
}
