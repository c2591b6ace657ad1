package sstable

import (
	"errors"
	"fmt"
	"io"

	"github.com/loamdb/loam/internal/vfs"
)

// windowBytes is how much of the file a window reads at a time.
const windowBytes = 128 << 10

// window reads a file through a buffer that moves on. A read that fails is tried again for
// its own bytes alone: one bad sector must not take its neighbours along.
type window struct {
	f    vfs.File
	size int64
	buf  []byte
	off  int64
}

// readError is an error of the file, as opposed to damage.
type readError struct {
	off int64
	err error
}

func (e *readError) Error() string { return fmt.Sprintf("sstable: read at %d: %v", e.off, e.err) }
func (e *readError) Unwrap() error { return e.err }

// read returns the n bytes at off, valid until the next call.
func (w *window) read(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > w.size || n > w.size-off {
		return nil, fmt.Errorf("%d bytes at %d of a file of %d: %w", n, off, w.size, errLength)
	}
	if i := off - w.off; i >= 0 && i+n <= int64(len(w.buf)) {
		return w.buf[i : i+n : i+n], nil
	}
	err := w.fill(off, min(max(n, windowBytes), w.size-off))
	if err != nil && n < windowBytes {
		err = w.fill(off, n)
	}
	if err != nil {
		return nil, err
	}
	return w.buf[:n:n], nil
}

func (w *window) fill(off, n int64) error {
	w.buf, w.off = keepSmall(w.buf), off
	if int64(cap(w.buf)) < n {
		w.buf = make([]byte, 0, n)
	}
	m, err := w.f.ReadAt(w.buf[:n], off)
	switch {
	case int64(m) == n:
		w.buf = w.buf[:n]
		return nil
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("file ends: %w", errLength)
	}
	return &readError{off, err}
}
