package lsm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// door is a call that takes a directory.
type door struct {
	name  string
	fills bool // a store is in the directory already
	clear bool // it is in clear, whatever is made of it
	file  bool // all that is made is one file
	enter func(dir string, o Options) error
}

// doors are all of them, for stores that are made with o.
func doors(t *testing.T, o Options) []door {
	ctx := context.Background()
	source := filepath.Join(t.TempDir(), "source")
	db, err := Open(source, &o)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	open := func(dir string, o Options) error {
		db, err := Open(dir, &o)
		if err != nil {
			return err
		}
		return db.Close()
	}
	all := []door{
		{name: "Open", enter: open},
		{name: "Open of a store", fills: true, enter: open},
		{name: "Open to read", fills: true, enter: func(dir string, o Options) error {
			o.ReadOnly = true
			return open(dir, o)
		}},
		{name: "Checkpoint", enter: func(dir string, o Options) error {
			db, err := Open(source, &o)
			if err != nil {
				return err
			}
			return errors.Join(db.Checkpoint(ctx, dir), db.Close())
		}},
		{name: "Salvage", enter: func(dir string, o Options) error {
			_, err := Salvage(ctx, source, dir, &o)
			return err
		}},
		{name: "NewTableWriter", file: true, enter: func(dir string, o Options) error {
			w, err := NewTableWriter(filepath.Join(dir, "table"), &o)
			if err == nil {
				w.Abort()
			}
			return err
		}},
	}
	if o.Encryption != nil {
		all = append(all,
			door{name: "Encrypt", fills: true, clear: true, enter: func(dir string, o Options) error { return Encrypt(ctx, dir, &o) }},
			door{name: "Decrypt", fills: true, enter: func(dir string, o Options) error { return Decrypt(ctx, dir, &o) }})
	}
	return all
}

// R40: a directory that everybody may write to is refused by all that would make a store there, or use one, and left
// as it is; one that a group may write to is no place for an encrypted store. An encrypted store was refused
// there after its lock file had been made, one in clear never was, and nor was the target of a checkpoint.
func TestDirectoriesThatOthersMayWriteToAreRefused(t *testing.T) {
	for _, o := range []Options{{}, {Encryption: &Encryption{Key: masterKey(1)}}} {
		for _, d := range doors(t, o) {
			dir := filepath.Join(t.TempDir(), "db")
			require.NoError(t, os.Mkdir(dir, 0o700))
			if d.fills {
				made := o
				if d.clear {
					made.Encryption = nil
				}
				db, err := Open(dir, &made)
				require.NoError(t, err)
				require.NoError(t, db.Close())
			}
			before, err := os.ReadDir(dir)
			require.NoError(t, err)
			for _, mode := range []os.FileMode{0o777 | os.ModeSticky, 0o703, 0o770} {
				require.NoError(t, os.Chmod(dir, mode))
				err := d.enter(dir, o)
				if mode&os.ModeSticky != 0 && d.file || mode == 0o770 && o.Encryption == nil {
					require.NoError(t, err, "%s, mode %s", d.name, mode)
					continue
				}
				require.ErrorIs(t, err, ErrNotPrivate, "%s, mode %s", d.name, mode)
				require.ErrorContains(t, err, "AllowSharedDir")
				after, err := os.ReadDir(dir)
				require.NoError(t, err)
				require.Equal(t, before, after, "%s, mode %s", d.name, mode)
			}
			if o.Encryption != nil { // the other one was let in
				allowed := o
				allowed.AllowSharedDir = true
				require.NoError(t, d.enter(dir, allowed), d.name)
			}
		}
	}
}

// quickerFS is one in which somebody else makes each missing directory a moment before, for everybody.
type quickerFS struct{ vfs.FS }

func (q quickerFS) MkdirAll(name string) error {
	if err := os.Mkdir(name, 0o700); err != nil {
		return err
	}
	return errors.Join(os.Chmod(name, 0o777), q.FS.MkdirAll(name))
}

// R40: a directory that was missing when it was looked at, and that somebody else was quicker to make, is looked at again.
func TestADirectoryThatSomebodyElseMakesIsLookedAt(t *testing.T) {
	dir := t.TempDir()
	source, quick := filepath.Join(dir, "db"), quickerFS{vfs.NewOS()}
	_, err := Open(source, &Options{seams: sized(quick)})
	require.ErrorIs(t, err, ErrNotPrivate)
	require.NoError(t, os.Chmod(source, 0o700))
	db, err := Open(source, &Options{seams: sized(quick)})
	require.NoError(t, err)
	target := filepath.Join(dir, "copy")
	require.ErrorIs(t, db.Checkpoint(context.Background(), target), ErrNotPrivate)
	left, err := os.ReadDir(target)
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, db.Close())
}

// R40: the directory of another user is that one's to write to. Root works in it all the same, as it does in
// containers, and whoever only reads does, and all trust what is root's.
func TestADirectoryOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	const user, other = 12345, 12346
	top := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(top), 0o711))
	dir, secret := filepath.Join(top, "db"), filepath.Join(top, "secret")
	for _, name := range []string{dir, secret} {
		require.NoError(t, os.Mkdir(name, 0o700))
		require.NoError(t, os.Chown(name, other, 0))
	}
	require.NoError(t, os.Chmod(dir, 0o770)) // the group is this process's
	open := func(euid int, dir string, o Options) error {
		require.NoError(t, syscall.Setreuid(-1, euid)) // of the whole process: no test runs beside this one
		defer func() { require.NoError(t, syscall.Setreuid(-1, 0)) }()
		db, err := Open(dir, &o)
		if err != nil {
			return err
		}
		return db.Close()
	}
	err := open(user, dir, Options{})
	require.ErrorIs(t, err, ErrNotPrivate)
	require.ErrorContains(t, err, "its owner")
	require.NoError(t, open(user, dir, Options{AllowSharedDir: true}))
	require.NoError(t, open(user, dir, Options{ReadOnly: true}))
	require.NoError(t, open(0, secret, Options{Encryption: &Encryption{Key: masterKey(1)}}), "root")
	require.NoError(t, os.Chown(dir, 0, 0))
	require.NoError(t, open(user, dir, Options{}), "root's")
	require.NoError(t, os.Chown(dir, user, 0))
	require.NoError(t, open(user, dir, Options{}), "its own")
}
