package sstable_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// A mapped table that is cut within its last page reads as zeros from there on, without a
// fault; the memory file system once gave a fault, and nobody had tried the zeros. Each
// read is right or says what is wrong, at every length.
func TestAMappedTableCutWithinItsLastPageIsDamageNotData(t *testing.T) {
	content := small(t, block.CodecNone)
	p := content.content(t)
	for name, fs := range map[string]vfs.FS{"mem": vfs.NewMem(), "os": vfs.NewOS()} {
		file := filepath.Join(t.TempDir(), "t")
		if name == "mem" {
			file = "t"
		}
		damaged := 0
		for n := len(p) - 1; n > len(p)&^4095; n -= 97 {
			writeFile(t, fs, file, p)
			f, err := fs.Open(file, vfs.ReadWrite)
			require.NoError(t, err)
			o := readerOptions(&content.meta, newCache(t, 1<<20))
			o.Mapped = true
			handle, err := fs.Open(file, vfs.ReadOnly)
			require.NoError(t, err)
			r, err := sstable.Open(handle, o)
			require.NoError(t, err)
			require.NoError(t, f.Truncate(int64(n)))
			for i := range content.entries {
				e := &content.entries[i]
				out, trailer, found, err := r.Get(nil, e.key, filter.Hash(e.key), e.t.SeqNum())
				if err != nil {
					require.ErrorIs(t, err, sstable.ErrCorrupt, "%s, length %d", name, n)
					damaged++
					continue
				}
				require.True(t, found && trailer == e.t && string(out) == string(e.value), "%s, length %d", name, n)
			}
			require.NoError(t, r.Close())
			require.NoError(t, f.Close())
			require.NoError(t, fs.Remove(file))
		}
		require.Positive(t, damaged, name)
	}
}
