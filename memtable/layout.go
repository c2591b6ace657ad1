package memtable

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// A node, in 8-byte words, each in the machine's byte order (regions never leave the
// process):
//
//	word 0   trailer                                  constant after publication
//	word 1   back offset of key and value (32 bits), previous node (32 bits, atomic)
//	word 2   key length (24 bits), height (8 bits), value length (32 bits)
//	word 3+  link of level 0, 1, …                    atomic
//
// The key and the value stand side by side in the back part of the region:
//
//	region   head node │ node │ node │ →   free   ← │ key value │ key value
const (
	nodeWords  = 3
	nodeHeader = nodeWords * 8

	keyLenBits = 24
	keyLenMask = 1<<keyLenBits - 1

	// maxHeight levels, half of the nodes of one on the next, are enough for as many
	// nodes as 4 GiB hold.
	maxHeight = 24

	// maxRegion is what byte offsets of 32 bits and node offsets of 29 bits in words
	// reach, less one word so that the offset of the end fits too.
	maxRegion = 1<<32 - 8
)

// nodeRef is a node's offset in words. Zero is the head, and as the target of a link
// the end of the list: the list is a ring.
type nodeRef uint32

const head nodeRef = 0

func (m *Memtable) word(n nodeRef, i int) unsafe.Pointer {
	// Bounds checks cost 8 % of a search in a list of 2,000 entries, and nothing that shows
	// in one that exceeds the caches. Builds with invariants check.
	if invariants.Enabled {
		if at := (uint64(n) + uint64(i) + 1) * 8; at > uint64(len(m.region)) {
			panic("memtable: node outside the region")
		}
	}
	return unsafe.Add(m.base, uintptr(n)*8+uintptr(i)*8)
}

func (m *Memtable) link(n nodeRef, level int) uint64 {
	if invariants.Enabled {
		m.pause(pointLoad)
	}
	return (*atomic.Uint64)(m.word(n, nodeWords+level)).Load()
}

// initLink writes a link of a node that nobody can reach yet.
func (m *Memtable) initLink(n nodeRef, level int, link uint64) {
	*(*uint64)(m.word(n, nodeWords+level)) = link
}

func (m *Memtable) storeLink(n nodeRef, level int, link uint64) {
	if mutant.Enabled && mutant.Is(mutant.PlainPublish) {
		m.initLink(n, level, link)
		return
	}
	(*atomic.Uint64)(m.word(n, nodeWords+level)).Store(link)
}

func (m *Memtable) prevField(n nodeRef) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Add(m.word(n, 1), 4))
}

func (m *Memtable) prev(n nodeRef) nodeRef {
	if invariants.Enabled {
		m.pause(pointLoad)
	}
	return nodeRef(m.prevField(n).Load())
}

func (m *Memtable) trailer(n nodeRef) keys.Trailer {
	return *(*keys.Trailer)(m.word(n, 0))
}

func (m *Memtable) keyLen(n nodeRef) int {
	return int(*(*uint32)(m.word(n, 2)) & keyLenMask)
}

// heightOf returns how many levels n is on. The head is on all.
func (m *Memtable) heightOf(n nodeRef) int {
	return int(*(*uint32)(m.word(n, 2)) >> keyLenBits)
}

// key returns the user key of n, which is not the head.
func (m *Memtable) key(n nodeRef) []byte {
	at := *(*uint32)(m.word(n, 1))
	size := *(*uint32)(m.word(n, 2)) & keyLenMask
	end := uint64(at) + uint64(size)
	return m.region[at:end:end]
}

// value returns the value of n, which is not the head.
func (m *Memtable) value(n nodeRef) []byte {
	at := *(*uint32)(m.word(n, 1))
	keySize := *(*uint32)(m.word(n, 2)) & keyLenMask
	size := *(*uint32)(unsafe.Add(m.word(n, 2), 4))
	start := uint64(at) + uint64(keySize)
	end := start + uint64(size)
	return m.region[start:end:end]
}

// commonPrefix returns how many leading bytes a and b share, given that they share
// the first n.
func commonPrefix(a, b []byte, n int) int {
	limit := min(len(a), len(b))
	for n+8 <= limit {
		x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:])
		if x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
		n += 8
	}
	for n < limit && a[n] == b[n] {
		n++
	}
	return n
}
