package vfs

import (
	"io"
	"io/fs"
	"sync/atomic"
)

// plainMapped is a Mapped made of reads and writes, for systems whose mappings this
// package does not use. It keeps the file's handle open.
type plainMapped struct {
	handle *osHandle
	name   string
	size   int64
	write  bool
	closed atomic.Bool
}

func newPlainMapped(h *osHandle, name string, size int64, write bool) *plainMapped {
	h.users.Add(1)
	return &plainMapped{handle: h, name: name, size: size, write: write}
}

// Load implements Mapped.
func (m *plainMapped) Load(p []byte, off int64) error {
	err := inMapping(off, len(p), m.size)
	switch {
	case err != nil:
	case m.closed.Load():
		err = fs.ErrClosed
	default:
		if _, err = m.handle.ReadAt(p, off); err == io.EOF {
			err = ErrFault
		}
	}
	return osError("load", m.name, err)
}

// Store implements Mapped.
func (m *plainMapped) Store(off int64, p []byte) error {
	err := inMapping(off, len(p), m.size)
	switch {
	case err != nil:
	case m.closed.Load():
		err = fs.ErrClosed
	case !m.write:
		err = errReadOnly
	default:
		err = m.store(off, p)
	}
	return osError("store", m.name, err)
}

// store writes within the file: a write would extend it where a mapping faults.
func (m *plainMapped) store(off int64, p []byte) error {
	info, err := m.handle.Stat()
	if err != nil {
		return err
	}
	if off+int64(len(p)) > info.Size() {
		return ErrFault
	}
	_, err = m.handle.WriteAt(p, off)
	return err
}

// Close implements Mapped.
func (m *plainMapped) Close() error {
	if m.closed.Swap(true) {
		return pathError("unmap", m.name, fs.ErrClosed)
	}
	return osError("unmap", m.name, m.handle.release())
}
