package vfs

import (
	"io"
	"io/fs"
	"unsafe"
)

// directAlign is what place, length and memory of a direct read are multiples of. Devices
// ask for 512 or 4,096 bytes.
const directAlign = 4096

// writes reports whether the mode allows writing.
func (m OpenMode) writes() bool { return m == ReadWrite || m == ReadWriteDSync }

// readDirect reads past the system's cache, into pages of its own that it copies from: p
// may lie anywhere.
func (f *osFile) readDirect(p []byte, off int64) (int, error) {
	if f.closed.Load() {
		return 0, fs.ErrClosed
	}
	if off < 0 {
		return 0, errNegative
	}
	from := off &^ (directAlign - 1)
	to := (off + int64(len(p)) + directAlign - 1) &^ (directAlign - 1)
	buf := alignedPages(int(to - from))
	n, err := readAligned(f.handle, buf, from)
	n = copy(p, buf[min(int64(n), off-from):n])
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// alignedPages returns n bytes that begin at a page: the heap does not move.
func alignedPages(n int) []byte {
	p := make([]byte, n+directAlign)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(p))) & (directAlign - 1)
	return p[skip:][:n:n]
}
