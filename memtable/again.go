package memtable

import "github.com/loamdb/loam/internal/keys"

// maxBack is how many nodes before goes back over at most to find those before a tall node. On level i that takes
// about 2^i steps: a node of four levels takes eight, and one in sixteen is taller.
const maxBack = 16

// AddAgain is AddBy for a key that is likely to be there, as one is that is deleted. The hash index knows
// its newest version, and a newer one's place is right before that: most of these need no search, and leave the finger
// where it is. Where the key is not there the miss of the index comes before those of the search, not under them: AddBy
// does the same by a finger most of whose last keys were there.
func (m *Memtable) AddAgain(by int, key []byte, t keys.Trailer, value []byte) {
	m.add(by, true, key, t, value)
}

// before makes p the path of a node for a version of key that is newer than all that are there, without a
// search, and returns the height that it has drawn for it. It reports false, and what that is at least, if the index
// does not know the key, or the way is too long.
//
// What a node before another shares with it is the least of what neighbours in between share, which the links say.
func (m *Memtable) before(p *finger, key []byte, t keys.Trailer, hash uint64) (height int, found bool) {
	x, _ := m.find(key, hash)
	if x == head || m.trailer(x) > t {
		return 1, false
	}
	p.over = x
	budget := m.credit + wordsPerEntry
	limit := min(maxHeight, budget)
	n, shared, next := x, maxShared, x
	height = 1
	for steps := 0; ; height++ {
		// On the way back to the last node before x that is tall enough.
		for n == x || m.heightOf(n) < height {
			if steps++; steps > maxBack {
				return height, false
			}
			n = m.prev(n)
			shared = min(shared, sharedOf(m.link(n, 0)))
		}
		p.node[height-1], p.shared[height-1] = n, shared
		if height > 1 {
			next = nodeRef(m.link(n, height-1) & offsetMask)
		}
		left, right := m.heightOf(n) == height, m.heightOf(next) == height // as drawHeight does
		if height == limit || !left && !right || left != right && !m.coin() {
			break
		}
	}
	m.credit = min(budget-height, maxCredit)
	return height, true
}
