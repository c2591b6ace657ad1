package memtable

import (
	"github.com/loamdb/loam/internal/keys"
)

// place is where a search ended: on level 0, before is the last node that sorts before
// the searched key, and after the first that does not, either may be the head. same
// says that after has the searched user key.
type place struct {
	before, after nodeRef
	same          bool
}

// seek finds the place of (key, t). Runs beside the writer.
func (m *Memtable) seek(key []byte, t keys.Trailer) place {
	level := int(m.height.Load()) - 1
	shared := 0
	code := makeCode(key, 0)
	node, seen, same := head, head, false
	for {
		link := m.link(node, level)
		c := link >> offsetBits
		next := nodeRef(link & offsetMask)
		if c < code {
			if x := c ^ code; firstByteEqual(x) {
				shared = m.advance(key, next, shared+equalBytes(x))
				code = makeCode(key, shared)
			}
			node = next
			continue
		}
		// Equal codes: compare, unless next is the end or was found to be behind the key on
		// a level above.
		if c == code && next != seen {
			n, right, equal := m.compare(key, t, next, shared)
			if right {
				node, shared = next, n
				code = makeCode(key, shared)
				continue
			}
			seen, same = next, equal
		}
		if level == 0 {
			return place{before: node, after: next, same: same && next == seen}
		}
		level--
	}
}

// advance bounds a shared length that was read off codes by the lengths of the keys:
// padding is no byte.
func (m *Memtable) advance(key []byte, n nodeRef, shared int) int {
	return min(shared, len(key), m.keyLen(n))
}

// compare compares (key, t) with node n byte by byte, given that min(shared, maxShared)
// bytes are shared. It returns the length of the shared prefix, whether n sorts before
// (key, t), and whether the user keys are equal.
func (m *Memtable) compare(key []byte, t keys.Trailer, n nodeRef, shared int) (int, bool, bool) {
	b := m.key(n)
	c := commonPrefix(key, b, min(shared, maxShared))
	switch {
	case c < len(key) && c < len(b):
		return c, b[c] < key[c], false
	case len(key) != len(b):
		return c, len(b) < len(key), false
	}
	return c, m.trailer(n) > t, true
}

// Get returns the newest entry of key whose sequence number is at most seq. hash is
// keys.Hash(key): the caller computes it once for all memtables and tables. The value
// aliases the region.
func (m *Memtable) Get(key []byte, hash uint64, seq keys.SeqNum) (value []byte, t keys.Trailer, found bool) {
	if m.Empty() {
		return nil, 0, false // a store that is only read meets no line of the index
	}
	n, sure := m.find(key, hash)
	switch {
	case n == head && sure:
		return nil, 0, false
	case n != head && m.trailer(n).SeqNum() <= seq:
		return m.value(n), m.trailer(n), true
	}
	// The newest version is too new, or the index does not know.
	p := m.seek(key, keys.SeekTrailer(seq))
	if !p.same {
		return nil, 0, false
	}
	return m.value(p.after), m.trailer(p.after), true
}
