package vfs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loamdb/loam/internal/vfs"
)

// A store could not be opened for writing on a full device, not even to delete from it:
// the text that names the holder of the lock found no block.
func TestLockIsTakenOnAFullDevice(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("loam", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small device cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	f, name := vfs.NewOS(), filepath.Join(dir, "LOCK")
	lock, err := f.Lock(name, true, "the first")
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	ballast, err := os.Create(filepath.Join(dir, "ballast"))
	require.NoError(t, err)
	for p := make([]byte, 4096); err == nil; {
		_, err = ballast.Write(p)
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, ballast.Close())

	lock, err = f.Lock(name, true, "the second")
	require.NoError(t, err)
	require.Empty(t, read(t, f, name), "the device was not full")
	_, err = f.Lock(name, true, "the third")
	var locked *vfs.LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, "the second", locked.Holder, "this process knows without the text")
	require.NoError(t, lock.Close())
}
