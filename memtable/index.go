package memtable

import (
	"bytes"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
)

// index is a hash table over the newest version of each user key. A lookup costs one
// cache miss to learn that a key is absent, which is the common answer, and two or
// three to find it; the list alone costs four and six (a miss is 130 to 180 ns on the
// reference machine). Measured: a random lookup takes 0.3 times as long with it as
// without, an insert, whose miss overlaps the descent, as long as before.
//
// A slot is 0 while empty and else holds a node, as a link does, below 35 bits of the
// user key's hash. Slots lie in cache lines; a search begins at a slot of one line,
// goes round the line, and on to the next, until it meets an empty slot or has seen
// probeLines lines. Slots never become empty again, so a key stays findable from
// where its search begins, and a search that meets an empty slot proves that the key is
// absent. A key that finds no slot stays outside, and whoever looks for it later finds
// no empty slot either, and asks the list. So keys chosen to collide, or entries much
// smaller than the table is sized for, cost speed and nothing else: of keys of 16 bytes
// half are outside when a region without values is full, and a lookup takes 1.2 to 1.6 µs
// in place of 0.1 to 0.3 (docs/benchmarks/memtable.md).
type index struct {
	base  unsafe.Pointer // first line, aligned to lineBytes
	lines uint64
}

const (
	lineBytes = 64
	lineSlots = lineBytes / 8

	// probeLines bounds a search. At 77 % of the slots taken, as entries of 108 bytes make
	// it, about one key in a thousand stays outside; the mean search ends in its first line.
	probeLines = 8

	// indexShare is the part of a region that is index: 8 bytes for every 120 of nodes,
	// keys and values.
	indexShare = 16

	hashMask = ^uint64(offsetMask)
)

func (x *index) line(hash uint64) uint64 {
	line, _ := bits.Mul64(hash, x.lines)
	return line
}

func (x *index) slot(line, i uint64) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Add(x.base, uintptr(line)*lineBytes+uintptr(i%lineSlots)*8))
}

// firstSlot takes other bits than line and the slot's own do, as far as there are any.
func firstSlot(hash uint64) uint64 { return hash >> 32 }

func sameHash(slot, hash uint64) bool { return (slot^hash<<offsetBits)&hashMask == 0 }

// find returns the newest version of key, or the head: then sure says whether the key
// is absent, or the list must be asked.
func (m *Memtable) find(key []byte, hash uint64) (n nodeRef, sure bool) {
	x := &m.index
	line := x.line(hash)
	for range probeLines {
		for i := range uint64(lineSlots) {
			if invariants.Enabled {
				m.pause(pointLoad)
			}
			s := x.slot(line, firstSlot(hash)+i).Load()
			if s == 0 {
				return head, true
			}
			if !sameHash(s, hash) {
				continue
			}
			if n := nodeRef(s & offsetMask); bytes.Equal(m.key(n), key) {
				return n, true
			}
		}
		if line++; line == x.lines {
			line = 0
		}
	}
	return head, false
}

// enter makes n, which is in the list, the version of key that find returns, unless it
// has a newer one, or no slot. It reports whether it has met another version of key.
func (m *Memtable) enter(n nodeRef, key []byte, t keys.Trailer, hash uint64) (again bool) {
	x := &m.index
	line := x.line(hash)
	for range probeLines {
		for i := range uint64(lineSlots) {
			slot := x.slot(line, firstSlot(hash)+i)
			s := slot.Load()
			if s != 0 {
				if !sameHash(s, hash) {
					continue
				}
				old := nodeRef(s & offsetMask)
				if !bytes.Equal(m.key(old), key) {
					continue
				}
				if m.trailer(old) > t {
					return true
				}
				again = true
			}
			if invariants.Enabled {
				m.pause(pointStore)
			}
			slot.Store(hash<<offsetBits | uint64(n))
			return again
		}
		if line++; line == x.lines {
			line = 0
		}
	}
	return false
}
