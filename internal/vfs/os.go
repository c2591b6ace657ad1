package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
)

// osFS is the operating system's file system. It holds no state of its own; locks are
// known to the whole process.
type osFS struct{}

// NewOS returns the operating system's file system. Names are those of package os.
// Files are made with mode 0600, directories with 0700. Names of files are never
// followed through a symbolic link in their last element, and only regular files are
// opened, where the system can tell.
func NewOS() FS { return osFS{} }

// osError takes the operating system's error out of the wrapping of package os, and
// wraps it as this package does.
func osError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	var callErr *os.SyscallError
	switch {
	case errors.As(err, &pathErr):
		err = pathErr.Err
	case errors.As(err, &linkErr):
		err = linkErr.Err
	case errors.As(err, &callErr):
		err = callErr.Err
	}
	return pathError(op, path, err)
}

// Create implements FS.
func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR|openFlags, 0o600)
	if err != nil {
		return nil, osError("create", name, err)
	}
	return newOSFile(f, name, ReadWrite), nil
}

// Open implements FS.
func (osFS) Open(name string, mode OpenMode) (File, error) {
	flags := openFlags
	switch mode {
	case ReadOnly:
		flags |= os.O_RDONLY
	case ReadWrite:
		flags |= os.O_RDWR
	case ReadWriteDSync:
		if dsyncFlag == 0 {
			return nil, osError("open", name, ErrNotSupported)
		}
		flags |= os.O_RDWR | dsyncFlag
	case ReadOnlyDirect:
		if directFlag == 0 {
			return nil, osError("open", name, ErrNotSupported)
		}
		flags |= os.O_RDONLY | directFlag
	default:
		return nil, osError("open", name, fmt.Errorf("mode %d: %w", mode, fs.ErrInvalid))
	}
	f, err := os.OpenFile(name, flags, 0)
	if err != nil && mode == ReadOnlyDirect && errors.Is(err, errNoDirect) {
		err = ErrNotSupported // the flag is known, this file system lacks it
	}
	if err != nil {
		return nil, osError("open", name, err)
	}
	// A directory, a device or a pipe in the place of a file is not the store's.
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errIrregular
	}
	if err != nil {
		_ = f.Close() // nothing was written; err is the cause
		return nil, osError("open", name, err)
	}
	return newOSFile(f, name, mode), nil
}

// Remove implements FS.
func (osFS) Remove(name string) error { return osError("remove", name, os.Remove(name)) }

// Rename implements FS.
func (osFS) Rename(oldName, newName string) error {
	return osError("rename", oldName+" to "+newName, os.Rename(oldName, newName))
}

// Link implements FS.
func (osFS) Link(oldName, newName string) error {
	return osError("link", oldName+" to "+newName, os.Link(oldName, newName))
}

// MkdirAll implements FS.
func (osFS) MkdirAll(dir string) error { return osError("mkdir", dir, os.MkdirAll(dir, 0o700)) }

// List implements FS.
func (osFS) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, osError("list", dir, err)
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, osError("list", dir, err)
	}
	slices.Sort(names)
	return names, nil
}

// Size implements FS.
func (osFS) Size(name string) (int64, error) {
	info, err := os.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = errIrregular
	}
	if err != nil {
		return 0, osError("stat", name, err)
	}
	return info.Size(), nil
}

// SyncDir implements FS.
func (osFS) SyncDir(dir string) error { return osError("sync", dir, syncDir(dir)) }

// Traits implements FS.
func (osFS) Traits(dir string) (Traits, error) {
	t, err := traits(dir)
	if err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(dir); err == nil {
			t.Writers = writers(info)
		}
	}
	return t, osError("statfs", dir, err)
}

// osFile is an open file of the operating system.
//
// Calls that take the descriptor by its number look at closed first: after Close the
// number may be another file's.
//
// Package os loops over interrupted and short writes and takes a write of 0 bytes for
// an error, so ReadAt and WriteAt need no loop here.
type osFile struct {
	handle *osHandle
	name   string
	mode   OpenMode
	closed atomic.Bool
}

// osHandle is the descriptor, shared with the mappings that are not the system's own
// and therefore need it beyond the file's Close.
type osHandle struct {
	*os.File
	fd    uintptr
	users atomic.Int32
}

func newOSFile(f *os.File, name string, mode OpenMode) *osFile {
	h := &osHandle{File: f, fd: f.Fd()}
	h.users.Store(1)
	return &osFile{handle: h, name: name, mode: mode}
}

// release closes the descriptor after its last user.
func (h *osHandle) release() error {
	if h.users.Add(-1) > 0 {
		return nil
	}
	return h.File.Close()
}

// ReadAt implements File.
func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	var n int
	var err error
	if f.mode == ReadOnlyDirect {
		if n, err = f.readDirect(p, off); errors.Is(err, errNoDirect) {
			err = ErrNotSupported // found out late
		}
	} else {
		n, err = f.handle.ReadAt(p, off)
	}
	if err != nil && err != io.EOF {
		err = osError("read", f.name, err)
	}
	return n, err
}

// WriteAt implements File.
func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.handle.WriteAt(p, off)
	return n, osError("write", f.name, err)
}

// Truncate implements File.
func (f *osFile) Truncate(size int64) error {
	return osError("truncate", f.name, f.handle.Truncate(size))
}

// Preallocate implements File.
func (f *osFile) Preallocate(off, n int64) error {
	if off < 0 || n < 0 {
		return pathError("preallocate", f.name, errNegative)
	}
	if f.closed.Load() {
		return pathError("preallocate", f.name, fs.ErrClosed)
	}
	if n == 0 {
		return nil
	}
	return osError("preallocate", f.name, preallocate(f.handle, off, n))
}

// Sync implements File.
func (f *osFile) Sync() error {
	if f.closed.Load() {
		return pathError("sync", f.name, fs.ErrClosed)
	}
	return osError("sync", f.name, syncFile(f.handle))
}

// Size implements File.
func (f *osFile) Size() (int64, error) {
	info, err := f.handle.Stat()
	if err != nil {
		return 0, osError("stat", f.name, err)
	}
	return info.Size(), nil
}

// FirstHole implements File.
func (f *osFile) FirstHole() (int64, error) {
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	if f.closed.Load() {
		return 0, pathError("seek", f.name, fs.ErrClosed)
	}
	at, err := firstHole(f.handle, size)
	return min(at, size), osError("seek", f.name, err)
}

// Map implements File.
func (f *osFile) Map(size int64, mode OpenMode) (Mapped, error) {
	if f.closed.Load() {
		return nil, pathError("map", f.name, fs.ErrClosed)
	}
	have, err := f.Size()
	switch {
	case err != nil:
		return nil, err
	case size < 0:
		return nil, pathError("map", f.name, errNegative)
	case size > have:
		return nil, pathError("map", f.name, errBeyond)
	case mode != ReadOnly && !f.mode.writes():
		return nil, pathError("map", f.name, errReadOnly)
	}
	m, err := mapFile(f.handle, f.name, size, mode != ReadOnly)
	if err != nil {
		return nil, osError("map", f.name, err)
	}
	return m, nil
}

// Close implements File.
func (f *osFile) Close() error {
	if f.closed.Swap(true) {
		return pathError("close", f.name, fs.ErrClosed)
	}
	return osError("close", f.name, f.handle.release())
}
