package cache

import (
	"bytes"
	"sync"
	"unsafe"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/offheap"
	"github.com/loamdb/loam/internal/prefetch"
)

// Sizes of slabs. 65 KiB is sixteen frames of 4,160 bytes, four of 16,640 and one of
// 66,560: blocks are as long as a power of two or a little less, and a trailer. Large
// slabs need fewer steps to find a frame; small ones let a small cache have several
// classes.
const (
	smallSlabBytes = 65 << 10
	largeSlabBytes = 4 * smallSlabBytes
	maxFrameBytes  = smallSlabBytes
	minFrameBytes  = 512
	frameAlign     = 32
)

// A slot is 0 or names a frame: the slab's index, and the frame's number within it
// plus one.
const (
	slotShift = 10
	slotMask  = 1<<slotShift - 1
)

// slab is a piece of memory that is cut into frames of one size. All but used is
// constant: a slab that goes to another class becomes a new slab of the same memory
// and index, and readers that come with an old slot find frames that are never
// published again.
type slab struct {
	frames []frame
	mem    []byte
	size   int
	index  uint32
	class  int
	used   int // frames that are not free; guarded by Cache.mu
}

// name returns what a slot holds for frame n.
func (s *slab) name(n int) uint32 { return s.index<<slotShift | uint32(n+1) }

// bytes returns the memory of frame n.
func (s *slab) bytes(n int) []byte { return s.mem[n*s.size : (n+1)*s.size : (n+1)*s.size] }

// handle returns a handle of frame n, fr, which is published and pinned.
func (s *slab) handle(n int, fr *frame) Handle {
	at, size := n*s.size, int(fr.size)
	h := Handle{frame: fr, data: s.mem[at : at+size : at+size]}
	if invariants.Enabled {
		h.gen = fr.gen.Load()
	}
	return h
}

// firstLines are those of a block that have its header and, in one of 4 KiB, the columns that are searched. Measured with
// queries of ten documents at random among a million, medians of eight runs: 42 us with none of them asked for, 32 with
// three; of four runs: 39 with one, 37 with four.
const (
	firstLines = 3
	lineBytes  = 64
)

// prefetch asks for the first lines of frame n. The pin that comes next is an atomic addition to a line that is no more in
// the caches than these are, and nothing goes past it.
func (s *slab) prefetch(n int) {
	at := unsafe.Pointer(unsafe.SliceData(s.bytes(n)))
	for i := range firstLines {
		prefetch.Line(unsafe.Add(at, i*lineBytes))
	}
}

// poison overwrites frame n under invariants, so that a use after its release is seen.
func (s *slab) poison(n int) {
	if invariants.Enabled {
		copy(s.bytes(n), poison())
	}
}

// poison is what freed frames hold under invariants.
var poison = sync.OnceValue(func() []byte { return bytes.Repeat([]byte{0xDB}, maxFrameBytes) })

// class is one size of frames. Cache.mu guards it.
type class struct {
	size  int
	slabs []*slab
	free  []uint32 // names of free frames
	// The clock hand: the next frame to look at.
	handSlab, handFrame int
	evictions           int // since the last comparison with other classes
}

// maxClasses is more than there are: sets of classes are bits of a word.
const maxClasses = 64

// newClasses returns the classes for slabs of the given size, smallest first. Sizes
// are a slab divided by 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20 and so on: above
// a quarter slab a block may waste more than a fifth of its frame, below it never.
func newClasses(slabBytes int) []class {
	out := make([]class, 0, maxClasses)
	count, step := slabBytes/maxFrameBytes, 1
	for ; slabBytes/count >= minFrameBytes; count += step {
		for count >= 8*step {
			step *= 2
		}
		out = append(out, class{size: slabBytes / count &^ (frameAlign - 1)})
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// classOf returns the class of frames for n bytes, at most maxFrameBytes.
func (c *Cache) classOf(n int) int {
	lo, hi := 0, len(c.classes)-1
	for lo < hi {
		if mid := (lo + hi) / 2; c.classes[mid].size >= n {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// grow takes another slab for a class, if the capacity allows. Regions double, so that
// a cache that stays small takes little, and a large one has few mappings, of a size
// for which the system has huge pages. If it has no memory the cache stays as it is.
func (c *Cache) grow(k int) bool {
	if c.held() >= c.limit {
		return false
	}
	if n := len(c.idle); n > 0 {
		s := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.adopt(k, s)
		return true
	}
	if len(c.region) == 0 {
		n := min(max(c.made, 1), maxRegionSlabs, len(c.slabs)-c.made)
		r, err := offheap.New(n * c.slabBytes)
		if err != nil {
			return false
		}
		c.regions = append(c.regions, r)
		c.region = r.Bytes()
	}
	mem := c.region[:c.slabBytes:c.slabBytes]
	c.region = c.region[c.slabBytes:]
	c.made++
	c.adopt(k, &slab{mem: mem, index: uint32(c.made - 1)})
	return true
}

// maxRegionSlabs bounds a region to about 16 MiB.
const maxRegionSlabs = 64

// adopt makes s, of which memory and index are set, a slab of class k. Its frames are
// free.
func (c *Cache) adopt(k int, s *slab) {
	cl := &c.classes[k]
	s.size, s.class = cl.size, k
	s.frames = make([]frame, len(s.mem)/cl.size)
	for n := len(s.frames) - 1; n >= 0; n-- {
		s.frames[n].free = true
		cl.free = append(cl.free, s.name(n))
	}
	cl.slabs = append(cl.slabs, s)
	c.empty++
	c.slabs[s.index].Store(s)
}
