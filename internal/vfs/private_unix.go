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

// writers tells who may make files in a directory.
func writers(info fs.FileInfo) (w Writers) {
	if info.Mode().Perm()&0o002 != 0 {
		w |= Everybody
	}
	if info.Mode().Perm()&0o020 != 0 {
		w |= Group
	}
	if w != 0 && info.Mode()&fs.ModeSticky != 0 {
		w |= Sticky
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if user := os.Geteuid(); ok && user != 0 && st.Uid != 0 && int(st.Uid) != user {
		w |= Owner
	}
	return w
}
