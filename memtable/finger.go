package memtable

import (
	"bytes"
	"math"

	"github.com/loamdb/loam/internal/keys"
)

// Fingers is how many fingers a writer has: see AddBy.
const Fingers = 8

// finger is where the writer was last with this one: the newest of the nodes that it searched a place for, and the path
// that leads to that (M8). Its next insertion starts where the path first leads past the new key, so
// that ascending keys cost a constant, and keys near the last one a short climb.
type finger struct {
	node   [maxHeight]nodeRef
	shared [maxHeight]int

	last       nodeRef // the head while it has inserted nothing: every path is at the head
	lastHeight int

	newest nodeRef // what was inserted last, with a search or without; the head while there is nothing
	again  uint8   // goes up with each key that was there already, and down with each that was not
	run    uint8   // how many keys in a row were above the one before, counted while again is high

	over nodeRef // what is inserted has the user key of this node, if it is not the head
}

const (
	mostAgain = 15 // bounds finger.again
	longRun   = 8  // bounds finger.run
)

// expectsAgain says that the hash index is likely to know the key, because it knew most of the last ones, and that this
// is the shorter way: from the last of keys that ascend, which it counts, the next one is near.
func (m *Memtable) expectsAgain(f *finger, key []byte) bool {
	if f.again <= mostAgain/2 {
		return false
	}
	if bytes.Compare(key, m.key(f.newest)) <= 0 {
		f.run = 0
	} else if f.run < longRun {
		f.run++
	}
	return f.run < longRun
}

// learn takes in that n was inserted, and whether its key was there already.
func (f *finger) learn(n nodeRef, again bool) {
	f.newest = n
	if again {
		f.again = min(f.again+1, mostAgain)
	} else {
		f.again = max(f.again, 1) - 1
	}
}

// locate makes the path of f that of (key, t), which is about to be inserted.
func (m *Memtable) locate(f *finger, key []byte, t keys.Trailer) {
	if f.last == head {
		m.descend(f, key, t, head, int(m.height.Load())-1, 0)
		return
	}
	n, after := m.compareNew(key, t, f.last)
	if after {
		level := m.pass(f, key, n)
		m.descend(f, key, t, f.node[level], level, f.shared[level])
		return
	}
	// The key is before the newest node, and so are all of the path's nodes. One that
	// shares less with the newest node than the key does is before the key, and shares
	// with the key what it shares with the newest node.
	for level := range int(m.height.Load()) {
		if f.shared[level] < n {
			m.descend(f, key, t, f.node[level], level, f.shared[level])
			return
		}
	}
	m.descend(f, key, t, head, int(m.height.Load())-1, 0)
}

// compareNew returns how many bytes the key shares with that of node x, and whether (key, t) sorts after x.
func (m *Memtable) compareNew(key []byte, t keys.Trailer, x nodeRef) (shared int, after bool) {
	b := m.key(x)
	n := commonPrefix(key, b, 0)
	order := bytes.Compare(key[n:], b[n:])
	return n, order > 0 || order == 0 && t < m.trailer(x)
}

// pass makes the path one for a key after the finger's newest node, with which it shares n
// bytes, and returns a level on which the path leads past the key, or the highest.
func (m *Memtable) pass(f *finger, key []byte, n int) int {
	level := 0
	for ; level < f.lastHeight; level++ {
		f.node[level], f.shared[level] = f.last, n
	}
	// Of three keys in order the outer two share the lesser of what neighbours share.
	// Shared lengths never rise with the level.
	for ; level < maxHeight && f.shared[level] > n; level++ {
		f.shared[level] = n
	}
	top := int(m.height.Load()) - 1
	code := makeCode(key, n)
	for level = 0; level < top; level++ {
		if f.shared[level] != n {
			n = f.shared[level]
			code = makeCode(key, n)
		}
		if m.link(f.node[level], level)>>offsetBits > code {
			break
		}
	}
	return level
}

// descend searches (key, t) from a node before it, on a level of that node, with which
// it shares so many bytes, and records the path. It is seek but for the record: one
// function for both would cost readers the stores.
func (m *Memtable) descend(f *finger, key []byte, t keys.Trailer, node nodeRef, level, shared int) {
	code := makeCode(key, shared)
	whole := wholeFrom(key) // from there on what has the same code has the same key, or one behind it
	if t <= m.newest {
		whole = math.MaxInt // and may be newer
	}
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
		if c == code && next != seen && shared < whole {
			n, right, _ := m.compare(key, t, next, shared)
			if right {
				node, shared = next, n
				code = makeCode(key, shared)
				continue
			}
			seen = next
		}
		f.node[level], f.shared[level] = node, shared
		if level == 0 {
			return
		}
		level--
	}
}

// keepUp puts a node that was just inserted behind the path f into the paths of other fingers that it belongs to (M8): on a
// level on which it comes after the same node as theirs, if it is before their newest one.
func (m *Memtable) keepUp(f *finger, key []byte, t keys.Trailer) {
	for i := range m.fingers[:m.inUse] {
		o := &m.fingers[i]
		if o == f || o.last == head {
			continue
		}
		shared := -1
		for level := 0; level < f.lastHeight; level++ {
			if o.node[level] != f.node[level] {
				continue
			}
			if shared < 0 {
				var after bool
				if shared, after = m.compareNew(key, t, o.last); after {
					break
				}
			}
			o.node[level], o.shared[level] = f.last, shared
		}
	}
}
