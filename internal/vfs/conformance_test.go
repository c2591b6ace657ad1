package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// conform runs a behaviour on every implementation, each in a directory of its own.
func conform(t *testing.T, behaviour func(t *testing.T, f vfs.FS, dir string)) {
	for name, make := range map[string]func(t *testing.T) (vfs.FS, string){
		"os":     func(t *testing.T) (vfs.FS, string) { return vfs.NewOS(), filepath.ToSlash(t.TempDir()) },
		"mem":    func(*testing.T) (vfs.FS, string) { return vfs.NewMem(), "." },
		"faults": func(*testing.T) (vfs.FS, string) { return vfs.NewFaults(vfs.NewMem()), "" },
		"crash":  func(*testing.T) (vfs.FS, string) { return vfs.NewCrashMem(), "/" },
	} {
		t.Run(name, func(t *testing.T) {
			f, root := make(t)
			dir := path.Join(root, "store")
			require.NoError(t, f.MkdirAll(dir))
			behaviour(t, f, dir)
		})
	}
}

func create(t testing.TB, f vfs.FS, name, content string) {
	t.Helper()
	file, err := f.Create(name)
	require.NoError(t, err)
	n, err := file.WriteAt([]byte(content), 0)
	require.NoError(t, err)
	require.Equal(t, len(content), n)
	require.NoError(t, file.Close())
}

func read(t testing.TB, f vfs.FS, name string) string {
	t.Helper()
	file, err := f.Open(name, vfs.ReadOnly)
	require.NoError(t, err)
	size, err := file.Size()
	require.NoError(t, err)
	p := make([]byte, size)
	n, err := file.ReadAt(p, 0)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return string(p[:n])
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		name := path.Join(dir, "a")
		file, err := f.Create(name)
		require.NoError(t, err)
		n, err := file.WriteAt([]byte("hello"), 4094) // across a page
		require.NoError(t, err)
		require.Equal(t, 5, n)

		// F1, F5: another opening sees it at once.
		other, err := f.Open(name, vfs.ReadOnly)
		require.NoError(t, err)
		p := make([]byte, 7)
		n, err = other.ReadAt(p, 4092)
		require.NoError(t, err)
		require.Equal(t, "\x00\x00hello", string(p[:n]))
		n, err = other.ReadAt(p, 4097)
		require.Equal(t, io.EOF, err)
		require.Equal(t, "lo", string(p[:n]))
		n, err = other.ReadAt(p, 1<<20)
		require.Equal(t, io.EOF, err)
		require.Zero(t, n)
		_, err = other.WriteAt([]byte("x"), 0)
		require.Error(t, err)
		_, err = other.ReadAt(p, -1)
		require.Error(t, err)

		size, err := f.Size(name)
		require.NoError(t, err)
		require.EqualValues(t, 4099, size)
		require.NoError(t, file.Sync())
		require.NoError(t, file.Close())
		require.ErrorIs(t, file.Close(), fs.ErrClosed)
		_, err = file.ReadAt(p, 0)
		require.ErrorIs(t, err, fs.ErrClosed)
		require.NoError(t, other.Close())
	})
}

func TestTruncateCutsAndExtendsWithZeros(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		name := path.Join(dir, "a")
		file, err := f.Create(name)
		require.NoError(t, err)
		_, err = file.WriteAt(bytes.Repeat([]byte{'x'}, 10000), 0)
		require.NoError(t, err)
		require.NoError(t, file.Truncate(5000))
		require.NoError(t, file.Truncate(9000))
		size, err := file.Size()
		require.NoError(t, err)
		require.EqualValues(t, 9000, size)
		require.NoError(t, file.Close())
		require.Equal(t, string(bytes.Repeat([]byte{'x'}, 5000))+string(make([]byte, 4000)), read(t, f, name))
	})
}

func TestNames(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		at := func(name string) string { return path.Join(dir, name) }
		create(t, f, at("b"), "B")
		create(t, f, at("a"), "A")
		_, err := f.Create(at("a"))
		require.ErrorIs(t, err, vfs.ErrExist)
		var pathErr *fs.PathError
		require.ErrorAs(t, err, &pathErr)

		require.NoError(t, f.Link(at("a"), at("c")))
		require.ErrorIs(t, f.Link(at("a"), at("b")), vfs.ErrExist)
		require.ErrorIs(t, f.Link(at("none"), at("d")), vfs.ErrNotExist)
		names, err := f.List(dir)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "c"}, names)

		require.NoError(t, f.Rename(at("a"), at("b")))
		require.Equal(t, "A", read(t, f, at("b")))
		_, err = f.Open(at("a"), vfs.ReadOnly)
		require.ErrorIs(t, err, vfs.ErrNotExist)
		require.ErrorIs(t, f.Rename(at("a"), at("b")), vfs.ErrNotExist)
		require.NoError(t, f.Rename(at("b"), at("c"))) // two names of one file: nothing happens
		names, err = f.List(dir)
		require.NoError(t, err)
		require.Equal(t, []string{"b", "c"}, names)

		require.NoError(t, f.Remove(at("b")))
		require.ErrorIs(t, f.Remove(at("b")), vfs.ErrNotExist)
		require.Equal(t, "A", read(t, f, at("c")))
		require.NoError(t, f.SyncDir(dir))
		require.ErrorIs(t, f.SyncDir(at("none")), vfs.ErrNotExist)
		_, err = f.List(at("none"))
		require.ErrorIs(t, err, vfs.ErrNotExist)
		_, err = f.Size(at("none"))
		require.ErrorIs(t, err, vfs.ErrNotExist)
		_, err = f.Create(at("none/x"))
		require.ErrorIs(t, err, vfs.ErrNotExist)
	})
}

func TestDirectories(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		sub := path.Join(dir, "x/y")
		require.NoError(t, f.MkdirAll(sub))
		require.NoError(t, f.MkdirAll(sub))
		create(t, f, path.Join(sub, "f"), "1")
		require.Error(t, f.MkdirAll(path.Join(sub, "f")))
		require.Error(t, f.Remove(sub))
		_, err := f.Open(sub, vfs.ReadOnly)
		require.Error(t, err)
		require.NoError(t, f.Rename(path.Join(dir, "x"), path.Join(dir, "z")))
		require.Equal(t, "1", read(t, f, path.Join(dir, "z/y/f")))
		require.Error(t, f.Rename(path.Join(dir, "z"), path.Join(dir, "z/y/z")))
		require.NoError(t, f.Remove(path.Join(dir, "z/y/f")))
		require.NoError(t, f.Remove(path.Join(dir, "z/y")))
		names, err := f.List(path.Join(dir, "z"))
		require.NoError(t, err)
		require.Empty(t, names)
	})
}

func TestRemovedFileLivesUntilClosed(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		name := path.Join(dir, "a")
		create(t, f, name, "old")
		file, err := f.Open(name, vfs.ReadWrite)
		require.NoError(t, err)
		require.NoError(t, f.Remove(name))
		create(t, f, name, "new")
		p := make([]byte, 3)
		_, err = file.ReadAt(p, 0)
		require.NoError(t, err)
		require.Equal(t, "old", string(p))
		require.NoError(t, file.Close())
		require.Equal(t, "new", read(t, f, name))
	})
}

func TestDSyncWrites(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		name := path.Join(dir, "a")
		create(t, f, name, "....")
		file, err := f.Open(name, vfs.ReadWriteDSync)
		if errors.Is(err, vfs.ErrNotSupported) {
			t.Skip("no such flag here")
		}
		require.NoError(t, err)
		_, err = file.WriteAt([]byte("ab"), 1)
		require.NoError(t, err)
		require.NoError(t, file.Close())
		require.Equal(t, ".ab.", read(t, f, name))
	})
}

func TestLocksExclude(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		name := path.Join(dir, "LOCK")
		_, err := f.Lock(path.Join(dir, "none/LOCK"), true, "x")
		require.ErrorIs(t, err, vfs.ErrNotExist)
		_, err = f.Lock(name, false, "a reader")
		require.ErrorIs(t, err, vfs.ErrNotExist)
		_, err = f.Size(name)
		require.ErrorIs(t, err, vfs.ErrNotExist, "a shared lock makes no file")

		held, err := f.Lock(name, true, "the writer")
		require.NoError(t, err)
		require.Equal(t, "the writer", read(t, f, name))
		var locked *vfs.LockedError
		for _, exclusive := range []bool{true, false} {
			_, err = f.Lock(name, exclusive, "another")
			require.ErrorAs(t, err, &locked)
			require.Equal(t, &vfs.LockedError{Name: name, Holder: "the writer"}, locked)
		}
		require.NoError(t, held.Close())
		require.NoError(t, held.Close())

		one, err := f.Lock(name, false, "reader 1")
		require.NoError(t, err)
		two, err := f.Lock(name, false, "reader 2")
		require.NoError(t, err)
		_, err = f.Lock(name, true, "a writer")
		require.ErrorAs(t, err, &locked)
		require.NoError(t, one.Close())
		_, err = f.Lock(name, true, "a writer")
		require.ErrorAs(t, err, &locked)
		require.NoError(t, two.Close())
		held, err = f.Lock(name, true, "a writer")
		require.NoError(t, err)
		require.NoError(t, held.Close())
	})
}

func TestTraits(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		traits, err := f.Traits(dir)
		require.NoError(t, err)
		require.False(t, traits.MappedStores && !traits.MappedLoads)
		_, err = f.Traits(path.Join(dir, "none"))
		require.ErrorIs(t, err, vfs.ErrNotExist)
	})
}

func TestConcurrentUse(t *testing.T) {
	conform(t, func(t *testing.T, f vfs.FS, dir string) {
		name := path.Join(dir, "a")
		create(t, f, name, string(make([]byte, 1<<16)))
		file, err := f.Open(name, vfs.ReadWrite)
		require.NoError(t, err)
		m, err := file.Map(1<<16, vfs.ReadWrite)
		require.NoError(t, err)
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for g := range errs {
			wg.Go(func() { errs[g] = useConcurrently(f, dir, file, m, g) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		require.NoError(t, m.Close())
		require.NoError(t, file.Close())
	})
}

// useConcurrently writes and reads a part of the file that is goroutine g's own, and
// makes, renames and removes a file of its own.
func useConcurrently(f vfs.FS, dir string, file vfs.File, m vfs.Mapped, g int) error {
	own := bytes.Repeat([]byte{byte(g + 1)}, 100)
	p := make([]byte, 100)
	for i := range 100 {
		off := int64(g*10000 + i*100)
		var wrote, got error
		if i%2 == 0 {
			_, wrote = file.WriteAt(own, off)
			got = m.Load(p, off)
		} else {
			wrote = m.Store(off, own)
			_, got = file.ReadAt(p, off)
		}
		if err := errors.Join(wrote, got); err != nil {
			return err
		}
		if !bytes.Equal(own, p) {
			return fmt.Errorf("goroutine %d, step %d: read %v", g, i, p)
		}
		if i%20 != 0 {
			continue
		}
		other := path.Join(dir, string(rune('b'+g)))
		created, err := f.Create(other)
		if err != nil {
			return err
		}
		_, listed := f.List(dir)
		err = errors.Join(created.Close(), file.Sync(), f.Rename(other, other+"2"), f.Remove(other+"2"), f.SyncDir(dir), listed)
		if err != nil {
			return err
		}
	}
	return nil
}
