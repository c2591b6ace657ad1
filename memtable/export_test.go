package memtable

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/keys"
)

var errBroken = errors.New("broken invariant")

// Check verifies M1, M3, M4, M8 and the backward links of a list at rest.
func Check(m *Memtable) error {
	if err := CheckFingers(m); err != nil {
		return err
	}
	seen := map[nodeRef]bool{}
	for level := range maxHeight {
		here := map[nodeRef]bool{}
		for a := head; ; {
			link := m.link(a, level)
			b := nodeRef(link & offsetMask)
			if b == head {
				if link != endLink {
					return fmt.Errorf("%w: end of level %d is %x", errBroken, level, link)
				}
				if level == 0 && m.prev(head) != a {
					return fmt.Errorf("%w: last node", errBroken)
				}
				break
			}
			if err := checkLink(m, a, b, link, level); err != nil {
				return err
			}
			if level > 0 && !seen[b] {
				return fmt.Errorf("%w: M3: node %d on level %d only", errBroken, b, level)
			}
			here[b] = true
			a = b
		}
		if len(here) > 0 && level >= int(m.height.Load()) {
			return fmt.Errorf("%w: height", errBroken)
		}
		seen = here
	}
	return nil
}

// Searched reports whether the last insertion by a finger has searched its place.
func Searched(m *Memtable, by int) bool { return m.fingers[by].last == m.fingers[by].newest }

// CheckFingers verifies M8.
func CheckFingers(m *Memtable) error {
	for i := range m.fingers {
		f := &m.fingers[i]
		if f.last == head {
			continue
		}
		key, t := m.key(f.last), m.trailer(f.last)
		for level := range maxHeight {
			at, shared := head, 0
			for {
				next := nodeRef(m.link(at, level) & offsetMask)
				if next == head || keys.Compare(m.key(next), m.trailer(next), key, t) >= 0 {
					break
				}
				at, shared = next, commonPrefix(m.key(next), key, 0)
			}
			if f.node[level] != at || min(f.shared[level], maxShared) != min(shared, maxShared) {
				return fmt.Errorf("%w: M8: finger %d is at %d with %d on level %d, want %d with %d",
					errBroken, i, f.node[level], f.shared[level], level, at, shared)
			}
		}
	}
	return nil
}

func checkLink(m *Memtable, a, b nodeRef, link uint64, level int) error {
	var from []byte
	if a != head {
		from = m.key(a)
		if keys.Compare(from, m.trailer(a), m.key(b), m.trailer(b)) >= 0 {
			return fmt.Errorf("%w: M1: order on level %d", errBroken, level)
		}
	}
	if level == 0 && m.prev(b) != a {
		return fmt.Errorf("%w: backward link of node %d", errBroken, b)
	}
	if want := makeLink(makeCode(m.key(b), commonPrefix(from, m.key(b), 0)), b); link != want {
		return fmt.Errorf("%w: M4: link %x, want %x", errBroken, link, want)
	}
	return nil
}

// Overlap reports whether the two parts of the region meet (M6).
func Overlap(m *Memtable) bool { return m.front+m.credit*8 > m.back }

// Indexed reports whether the hash index knows about the key, be it that it is absent.
func Indexed(m *Memtable, key []byte) bool {
	_, sure := m.find(key, keys.Hash(key))
	return sure
}

// Moves returns how often a search for key moves right.
func Moves(m *Memtable, key []byte) (right int) {
	node := head
	for level := int(m.height.Load()) - 1; level >= 0; level-- {
		for {
			next := nodeRef(m.link(node, level) & offsetMask)
			if next == head || bytes.Compare(m.key(next), key) >= 0 {
				break
			}
			node = next
			right++
		}
	}
	return right
}

// Links returns how many links the nodes have in all.
func Links(m *Memtable) int {
	n := 0
	for level := range maxHeight {
		for a := nodeRef(m.link(head, level) & offsetMask); a != head; a = nodeRef(m.link(a, level) & offsetMask) {
			n++
		}
	}
	return n
}

// SetHook calls store before every store of the writer that readers can see, and load
// before every load of a link, the writer's too. It works in builds with invariants.
func SetHook(m *Memtable, load, store func()) {
	m.hook = func(p point) {
		if p == pointLoad {
			load()
		} else {
			store()
		}
	}
}
