package cache

// Buf is memory to read a block into, the holder's alone until Insert or Discard, of
// which exactly one must follow. It is a value; copies count as the same one.
type Buf struct {
	data []byte
	c    *Cache
	slab *slab // nil: data is an ordinary slice
	n    int
}

// Bytes returns the memory, valid until Insert or Discard.
func (b Buf) Bytes() []byte { return b.data }

// Truncate returns b with a length of n bytes, at most the present one, instead: only
// the first n will be in the block.
func (b Buf) Truncate(n int) Buf {
	b.data = b.data[:n]
	return b
}

// Discard gives the memory back unused. A zero Buf has none.
func (b Buf) Discard() {
	if b.slab == nil {
		return
	}
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	b.c.release(b.slab, b.n)
}

// Alloc returns a buffer of n bytes, with whatever they held before, evicting as
// needed. If n is too large for a frame, or nothing can be evicted, the buffer is
// ordinary memory: it serves in all the same ways, but Insert will not keep it. cached
// tells the cases apart.
func (c *Cache) Alloc(n int) (b Buf, cached bool) {
	if s, i := c.claimFrame(n); s != nil {
		return Buf{data: s.bytes(i)[:n], c: c, slab: s, n: i}, true
	}
	return Buf{data: make([]byte, n)}, false
}

// claimFrame returns a claimed frame for n bytes, or nil.
func (c *Cache) claimFrame(n int) (s *slab, i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n <= maxFrameBytes {
		s, i = c.frameFor(c.classOf(n))
	}
	if s == nil {
		c.metrics.Uncached++
		return nil, 0
	}
	s.frames[i].stamp = c.tick
	return s, i
}

// frameFor returns a frame of class k, claimed, or nil.
func (c *Cache) frameFor(k int) (*slab, int) {
	c.tick++
	cl := &c.classes[k]
	if len(cl.free) > 0 || c.grow(k) || c.empty > 0 && c.stealEmpty(k) {
		return c.popFree(cl)
	}
	if s, n := c.evict(k); s != nil {
		return s, n
	}
	if c.stealColdest(k, 0) {
		return c.popFree(cl)
	}
	return nil, 0
}

func (c *Cache) popFree(cl *class) (*slab, int) {
	name := cl.free[len(cl.free)-1]
	cl.free = cl.free[:len(cl.free)-1]
	s, n := c.slabs[name>>slotShift].Load(), int(name&slotMask)-1
	s.frames[n].free = false
	if s.used++; s.used == 1 {
		c.empty--
	}
	return s, n
}

// release makes a claimed frame free.
func (c *Cache) release(s *slab, n int) {
	s.poison(n)
	s.frames[n].free = true
	if s.used--; s.used == 0 {
		c.empty++
	}
	cl := &c.classes[s.class]
	cl.free = append(cl.free, s.name(n))
}

// retract takes back a frame that was published, and pinned by the caller, but lost
// its slot to another.
func (c *Cache) retract(s *slab, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fr := &s.frames[n]
	fr.unpin()
	// A reader with an old slot may have found it, rightly; then the hand will.
	if fr.claim() {
		c.release(s, n)
	}
}

// drop frees the frame that a slot of the closing file named, unless it is pinned; then
// the hand will find it, in no file. The caller holds mu.
func (c *Cache) drop(name uint32, file uint64) {
	s, n := c.slabs[name>>slotShift].Load(), int(name&slotMask)-1
	if s == nil || n >= len(s.frames) {
		return
	}
	fr := &s.frames[n]
	if fr.state.Load()&published == 0 || fr.file != file {
		return
	}
	if fr.claim() {
		c.release(s, n)
	}
}
