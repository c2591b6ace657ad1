package memtable

import (
	"bytes"

	"github.com/loamdb/loam/internal/keys"
)

// splice is the writer's finger: the path that led to the newest node (M8). The next
// insertion starts where the path first leads past the new key, so that ascending keys
// cost a constant, and keys near the newest a short climb.
type splice struct {
	node   [maxHeight]nodeRef
	shared [maxHeight]int
}

// locate makes the splice that of (key, t), which is about to be inserted.
func (m *Memtable) locate(key []byte, t keys.Trailer) {
	if m.last == head {
		return // every path is at the head
	}
	s := &m.splice
	x := m.key(m.last)
	n := commonPrefix(key, x, 0)
	order := bytes.Compare(key[n:], x[n:])
	if order > 0 || order == 0 && t < m.trailer(m.last) {
		level := m.pass(key, n)
		m.descend(key, t, s.node[level], level, s.shared[level])
		return
	}
	// The key is before the newest node, and so are all of the path's nodes. One that
	// shares less with the newest node than the key does is before the key, and shares
	// with the key what it shares with the newest node.
	for level := range int(m.height.Load()) {
		if s.shared[level] < n {
			m.descend(key, t, s.node[level], level, s.shared[level])
			return
		}
	}
	m.descend(key, t, head, int(m.height.Load())-1, 0)
}

// pass makes the splice one for a key after the newest node, with which it shares n
// bytes, and returns a level on which the path leads past the key, or the highest.
func (m *Memtable) pass(key []byte, n int) int {
	s := &m.splice
	level := 0
	for ; level < m.lastHeight; level++ {
		s.node[level], s.shared[level] = m.last, n
	}
	// Of three keys in order the outer two share the lesser of what neighbours share.
	// Shared lengths never rise with the level.
	for ; level < maxHeight && s.shared[level] > n; level++ {
		s.shared[level] = n
	}
	top := int(m.height.Load()) - 1
	for level = 0; level < top; level++ {
		if m.link(s.node[level], level)>>offsetBits > makeCode(key, s.shared[level]) {
			break
		}
	}
	return level
}

// descend searches (key, t) from a node before it, on a level of that node, with which
// it shares so many bytes, and records the path. It is seek but for the record: one
// function for both would cost readers the stores.
func (m *Memtable) descend(key []byte, t keys.Trailer, node nodeRef, level, shared int) {
	s := &m.splice
	code := makeCode(key, shared)
	seen := head
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
		if c == code && next != seen {
			n, right, _ := m.compare(key, t, next, shared)
			if right {
				node, shared = next, n
				code = makeCode(key, shared)
				continue
			}
			seen = next
		}
		s.node[level], s.shared[level] = node, shared
		if level == 0 {
			return
		}
		level--
	}
}
