package lsm

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
)

// checkDir refuses a directory in which others may make files: everybody, or another user whose the directory
// is; if the store is encrypted its group too. To a store in clear a group that may write has been let in by
// somebody who meant it: with a umask of 002 each directory is such a one, and volumes of containers are.
// One that is missing is made for its owner alone.
func (o *Options) checkDir(fs vfs.FS, dir string) error { return o.check(fs, dir, 0) }

// checkFileDir is checkDir for a single file that will lie in the directory: where others can make files, but not
// remove it, it is safe.
func (o *Options) checkFileDir(fs vfs.FS, dir string) error { return o.check(fs, dir, vfs.Sticky) }

func (o *Options) check(fs vfs.FS, dir string, harmless vfs.Writers) error {
	traits, err := fs.Traits(dir)
	if errors.Is(err, vfs.ErrNotExist) || err == nil && o.AllowSharedDir {
		return nil
	}
	if err != nil {
		return err
	}
	w := traits.Writers
	if w&harmless != 0 {
		w &^= vfs.Everybody | vfs.Group
	}
	if mutant.Enabled && mutant.Is(mutant.TrustDirectory) {
		w = 0
	}
	var who string
	switch {
	case w&vfs.Everybody != 0:
		who = "everybody"
	case w&vfs.Group != 0 && o.Encryption != nil:
		who = "the group"
	case w&vfs.Owner != 0 && !o.ReadOnly:
		who = "another user, its owner,"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s may write to directory %s: make it this user's with mode 0700, or name one in it that is not there yet, or set AllowSharedDir",
		ErrNotPrivate, who, dir)
}

// makeDir makes a store's directory, and those above it that are missing, and returns
// how many there were to make. Where the one above them may not be read, which syncing it
// takes, nothing is made: whoever comes next would find the directory and could not tell
// that its entry was never synced.
func makeDir(fs vfs.FS, name string) (made int, err error) {
	dir := filepath.Clean(name)
	for ; ; made++ {
		_, err := fs.Size(dir) // of a directory an error too, but not this one
		if parent := filepath.Dir(dir); !errors.Is(err, vfs.ErrNotExist) || parent == dir {
			break
		} else {
			dir = parent
		}
	}
	if made > 0 {
		if _, err := fs.List(dir); errors.Is(err, iofs.ErrPermission) {
			return 0, err
		}
	}
	return made, fs.MkdirAll(name)
}

// syncParents makes the entry of a new store's directory durable, and those of the made
// directories that makeDir has made. One more is synced, for what somebody else made right
// before; where that one may not be read it is passed over, since whoever made the
// directory in it was not this process.
func syncParents(fs vfs.FS, name string, made int) error {
	dir := filepath.Clean(name)
	for i := range made + 1 {
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		err := fs.SyncDir(parent)
		if err != nil && (i < made || !errors.Is(err, iofs.ErrPermission)) {
			return err
		}
		dir = parent
	}
	return nil
}
