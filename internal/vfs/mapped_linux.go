package vfs

import (
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// osMapped is a shared mapping. Its memory is reached by copyGuarded alone, and no
// slice of it leaves this file.
type osMapped struct {
	data   []byte // empty for an empty mapping, which has no memory
	name   string
	write  bool
	closed atomic.Bool
}

func mapFile(h *osHandle, name string, size int64, write bool) (Mapped, error) {
	m := &osMapped{name: name, write: write}
	if size == 0 {
		return m, nil
	}
	if size > math.MaxInt {
		return nil, fmt.Errorf("%d bytes: %w", size, unix.ENOMEM)
	}
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	var err error
	m.data, err = unix.Mmap(int(h.fd), 0, int(size), prot, unix.MAP_SHARED)
	runtime.KeepAlive(h)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// copyGuarded copies and turns a fault of either side's memory into false. It holds no
// lock and calls nothing, so that a fault leaves nothing behind but some bytes of dst.
// Every other panic goes on.
//
// SetPanicOnFault sets a flag of this goroutine; with the deferred calls it costs a few
// nanoseconds, against tens for the copy of a record.
func copyGuarded(dst, src []byte) (ok bool) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			// Only a fault at an address carries one.
			if _, fault := r.(interface{ Addr() uintptr }); !fault {
				panic(r)
			}
			ok = false
		}
	}()
	copy(dst, src)
	return true
}

// Load implements Mapped.
func (m *osMapped) Load(p []byte, off int64) error {
	if err := inMapping(off, len(p), int64(len(m.data))); err != nil {
		return pathError("load", m.name, err)
	}
	if m.closed.Load() {
		return pathError("load", m.name, fs.ErrClosed)
	}
	if !copyGuarded(p, m.data[off:off+int64(len(p))]) {
		return pathError("load", m.name, ErrFault)
	}
	return nil
}

// Store implements Mapped.
func (m *osMapped) Store(off int64, p []byte) error {
	err := inMapping(off, len(p), int64(len(m.data)))
	switch {
	case err != nil:
	case m.closed.Load():
		err = fs.ErrClosed
	case !m.write:
		err = errReadOnly
	case !copyGuarded(m.data[off:off+int64(len(p))], p):
		err = ErrFault
	}
	if err != nil {
		return pathError("store", m.name, err)
	}
	return nil
}

// Close implements Mapped.
func (m *osMapped) Close() error {
	if m.closed.Swap(true) {
		return pathError("unmap", m.name, fs.ErrClosed)
	}
	if len(m.data) == 0 {
		return nil
	}
	return osError("unmap", m.name, unix.Munmap(m.data))
}
