//go:build unix

package vfs

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ownedPrivately says why the file is not this user's alone.
func ownedPrivately(info fs.FileInfo) error {
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("%w: mode %#o, should be 0600", ErrNotPrivate, perm)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return fmt.Errorf("%w: owner unknown", ErrNotPrivate)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%w: owned by another user", ErrNotPrivate)
	case linked(info):
		return fmt.Errorf("%w: has a second name", ErrNotPrivate)
	}
	return nil
}

// linked reports whether a file has a second name.
func linked(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink > 1
}

// sharedDir reports whether others than the owner may make files in a directory.
func sharedDir(info fs.FileInfo) bool { return info.Mode().Perm()&0o022 != 0 }
