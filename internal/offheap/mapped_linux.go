//go:build linux && !race && !invariants

package offheap

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size from which transparent huge pages are asked for: a random
// access into a large arena otherwise costs a TLB miss as well as a cache miss.
const hugePage = 2 << 20

func allocate(n int) (*Region, error) {
	p, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("offheap: map %d bytes: %w", n, err)
	}
	if n >= 2*hugePage {
		_ = unix.Madvise(p, unix.MADV_HUGEPAGE) // advice: refusal costs speed, nothing else
	}
	return &Region{bytes: p, mapped: true}, nil
}

func unmap(p []byte) error {
	if err := unix.Munmap(p); err != nil {
		return fmt.Errorf("offheap: unmap %d bytes: %w", len(p), err)
	}
	return nil
}

// Discard gives the whole pages of p, a part of a region, back to the system. The part
// can be used again, and is then zero where it was discarded.
func Discard(p []byte) {
	const page = 4096 // where pages are larger the call fails, and nothing is discarded
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(p)))) & (page - 1)
	if n := (len(p) - skip) &^ (page - 1); n > 0 {
		_ = unix.Madvise(p[skip:skip+n], unix.MADV_DONTNEED) // refusal costs memory, nothing else
	}
}
