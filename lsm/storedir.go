package lsm

import (
	"errors"
	iofs "io/fs"
	"path/filepath"

	"github.com/loamdb/loam/internal/vfs"
)

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
