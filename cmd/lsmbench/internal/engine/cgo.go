//go:build cgo && (rocksdb || lmdb)

package engine

// #include <stddef.h>
// #include <stdint.h>
import "C"

import "unsafe"

// pointerTo is how a slice is passed to C: for the call only.
func pointerTo(b []byte) (unsafe.Pointer, C.size_t) {
	return unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b))
}

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// packed is what several slices are passed to C in, in one call: their bytes and their
// sizes. A Go slice of slices cannot be passed, and a call for each costs more.
type packed struct {
	data  []byte
	sizes []C.uint32_t
}

func (p *packed) add(b []byte) {
	p.data = append(p.data, b...)
	p.sizes = append(p.sizes, C.uint32_t(len(b)))
}

func (p *packed) keys(keys [][]byte) *packed {
	p.data, p.sizes = p.data[:0], p.sizes[:0]
	for _, key := range keys {
		p.add(key)
	}
	return p
}

func (p *packed) pairs(pairs []Pair) *packed {
	p.data, p.sizes = p.data[:0], p.sizes[:0]
	for _, pair := range pairs {
		p.add(pair.Key)
		p.add(pair.Value)
	}
	return p
}

func (p *packed) pointers() (data *C.char, sizes *C.uint32_t) {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(p.data))), unsafe.SliceData(p.sizes)
}
