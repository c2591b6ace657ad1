package cache

// Reserve asks for n bytes of the share of the cache, half of it, that may be pinned
// for long: parts of indexes and filters whose handles are kept as long as their table
// is open. It is false when the share is used up; the holder then pins for one access
// at a time, like everyone. The bytes are given back by Unreserve.
func (c *Cache) Reserve(n int) bool {
	if c.reserved.Add(int64(n)) <= c.floor/2 {
		return true
	}
	c.Unreserve(n)
	return false
}

// Unreserve gives back n bytes that Reserve granted.
func (c *Cache) Unreserve(n int) { c.reserved.Add(-int64(n)) }
