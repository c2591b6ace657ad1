//go:build unix

package vfs_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// R40: what others may read or change, or may have put there, is no secret.
func TestOpenPrivateRefusesWhatOthersReach(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, mode os.FileMode) string {
		require.NoError(t, os.WriteFile(path(name), []byte("secret"), 0o600))
		require.NoError(t, os.Chmod(path(name), mode))
		return path(name)
	}
	for _, mode := range []os.FileMode{0o600, 0o400, 0o700} {
		f, err := vfs.OpenPrivate(write("fine", mode))
		require.NoError(t, err, "%o", mode)
		p := make([]byte, 6)
		_, err = f.ReadAt(p, 0)
		require.NoError(t, err)
		require.Equal(t, "secret", string(p))
		require.NoError(t, f.Close())
		require.NoError(t, os.Remove(path("fine")))
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o601, 0o610} {
		_, err := vfs.OpenPrivate(write("open", mode))
		require.ErrorIs(t, err, vfs.ErrNotPrivate, "%o", mode)
		require.ErrorContains(t, err, path("open"))
	}
	target := write("target", 0o600)
	require.NoError(t, os.Symlink(target, path("symlink")))
	require.NoError(t, syscall.Mkfifo(path("pipe"), 0o600))
	require.NoError(t, os.Mkdir(path("dir"), 0o700))
	for _, name := range []string{"symlink", "pipe", "dir"} {
		_, err := vfs.OpenPrivate(path(name))
		require.ErrorIs(t, err, vfs.ErrNotPrivate, name)
	}
	require.NoError(t, os.Link(target, path("second")))
	_, err := vfs.OpenPrivate(target)
	require.ErrorIs(t, err, vfs.ErrNotPrivate)
	_, err = vfs.OpenPrivate(path("missing"))
	require.ErrorIs(t, err, vfs.ErrNotExist)
}

// R40: who may make files in a directory is told by its mode and owner.
func TestTraitsTellWhoMayWrite(t *testing.T) {
	dir := t.TempDir()
	writers := func() vfs.Writers {
		traits, err := vfs.NewOS().Traits(dir)
		require.NoError(t, err)
		return traits.Writers
	}
	for mode, want := range map[os.FileMode]vfs.Writers{
		0o700: 0, 0o755: 0, 0o700 | os.ModeSticky: 0, 0o770: vfs.Group, 0o702: vfs.Everybody, 0o777: vfs.Everybody | vfs.Group,
		0o777 | os.ModeSticky: vfs.Everybody | vfs.Group | vfs.Sticky,
	} {
		require.NoError(t, os.Chmod(dir, mode))
		require.Equal(t, want, writers(), "%s", mode)
	}
	require.NoError(t, os.Chmod(dir, 0o700))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(dir, 1, -1))
		require.Zero(t, writers(), "root works in directories of others")
	}
}

func TestOpenPrivateRefusesFilesOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	name := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(name, []byte("secret"), 0o600))
	require.NoError(t, os.Chown(name, 1, -1))
	_, err := vfs.OpenPrivate(name)
	require.ErrorIs(t, err, vfs.ErrNotPrivate)
}
