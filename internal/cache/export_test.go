package cache

import "unsafe"

// FrameBytes is the size of a frame's bookkeeping.
const FrameBytes = unsafe.Sizeof(frame{})

// ClassSizes returns the sizes of frames for a cache of the given capacity.
func ClassSizes(c *Cache) []int {
	var out []int
	for i := range c.classes {
		out = append(out, c.classes[i].size)
	}
	return out
}

// RegionBytes returns how much memory the cache took from the system.
func RegionBytes(c *Cache) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n int64
	for _, r := range c.regions {
		n += int64(len(r.Bytes()))
	}
	return n
}

// Pins returns how many pins there are.
func Pins(c *Cache) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for i := range c.made {
		s := c.slabs[i].Load()
		if s == nil {
			continue // idle
		}
		for j := range s.frames {
			n += int(s.frames[j].state.Load() & pinMask)
		}
	}
	return n
}
