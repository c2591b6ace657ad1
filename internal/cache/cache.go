package cache

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/offheap"
)

// Cache is a cache of blocks. Its methods may be called from any number of
// goroutines, Close only once nothing else runs.
type Cache struct {
	// Constant after New.
	capacity  int64 // the most there can be
	floor     int64 // what the cache can rely on; see SetLimit
	slabBytes int
	slabs     []atomic.Pointer[slab] // by index; nil until the slab is needed

	reserved atomic.Int64 // bytes granted by Reserve

	_       [64]byte      // what is written seldom stays off the lines that hits read
	pinned  atomic.Uint64 // pins of frames, in steps of pinsCounted
	entered atomic.Uint64 // pins of frames that came with their blocks
	loads   atomic.Uint64 // blocks that readers brought
	_       [64]byte

	// mu guards what follows, the contents of classes, and every claim. It is taken on
	// misses and when files open and close, never on a hit.
	mu       sync.Mutex
	classes  []class
	files    map[uint64]*File
	lastFile uint64
	made     int     // slabs that were ever cut from regions
	idle     []*slab // of these, those whose memory the system has
	limit    int     // slabs that may hold memory; 0 once closed
	closed   bool
	regions  []*offheap.Region // what slabs are cut from, each larger than the last
	region   []byte            // what is left of the last one
	empty    int               // slabs of which all frames are free
	tick     uint32            // counts allocations, to tell old from older
	metrics  Metrics
}

// Metrics are counts since New, and sizes now. A counter of hits would be a cache line that every hit
// writes; they are the pins that frames have counted, which are added up.
type Metrics struct {
	Hits, Loads uint64 // blocks that were found, about; blocks that were not, and were brought
	Capacity    int64  // in bytes
	SlabBytes   int64  // memory held
	BlockBytes  int64  // of it, frames that hold blocks or are being filled
	Evictions   uint64 // blocks evicted by the clock hands
	Steals      uint64 // slabs that went from one class to another
	Uncached    uint64 // buffers that came from the heap: too large, or nothing could be evicted
	Files       int    // files entered
	FileBlocks  int64  // slots of those files, of four bytes each
	FreeFrames  int64  // frames that hold nothing
	TotalFrames int64
}

// maxCapacity is what the bits of a slot can address.
const maxCapacity = int64(1) << (32 - slotShift) * smallSlabBytes

// New makes a cache that holds at most capacityBytes in blocks. It takes memory as it
// fills. Bookkeeping comes on top: about 64 bytes for each block that fits. A cache
// that is too small for a single slab of 65 KiB caches nothing, and works.
func New(capacityBytes int64) (*Cache, error) { return NewElastic(capacityBytes, capacityBytes) }

// NewElastic makes a cache whose limit can be set between the two sizes. It begins at
// the greater one.
func NewElastic(floorBytes, capacityBytes int64) (*Cache, error) {
	if floorBytes < 0 || floorBytes > capacityBytes || capacityBytes > maxCapacity {
		return nil, fmt.Errorf("cache: sizes of %d and %d bytes are not in [0, %d]", floorBytes, capacityBytes, maxCapacity)
	}
	c := &Cache{capacity: capacityBytes, floor: floorBytes, slabBytes: largeSlabBytes, files: map[uint64]*File{}}
	if capacityBytes < 32*largeSlabBytes {
		c.slabBytes = smallSlabBytes
	}
	c.slabs = make([]atomic.Pointer[slab], capacityBytes/int64(c.slabBytes))
	c.limit = len(c.slabs)
	c.classes = newClasses(c.slabBytes)
	c.metrics.Capacity = capacityBytes
	return c, nil
}

// Metrics returns what the cache did and holds.
func (c *Cache) Metrics() Metrics {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.metrics
	m.SlabBytes = int64(c.held()) * int64(c.slabBytes)
	pins := c.pinned.Load()
	for i := range c.made {
		s := c.slabs[i].Load()
		if s == nil {
			continue // idle
		}
		for n := range s.frames {
			pins += uint64(s.frames[n].touches() % pinsCounted)
		}
		m.BlockBytes += int64(s.used) * int64(s.size)
		m.FreeFrames += int64(len(s.frames) - s.used)
		m.TotalFrames += int64(len(s.frames))
	}
	m.Loads = c.loads.Load()
	if entered := c.entered.Load(); pins > entered {
		m.Hits = pins - entered
	}
	m.Files = len(c.files)
	for _, f := range c.files {
		m.FileBlocks += int64(len(f.slots))
	}
	return m
}

// Close gives the memory back. No Handle and no Buf may be left. Afterwards the cache
// keeps nothing; files may still be closed. A second Close does nothing.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if invariants.Enabled {
		c.checkNoPins()
	}
	var first error
	for _, r := range c.regions {
		if err := r.Free(); err != nil && first == nil {
			first = fmt.Errorf("cache: %w", err)
		}
	}
	for i := range c.made {
		c.slabs[i].Store(nil)
	}
	for k := range c.classes {
		c.classes[k] = class{size: c.classes[k].size}
	}
	c.regions, c.region, c.idle, c.made, c.limit, c.empty = nil, nil, nil, 0, 0, 0
	c.closed = true
	return first
}

// checkNoPins panics if a block is still pinned.
func (c *Cache) checkNoPins() {
	for i := range c.made {
		s := c.slabs[i].Load()
		if s == nil {
			continue
		}
		for n := range s.frames {
			if fr := &s.frames[n]; fr.state.Load()&pinMask != 0 {
				panic(fmt.Sprintf("cache: closed while block %d of file %d is pinned", fr.block, fr.file))
			}
		}
	}
}
