package vfs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

func TestMappingsAreTheFile(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		name := path.Join(dir, "a")
		create(t, f, name, string(make([]byte, 10000)))
		file, err := f.Open(name, vfs.ReadWrite)
		require.NoError(t, err)
		_, err = file.Map(10001, vfs.ReadWrite)
		require.Error(t, err)
		m, err := file.Map(9000, vfs.ReadWrite)
		require.NoError(t, err)
		ro, err := file.Map(10000, vfs.ReadOnly)
		require.NoError(t, err)
		require.NoError(t, file.Close()) // the mappings go on

		require.NoError(t, m.Store(4090, []byte("across pages")))
		p := make([]byte, 12)
		require.NoError(t, ro.Load(p, 4090))
		require.Equal(t, "across pages", string(p))
		require.Equal(t, "across pages", read(t, f, name)[4090:4102])

		require.NoError(t, m.Store(8999, []byte("x")))
		require.Error(t, m.Store(8999, []byte("xy")))
		require.Error(t, m.Store(-1, []byte("x")))
		require.Error(t, m.Load(p, 8989))
		require.Error(t, ro.Store(0, []byte("x")))
		require.NoError(t, ro.Close())
		require.NoError(t, m.Close())
		require.Error(t, m.Store(0, []byte("x")))
		require.Error(t, m.Load(p, 0))
	})
}

func TestReadOnlyFileHasNoWritableMapping(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		name := path.Join(dir, "a")
		create(t, f, name, "abc")
		file, err := f.Open(name, vfs.ReadOnly)
		require.NoError(t, err)
		_, err = file.Map(3, vfs.ReadWrite)
		require.Error(t, err)
		m, err := file.Map(0, vfs.ReadOnly) // an empty mapping is one
		require.NoError(t, err)
		require.NoError(t, m.Load(nil, 0))
		require.Error(t, m.Load(make([]byte, 1), 0))
		require.NoError(t, m.Close())
		require.NoError(t, file.Close())
	})
}

// The process lives, the call says what happened, and the other pages can be read.
func TestTruncatedMappingFaults(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		const pages = 64 << 10 // a multiple of every page size
		name := path.Join(dir, "a")
		create(t, f, name, string(bytes.Repeat([]byte{'x'}, 2*pages)))
		file, err := f.Open(name, vfs.ReadWrite)
		require.NoError(t, err)
		m, err := file.Map(2*pages, vfs.ReadWrite)
		require.NoError(t, err)
		require.NoError(t, file.Truncate(pages))
		p := make([]byte, 10)
		require.ErrorIs(t, m.Load(p, pages+100), vfs.ErrFault)
		require.ErrorIs(t, m.Load(make([]byte, 2*pages), 0), vfs.ErrFault)
		require.ErrorIs(t, m.Store(pages+100, p), vfs.ErrFault)
		require.NoError(t, m.Load(p, pages-10))
		require.Equal(t, "xxxxxxxxxx", string(p))
		require.NoError(t, m.Close())
		require.NoError(t, file.Close())
	})
}

// The system maps whole pages: what a file lost within its last page reads as zeros and
// takes stores, where the memory file system once said ErrFault, and so hid from tests
// what a truncated table looks like.
func TestRestOfTheLastPageIsZerosOrAFault(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		name := path.Join(dir, "a")
		create(t, f, name, string(bytes.Repeat([]byte{'x'}, 4000)))
		file, err := f.Open(name, vfs.ReadWrite)
		require.NoError(t, err)
		m, err := file.Map(4000, vfs.ReadWrite)
		require.NoError(t, err)
		require.NoError(t, file.Truncate(1000))
		p := bytes.Repeat([]byte{'y'}, 20)
		if err := m.Load(p, 990); err == nil {
			require.Equal(t, "xxxxxxxxxx"+string(make([]byte, 10)), string(p))
		} else {
			require.ErrorIs(t, err, vfs.ErrFault)
		}
		if _, mem := f.(*vfs.Mem); mem {
			require.NoError(t, m.Load(p, 990))
			require.NoError(t, m.Store(998, []byte("zzzz")))
			require.Equal(t, "xxzz", read(t, f, name)[996:], "the file does not grow")
			require.NoError(t, m.Load(p[:4], 998))
			require.Equal(t, "zz\x00\x00", string(p[:4]))
		}
		require.NoError(t, file.Truncate(0))
		require.ErrorIs(t, m.Load(p, 0), vfs.ErrFault)
		require.NoError(t, m.Close())
		require.NoError(t, file.Close())
	})
}

func TestPreallocateChangesNothingVisible(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		name := path.Join(dir, "a")
		file, err := f.Create(name)
		require.NoError(t, err)
		_, err = file.WriteAt([]byte("abc"), 0)
		require.NoError(t, err)
		if err := file.Preallocate(0, 1<<16); !errors.Is(err, vfs.ErrNotSupported) {
			require.NoError(t, err)
		}
		require.Error(t, file.Preallocate(-1, 1))
		require.NoError(t, file.Close())
		require.Equal(t, "abc", read(t, f, name))
	})
}

func TestFirstHole(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		const block = 64 << 10 // a multiple of every block size
		file, err := f.Create(path.Join(dir, "a"))
		require.NoError(t, err)
		hole := func() int64 {
			at, err := file.FirstHole()
			require.NoError(t, err)
			return at
		}
		require.EqualValues(t, 0, hole())
		_, err = file.WriteAt(make([]byte, block), 0) // zeros that are written are no hole
		require.NoError(t, err)
		require.EqualValues(t, block, hole())
		_, err = file.WriteAt([]byte("x"), 3*block)
		require.NoError(t, err)
		require.Contains(t, []int64{block, 3*block + 1}, hole(), "the system may be unable to tell")
		_, err = file.WriteAt(make([]byte, 2*block), block)
		require.NoError(t, err)
		require.EqualValues(t, 3*block+1, hole())
		require.NoError(t, file.Close())
		_, err = file.FirstHole()
		require.ErrorIs(t, err, fs.ErrClosed)
	})
}

// Some calls of a closed file went on with the descriptor's number, which may be another
// file's by then.
func TestClosedFilesDoNothing(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		file, err := f.Create(path.Join(dir, "a"))
		require.NoError(t, err)
		require.NoError(t, file.Close())
		create(t, f, path.Join(dir, "b"), "takes the number")
		_, err = file.WriteAt([]byte("x"), 0)
		require.ErrorIs(t, err, fs.ErrClosed)
		require.ErrorIs(t, file.Sync(), fs.ErrClosed)
		require.ErrorIs(t, file.Truncate(0), fs.ErrClosed)
		require.ErrorIs(t, file.Preallocate(0, 1), fs.ErrClosed)
		_, err = file.Map(0, vfs.ReadOnly)
		require.ErrorIs(t, err, fs.ErrClosed)
		_, err = file.Size()
		require.ErrorIs(t, err, fs.ErrClosed)
	})
}
