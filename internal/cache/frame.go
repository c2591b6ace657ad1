package cache

import (
	"sync/atomic"

	"github.com/loamdb/loam/internal/invariants"
)

// A frame's state. The touches in the high bits count pins ever taken and wrap around:
// the clock hand compares them with what it saw last, so that a hit needs no second
// write to say that the frame is in use.
const (
	pinMask    = 1<<24 - 1
	published  = 1 << 24
	touchShift = 40
	touchMask  = 1<<24 - 1
	pin        = 1<<touchShift | 1
)

// pinsCounted is how many pins of a frame are counted at once, by the one that makes the number full.
const pinsCounted = 64

// frame is the bookkeeping of a piece of a slab. It has no pointers: the collector
// passes over frames without looking. It fills a cache line, so that pins of
// neighbours do not meet.
type frame struct {
	state atomic.Uint64

	// Written by the owner of a claimed frame, constant while it is published (C2).
	file  uint64 // id of the File
	block uint32
	size  uint32 // of the block in bytes

	// Set by the owner of a claimed frame, guarded by Cache.mu while it is published.
	seen  uint32 // touches when the hand came by last
	stamp uint32 // Cache.tick when the hand last found the frame in use, or when it was claimed
	lives uint8  // how often the hand will pass over the frame though it is not in use
	worth uint8  // what lives is set to whenever the frame is found in use
	free  bool   // it holds nothing; always guarded by Cache.mu

	gen atomic.Uint32 // counts claims; checked under invariants
	_   [20]byte
}

// unpin gives back one pin.
func (fr *frame) unpin() {
	if invariants.Enabled && fr.state.Load()&pinMask == 0 {
		panic("cache: released more often than pinned")
	}
	fr.state.Add(^uint64(0))
}

// claim makes the caller the owner of a published frame without pins (C2).
func (fr *frame) claim() bool {
	s := fr.state.Load()
	if s&published == 0 || s&pinMask != 0 || !fr.state.CompareAndSwap(s, s&^published) {
		return false
	}
	fr.gen.Add(1)
	return true
}

// touches returns how many pins were ever taken, modulo 2^24.
func (fr *frame) touches() uint32 { return uint32(fr.state.Load() >> touchShift) }

// Handle is a pinned block. Exactly one Release must follow; copies of a Handle count
// as the same one. The zero Handle is empty, and its Release does nothing.
type Handle struct {
	frame *frame // nil: the bytes are an ordinary slice
	data  []byte
	gen   uint32
}

// Bytes returns the block, which must not be changed, valid until Release.
func (h *Handle) Bytes() []byte {
	if invariants.Enabled && h.frame != nil && (h.gen != h.frame.gen.Load() || h.frame.state.Load()&pinMask == 0) {
		panic("cache: bytes of a released handle")
	}
	return h.data
}

// Release gives the block back. The Handle is empty afterwards.
func (h *Handle) Release() {
	if h.frame != nil {
		if invariants.Enabled && h.gen != h.frame.gen.Load() {
			panic("cache: released after its frame was given to another block")
		}
		h.frame.unpin()
	}
	*h = Handle{}
}
