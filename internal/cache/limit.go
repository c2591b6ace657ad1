package cache

import "github.com/loamdb/loam/internal/offheap"

// held returns how many slabs hold memory.
func (c *Cache) held() int { return c.made - len(c.idle) }

// SetLimit bounds the memory of the slabs to n bytes, or to the floor or the capacity of
// NewElastic where n lies beyond them. What the cache holds above that goes back to the
// system at once, the coldest slabs first; slabs with a block that is pinned stay until
// the next call. It is meant for a budget that others share, who need memory seldom and in
// large pieces: giving back 64 MiB claims 16,000 frames, a millisecond or two in which
// misses wait.
func (c *Cache) SetLimit(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.limit = int(min(max(n, c.floor), c.capacity) / int64(c.slabBytes))
	for c.held() > c.limit && c.shrink() {
	}
}

// shrink gives one slab back to the system: an empty one, or else one of the class whose
// next victim is oldest. It is false if something is pinned in every slab.
func (c *Cache) shrink() bool {
	for d := range c.classes {
		for i, s := range c.classes[d].slabs {
			if c.empty > 0 && s.used == 0 && c.retire(d, i) {
				return true
			}
		}
	}
	tried := uint64(0)
	for {
		best, bestAge := -1, uint32(0)
		for d := range c.classes {
			if tried>>d&1 != 0 || len(c.classes[d].slabs) == 0 {
				continue
			}
			if age := c.peek(&c.classes[d]); best < 0 || age > bestAge {
				best, bestAge = d, age
			}
		}
		if best < 0 {
			return false
		}
		from := &c.classes[best]
		for i := range from.slabs {
			if c.retire(best, (from.handSlab+i)%len(from.slabs)) {
				return true
			}
		}
		tried |= 1 << best
	}
}

// retire makes slab i of class d idle, if none of its frames is pinned.
func (c *Cache) retire(d, i int) bool {
	s := c.detach(d, i)
	if s == nil {
		return false
	}
	c.slabs[s.index].Store(nil) // who comes with an old slot finds nothing
	offheap.Discard(s.mem)
	c.idle = append(c.idle, s)
	return true
}
