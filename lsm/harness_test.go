package lsm

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// small are sizes at which a few thousand writes reach every mechanism.
func small() seams.Sizing {
	return seams.Sizing{
		MinMemtableBytes: 16 << 10, MemtableBytes: 16 << 10, BudgetBytes: 1 << 20, TableBytes: 16 << 10,
		ManifestBytes: 16 << 10, SettleAfter: time.Hour,
	}
}

// openSized opens a store on fs with sizes of its own.
func openSized(t *testing.T, fs vfs.FS, o Options, z seams.Sizing) *DB {
	t.Helper()
	o.CompactionWorkers = 1
	o.seams.FS, o.seams.Sizing = fs, z
	db, err := Open("db", &o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// flushRuns makes n flushes that overlap, so that all but the first are runs of level 0.
func flushRuns(t *testing.T, db *DB, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, db.Set([]byte("a"), fmt.Appendf(nil, "%d", i), NoSync))
		require.NoError(t, db.Set([]byte("z"), fmt.Appendf(nil, "%d", i), NoSync))
		require.NoError(t, db.Flush(context.Background()))
	}
}

// tableFiles returns the tables that lie in the directory.
func tableFiles(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List("db")
	require.NoError(t, err)
	var out []string
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			out = append(out, name)
		}
	}
	return out
}

// gatedFS calls before ahead of each Create, which may wait.
type gatedFS struct {
	vfs.FS
	before func(name string)
}

func (g *gatedFS) Create(name string) (vfs.File, error) {
	g.before(name)
	return g.FS.Create(name)
}

// sized are seams on fs with the small sizes.
func sized(fs vfs.FS) seams.Seams { return seams.Seams{FS: fs, Sizing: small()} }
