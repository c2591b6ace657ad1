package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrNotPrivate: others than the user of this process may read or change the file, or write to the
// directory, or it is a link, or has a second name.
var ErrNotPrivate = errors.New("not private")

// OpenPrivate opens a file of the operating system that holds a secret, for reading. It must
// be a regular file, not reached through a symbolic link in its last element and without a
// second name, that the process's user owns and nobody else may read, write or execute.
// Owner, mode and names are not checked on Windows, whose files have no such mode. Error:
// ErrNotPrivate, and those of the system.
func OpenPrivate(name string) (File, error) {
	before, err := os.Lstat(name)
	if err != nil {
		return nil, osError("open", name, err)
	}
	if !before.Mode().IsRegular() {
		return nil, pathError("open", name, fmt.Errorf("%w: %w", ErrNotPrivate, errIrregular))
	}
	f, err := os.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, osError("open", name, err)
	}
	info, err := f.Stat()
	if err == nil {
		err = private(before, info)
	}
	if err != nil {
		_ = f.Close() // nothing was written; err is the cause
		return nil, osError("open", name, err)
	}
	return newOSFile(f, name, ReadOnly), nil
}

// private says what is wrong with an open file that was looked at before by its name.
func private(before, opened fs.FileInfo) error {
	if !os.SameFile(before, opened) {
		return fmt.Errorf("%w: replaced while it was opened", ErrNotPrivate)
	}
	return ownedPrivately(opened)
}
