package vfs_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// A caller that would copy where it cannot link must know the one failure from others.
func TestLinksThatCannotBeMadeAreToldFromFailures(t *testing.T) {
	for _, c := range []struct {
		err    error
		noLink bool
	}{
		{syscall.EXDEV, true}, {vfs.ErrNotSupported, true},
		{syscall.EIO, false}, {syscall.ENOSPC, false}, {syscall.EACCES, false},
	} {
		mem := vfs.NewMem()
		create(t, mem, "a", "A")
		f := vfs.NewFaults(mem, vfs.Rule{Err: c.err, Forever: true})
		err := f.Link("a", "b")
		require.ErrorIs(t, err, c.err)
		require.Equal(t, c.noLink, errors.Is(err, vfs.ErrNoLink), "%v", c.err)
		require.NotErrorIs(t, f.Rename("a", "b"), vfs.ErrNoLink)
	}
}

// The file systems of the machine say it too, where there are two of them.
func TestLinksAcrossDevicesCannotBeMade(t *testing.T) {
	f := vfs.NewOS()
	name := filepath.Join(t.TempDir(), "a")
	create(t, f, name, "A")
	other := filepath.Join("/dev/shm", filepath.Base(t.TempDir())+"-loam-link")
	err := f.Link(name, other)
	if err == nil {
		require.NoError(t, f.Remove(other))
		t.Skip("one file system only")
	}
	if errors.Is(err, vfs.ErrNotExist) {
		t.Skip("no second file system here")
	}
	require.ErrorIs(t, err, vfs.ErrNoLink)
}
