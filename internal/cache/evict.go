package cache

import (
	"math"
	"slices"
)

// Eviction. Each class has a clock hand. It passes over frames that were pinned since
// it came by last, and takes the first that was not. So that memory does not stay with
// a class that no longer needs it, a class that evicts compares, now and then, the age
// of its victims with the age of what other hands would take next, and takes a slab
// of the class whose blocks are much older.

const (
	// maxSteps bounds how far one eviction moves a hand. When everything is in use the
	// next frame without pins must do: a longer search finds nothing much better and
	// holds up all misses.
	maxSteps = 256
	// comparePerSlab is how many times a class compares while it evicts as many blocks
	// as a slab has frames, so that memory moves as fast for large blocks as for small.
	comparePerSlab = 4
	// minAgeDifference, in ticks, keeps small differences from moving slabs.
	minAgeDifference = 16
)

// evict returns a frame of class k, claimed, which held a block until now.
func (c *Cache) evict(k int) (*slab, int) {
	cl := &c.classes[k]
	if len(cl.slabs) == 0 {
		return nil, 0
	}
	if cl.evictions++; cl.evictions*comparePerSlab >= len(cl.slabs[0].frames) {
		cl.evictions = 0
		if c.stealColdest(k, 2*c.peek(cl)+minAgeDifference) {
			return c.popFree(cl)
		}
	}
	var fallback *slab
	var fallbackFrame int
	for range maxSteps {
		s, n := cl.slabs[cl.handSlab], cl.handFrame
		fr := &s.frames[n]
		cl.advance()
		if c.inUse(fr) {
			if fr.state.Load()&(published|pinMask) == published {
				fallback, fallbackFrame = s, n
			}
			continue
		}
		if c.take(s, n) {
			return s, n
		}
	}
	if fallback != nil && c.take(fallback, fallbackFrame) {
		return fallback, fallbackFrame
	}
	return nil, 0
}

// advance moves the hand one frame on.
func (cl *class) advance() {
	if cl.handFrame++; cl.handFrame == len(cl.slabs[cl.handSlab].frames) {
		cl.handFrame = 0
		if cl.handSlab++; cl.handSlab == len(cl.slabs) {
			cl.handSlab = 0
		}
	}
}

// inUse reports whether the hand must pass over a frame, and notes that it came by.
func (c *Cache) inUse(fr *frame) bool {
	s := fr.state.Load()
	if s&published == 0 {
		return true // free, or being filled
	}
	if t := uint32(s >> touchShift); t != fr.seen || s&pinMask != 0 {
		fr.seen, fr.stamp = t, c.tick
		fr.lives = fr.worth
		return true
	}
	if fr.lives > 0 {
		fr.lives--
		return true
	}
	return false
}

// take claims frame n of s from its file.
func (c *Cache) take(s *slab, n int) bool {
	fr := &s.frames[n]
	if !fr.claim() {
		return false
	}
	if f := c.files[fr.file]; f != nil {
		f.slots[fr.block].CompareAndSwap(s.name(n), 0)
	}
	c.metrics.Evictions++
	s.poison(n)
	return true
}

// peek moves a hand to the next frame that it would take and returns how long, in
// ticks, that was not in use; 0 when it meets as many frames in use as a slab has. The
// marks of a class that nobody uses any more are wiped slab by slab in this way.
func (c *Cache) peek(cl *class) (age uint32) {
	for range cl.slabs[cl.handSlab].frames {
		fr := &cl.slabs[cl.handSlab].frames[cl.handFrame]
		if fr.free {
			return math.MaxUint32
		}
		if !c.inUse(fr) {
			return c.tick - fr.stamp
		}
		cl.advance()
	}
	return 0
}

// stealColdest gives class k a slab of the class whose next victim is oldest, if that
// is older than minAge ticks. With minAge 0 any other class will do.
func (c *Cache) stealColdest(k int, minAge uint32) bool {
	tried := uint64(1) << k // of maxClasses at most
	for {
		best, bestAge := -1, minAge
		for d := range c.classes {
			if tried>>d&1 != 0 || len(c.classes[d].slabs) == 0 {
				continue
			}
			if age := c.peek(&c.classes[d]); age > bestAge || best < 0 && minAge == 0 {
				best, bestAge = d, age
			}
		}
		if best < 0 {
			return false
		}
		if c.stealFrom(best, k) {
			return true
		}
		tried |= 1 << best // something is pinned in each of its slabs
	}
}

// stealEmpty gives class k a slab of which all frames are free.
func (c *Cache) stealEmpty(k int) bool {
	for d := range c.classes {
		if d == k {
			continue
		}
		for i, s := range c.classes[d].slabs {
			if s.used == 0 {
				return c.transfer(d, i, k)
			}
		}
	}
	return false
}

// stealFrom gives class k the slab of class d at which the hand is, or the next one
// after it of which no frame is pinned.
func (c *Cache) stealFrom(d, k int) bool {
	from := &c.classes[d]
	for i := range from.slabs {
		if c.transfer(d, (from.handSlab+i)%len(from.slabs), k) {
			return true
		}
	}
	return false
}

// transfer gives slab i of class d to class k. It is false, and changes nothing but that
// blocks may be evicted, if one is pinned or being filled.
func (c *Cache) transfer(d, i, k int) bool {
	s := c.detach(d, i)
	if s == nil {
		return false
	}
	c.metrics.Steals++
	c.adopt(k, s)
	return true
}

// detach takes slab i out of class d, with its frames claimed one by one, and returns its
// memory and index as a slab of no class; nil if a frame is pinned or being filled.
func (c *Cache) detach(d, i int) *slab {
	from := &c.classes[d]
	s := from.slabs[i]
	for n := range s.frames {
		if st := s.frames[n].state.Load(); !s.frames[n].free && st&(published|pinMask) != published {
			return nil
		}
	}
	for n := range s.frames {
		if s.frames[n].free {
			continue
		}
		if !c.take(s, n) {
			return nil // pinned meanwhile; what was claimed before is free now
		}
		c.release(s, n)
	}
	c.empty--
	from.free = slices.DeleteFunc(from.free, func(name uint32) bool { return name>>slotShift == s.index })
	from.slabs = slices.Delete(from.slabs, i, i+1)
	if from.handSlab > i {
		from.handSlab--
	} else if from.handSlab == i {
		from.handFrame = 0
		if from.handSlab == len(from.slabs) {
			from.handSlab = 0
		}
	}
	return &slab{mem: s.mem, index: s.index}
}
