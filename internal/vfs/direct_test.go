package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// A direct read may begin and end anywhere, also at the end of a file of any length, and
// such a file cannot be written.
func TestDirectReadsGiveTheBytesOfTheFile(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"os": vfs.NewOS(), "mem": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, fs.MkdirAll(dir))
			content := bytes.Repeat([]byte("0123456789abcde"), 2000) // no multiple of a page
			path := filepath.Join(dir, "f")
			w, err := fs.Create(path)
			require.NoError(t, err)
			_, err = w.WriteAt(content, 0)
			require.NoError(t, err)
			require.NoError(t, w.Close())

			f, err := fs.Open(path, vfs.ReadOnlyDirect)
			if errors.Is(err, vfs.ErrNotSupported) {
				t.Skip("no direct reads here")
			}
			require.NoError(t, err)
			for _, at := range [][2]int{{0, 1}, {0, 4096}, {1, 4095}, {4090, 12}, {5000, 20_000}, {29_000, 1000}, {0, 30_000}, {17, 0}} {
				p := make([]byte, at[1])
				n, err := f.ReadAt(p, int64(at[0]))
				require.NoError(t, err, at)
				require.Equal(t, at[1], n)
				require.True(t, bytes.Equal(content[at[0]:at[0]+at[1]], p), at)
			}
			for _, off := range []int64{29_990, 30_000, 40_000} {
				p := make([]byte, 100)
				n, err := f.ReadAt(p, off)
				require.ErrorIs(t, err, io.EOF)
				require.Equal(t, int(max(30_000-off, 0)), n)
			}
			_, err = f.ReadAt(make([]byte, 1), -1)
			require.Error(t, err)
			_, err = f.WriteAt([]byte("x"), 0)
			require.Error(t, err)
			require.NoError(t, f.Close())
			_, err = f.ReadAt(make([]byte, 1), 0)
			require.Error(t, err)
		})
	}
}
