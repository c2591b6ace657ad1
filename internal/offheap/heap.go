//go:build !linux || race || invariants

package offheap

import "unsafe"

const alignment = 64

func allocate(n int) (*Region, error) {
	p := make([]byte, n+alignment)
	skip := -int(uintptr(unsafe.Pointer(&p[0]))) & (alignment - 1)
	return &Region{bytes: p[skip : skip+n : skip+n]}, nil
}

func unmap([]byte) error { return nil }

// Discard does nothing here: the collector has no call for it.
func Discard([]byte) {}
