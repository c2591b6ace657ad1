package vfs_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

const lockEnv = "LOAM_TEST_HOLD_LOCK"

// TestMain holds a lock and waits to be killed, when it is the child of
// TestLockExcludesAnotherProcess.
func TestMain(m *testing.M) {
	if name := os.Getenv(lockEnv); name != "" {
		_, err := vfs.NewOS().Lock(name, os.Getenv(lockEnv+"_SHARED") == "", "the child")
		if err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("held\n")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLockExcludesAnotherProcessAndEndsWithIt(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	for _, shared := range []string{"", "1"} {
		name := filepath.Join(t.TempDir(), "LOCK")
		f := vfs.NewOS()
		former, err := f.Lock(name, true, "a former holder") // whose name must not be taken for the next one's
		require.NoError(t, err)
		require.NoError(t, former.Close())

		child := exec.Command(exe)
		child.Env = append(os.Environ(), lockEnv+"="+name, lockEnv+"_SHARED="+shared)
		in, err := child.StdinPipe()
		require.NoError(t, err)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "held\n", line)

		var locked *vfs.LockedError
		_, err = f.Lock(name, true, "the parent")
		require.ErrorAs(t, err, &locked)
		if shared == "" {
			require.Equal(t, "the child", locked.Holder)
			_, err = f.Lock(name, false, "the parent")
			require.ErrorAs(t, err, &locked)
			require.Equal(t, "the child", locked.Holder)
		} else {
			require.Empty(t, locked.Holder)
			reader, err := f.Lock(name, false, "the parent")
			require.NoError(t, err)
			require.NoError(t, reader.Close())
		}
		require.NoError(t, child.Process.Kill())
		_ = child.Wait() // "killed" is what was asked for
		_ = in.Close()   // Wait has closed it on most systems
		lock, err := f.Lock(name, true, "the parent")
		require.NoError(t, err)
		require.NoError(t, lock.Close())
	}
}

func TestModesAreForTheOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	f, dir := vfs.NewOS(), filepath.Join(t.TempDir(), "a", "b")
	require.NoError(t, f.MkdirAll(dir))
	create(t, f, filepath.Join(dir, "file"), "x")
	lock, err := f.Lock(filepath.Join(dir, "LOCK"), true, "me")
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Dir(dir): 0o700,
		filepath.Join(dir, "file"): 0o600, filepath.Join(dir, "LOCK"): 0o600} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm(), name)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("links cannot be told here")
	}
	f, dir := vfs.NewOS(), t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	create(t, f, target, "x")
	require.NoError(t, os.Symlink(target, link))
	_, err := f.Open(link, vfs.ReadWrite)
	require.Error(t, err)
	_, err = f.Create(link)
	require.ErrorIs(t, err, vfs.ErrExist)
	_, err = f.Lock(link, true, "me")
	require.Error(t, err)
	_, err = f.Size(link)
	require.Error(t, err)
	require.NoError(t, f.Rename(target, link)) // replaces the link, not what it names
	require.Equal(t, "x", read(t, f, link))
}

// A mapping made of reads and writes stands in where there is none.
func TestPlainMappingsAreTheFile(t *testing.T) {
	f, name := vfs.NewOS(), filepath.Join(t.TempDir(), "a")
	create(t, f, name, "0123456789")
	file, err := f.Open(name, vfs.ReadWrite)
	require.NoError(t, err)
	m, ro := vfs.PlainMap(file, 8, true), vfs.PlainMap(file, 10, false)
	require.NoError(t, m.Store(2, []byte("ab")))
	p := make([]byte, 4)
	require.NoError(t, ro.Load(p, 1))
	require.Equal(t, "1ab4", string(p))
	require.Error(t, m.Store(7, []byte("ab")))
	require.Error(t, m.Load(p, 5))
	require.Error(t, ro.Store(0, p))
	require.NoError(t, file.Truncate(4))
	require.ErrorIs(t, m.Store(3, []byte("ab")), vfs.ErrFault)
	require.ErrorIs(t, ro.Load(p, 1), vfs.ErrFault)
	require.NoError(t, file.Close())
	require.NoError(t, ro.Load(p, 0)) // the mapping goes on
	require.NoError(t, ro.Close())
	require.NoError(t, m.Load(p, 0))
	require.NoError(t, m.Close())
	require.Error(t, m.Load(p, 0))
	require.Error(t, m.Store(0, p))
	require.Error(t, m.Close())
}

func TestProcessNameSaysWho(t *testing.T) {
	require.Contains(t, vfs.ProcessName(), "process ")
	require.True(t, strings.HasPrefix(vfs.ProcessName(), filepath.Base(os.Args[0])))
}

func TestOSErrorsNameTheCallOnce(t *testing.T) {
	f := vfs.NewOS()
	_, err := f.Open("no such file", vfs.ReadOnly)
	require.Equal(t, 1, strings.Count(err.Error(), "no such file: "), "%s", err)
	require.ErrorContains(t, f.Rename("no such file", "b"), "rename no such file to b: ")
	require.True(t, errors.Is(f.Remove("no such file"), vfs.ErrNotExist))
}
