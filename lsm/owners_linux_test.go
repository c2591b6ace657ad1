package lsm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
)

// R40: all files of a store are its owner's alone, whatever the umask, and no link takes the place
// of one.
func TestFilesOfAStoreAreItsOwners(t *testing.T) {
	for _, mask := range []int{0o000, 0o077} {
		t.Run(fmt.Sprintf("umask %03o", mask), func(t *testing.T) {
			parent, away := t.TempDir(), filepath.Join(t.TempDir(), "away")
			old := syscall.Umask(mask) // of the whole process: no test runs beside this one
			defer syscall.Umask(old)
			filesAreItsOwners(t, filepath.Join(parent, "db"), away)
		})
	}
}

func filesAreItsOwners(t *testing.T, dir, away string) {
	o := &Options{Encryption: &Encryption{Key: masterKey(1)}, BlobThreshold: 500}
	db, err := Open(dir, o)
	require.NoError(t, err)
	fillCanaries(t, db, 0, 150)
	require.NoError(t, db.Close())
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode(), e.Name())
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		require.NoError(t, os.Rename(name, away))
		require.NoError(t, os.Symlink(away, name))
		db, err := Open(dir, o)
		if err == nil {
			err = db.Verify(context.Background()) // tables are opened when they are first read
			_ = db.Close()
		}
		require.Error(t, err, e.Name())
		require.NoError(t, os.Remove(name))
		require.NoError(t, os.Rename(away, name))
	}
	require.NoError(t, os.Chmod(dir, 0o755))
	db, err = Open(dir, o)
	require.NoError(t, err)
	checkCanaries(t, db, 150)
	require.NoError(t, db.Close())
}

// R40: a link that lies where a store will make a file is not followed: what it leads to stays.
func TestPlantedLinksAreNotFollowed(t *testing.T) {
	o := &Options{Encryption: &Encryption{Key: masterKey(1)}, BlobThreshold: 500}
	work := func(dir string) error {
		db, err := Open(dir, o)
		if err != nil {
			return err
		}
		b := db.NewBatch()
		for i := range 40 {
			b.Set(canaryKey(i), canaryValue(i))
		}
		err = db.Apply(b, Sync)
		for range 2 {
			err = errors.Join(err, db.Flush(context.Background()), db.Set(canaryKey(0), nil, nil))
		}
		return errors.Join(err, db.Compact(context.Background(), nil, nil), db.Close())
	}
	made := filepath.Join(t.TempDir(), "made")
	require.NoError(t, work(made))
	entries, err := os.ReadDir(made)
	require.NoError(t, err)
	names := []string{"CURRENT.tmp", crypto.KeyringName + crypto.TempSuffix, fmt.Sprintf("%06d.sst", 1)}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for i, name := range names {
		for kind, link := range map[string]func(string, string) error{"symbolic": os.Symlink, "hard": os.Link} {
			top := t.TempDir()
			victim, dir := filepath.Join(top, "victim"), filepath.Join(top, "db")
			content := fmt.Appendf(nil, "of somebody else %d", i)
			require.NoError(t, os.WriteFile(victim, content, 0o600))
			require.NoError(t, os.Mkdir(dir, 0o700))
			require.NoError(t, link(victim, filepath.Join(dir, name)))
			err := work(dir)
			left, rerr := os.ReadFile(victim)
			require.NoError(t, rerr)
			require.Equal(t, string(content), string(left), "%s link %s, %v", kind, name, err)
		}
	}
}

// R40: another process is kept out as another opening of this one is.
func TestASecondProcessIsRefused(t *testing.T) {
	const variable = "LOAM_TEST_SECOND_OPEN"
	if dir := os.Getenv(variable); dir != "" {
		_, err := Open(dir, nil)
		require.ErrorIs(t, err, ErrLocked)
		_, err = Open(dir, &Options{ReadOnly: true})
		require.ErrorIs(t, err, ErrLocked)
		return
	}
	dir := t.TempDir()
	db, err := Open(dir, nil)
	require.NoError(t, err)
	child := exec.Command(os.Args[0], "-test.run", "^TestASecondProcessIsRefused$", "-test.v")
	child.Env = append(os.Environ(), variable+"="+dir)
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestASecondProcessIsRefused")
	require.NoError(t, db.Close())
}
