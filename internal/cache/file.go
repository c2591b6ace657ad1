package cache

import (
	"sync/atomic"
)

// File is what the cache knows of one table: a slot for each of its blocks. Its
// methods may be called from any number of goroutines, Close only once nothing else
// runs.
type File struct {
	c     *Cache
	id    uint64 // never used again in this process
	slots []atomic.Uint32
	slabs []atomic.Pointer[slab] // the cache's, here so that hits stay off the line of its lock
}

// NewFile enters a file of the given number of blocks.
func (c *Cache) NewFile(blocks int) *File {
	f := &File{c: c, slots: make([]atomic.Uint32, blocks), slabs: c.slabs}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastFile++
	f.id = c.lastFile
	c.files[f.id] = f
	return f
}

// Get returns block i, pinned, if the cache holds it.
func (f *File) Get(i int) (Handle, bool) {
	slot := f.slots[i].Load()
	if slot == 0 {
		return Handle{}, false
	}
	s := f.slabs[slot>>slotShift].Load()
	n := int(slot&slotMask) - 1
	if s == nil || n >= len(s.frames) { // the slab was given to another class meanwhile
		return Handle{}, false
	}
	s.prefetch(n)
	fr := &s.frames[n]
	state := fr.state.Add(pin)
	if state>>touchShift%pinsCounted == 0 {
		f.c.pinned.Add(pinsCounted)
	}
	if state&published == 0 || fr.file != f.id || fr.block != uint32(i) {
		fr.unpin()
		return Handle{}, false
	}
	return s.handle(n, fr), true
}

// Insert makes b, which the caller has filled, block i and returns it pinned. If
// another goroutine has inserted the block meanwhile, that one is returned and b is
// discarded. b must not be used afterwards.
//
// Goroutines that miss the same block at once thus read it each, which costs a block of
// 4 KiB one or two microseconds; making them wait for each other would cost every miss
// a shared write, and the waiting ones a park and a wake-up of the same order.
func (f *File) Insert(i int, b Buf) Handle { return f.insert(i, b, 0) }

// InsertKept is Insert for blocks that are worth more than others of their size, such
// as parts of an index: the clock hand passes over them a few times more.
func (f *File) InsertKept(i int, b Buf) Handle { return f.insert(i, b, keptLives) }

// keptLives is how many turns of the hand a kept block outlives an ordinary one.
const keptLives = 3

func (f *File) insert(i int, b Buf, lives uint8) Handle {
	f.c.loads.Add(1)
	if b.slab == nil {
		return Handle{data: b.data}
	}
	if h, ok := f.Get(i); ok {
		b.Discard()
		return h
	}
	fr := &b.slab.frames[b.n]
	fr.file, fr.block, fr.size = f.id, uint32(i), uint32(len(b.data))
	fr.worth, fr.lives = lives, lives
	// The pin that comes with publishing is no sign that the block is wanted again.
	fr.seen = (fr.touches() + 1) & touchMask
	if fr.state.Add(published|pin)>>touchShift%pinsCounted == 0 {
		f.c.pinned.Add(pinsCounted)
	}
	f.c.entered.Add(1)
	name := b.slab.name(b.n)
	for !f.slots[i].CompareAndSwap(0, name) {
		old := f.slots[i].Load()
		if old == 0 {
			continue
		}
		if h, ok := f.Get(i); ok {
			f.c.retract(b.slab, b.n)
			return h
		}
		// The slot is stale: its frame is being evicted, or was.
		if f.slots[i].CompareAndSwap(old, name) {
			break
		}
	}
	return b.slab.handle(b.n, fr)
}

// Close gives up the file's blocks. Those that are still pinned stay readable until
// they are released, and their memory is used again after that.
func (f *File) Close() {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	delete(f.c.files, f.id)
	for i := range f.slots {
		if name := f.slots[i].Swap(0); name != 0 {
			f.c.drop(name, f.id)
		}
	}
}
