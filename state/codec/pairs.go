package codec

import (
	"slices"
	"strings"
)

// entry is a pair of a map.
type entry struct {
	key   string
	value any
}

// sortEntries sorts the pairs of a map by their keys.
func sortEntries(entries []entry) {
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
}

// pairs are those of a map that is small, as maps mostly are. They are sorted as numbers, of which each is the
// first seven bytes of a key and the pair's place: only keys that begin alike are compared as such. Of a map of
// eight pairs that takes 180 ns, 270 with sortEntries.
type pairs struct {
	n       int
	order   [smallMap]uint64
	entries [smallMap]entry // as they were put
}

// smallMap is how many pairs a small map has at most.
const smallMap = 24

// put takes in the pair that stands behind the others in entries. The numbers are kept in order without a branch on
// what they are, which nobody could predict: a map yields its pairs in any order.
func (p *pairs) put() {
	at := p.n
	x := word(p.entries[at].key)&^0xff | uint64(at)
	order := p.order[:at]
	for i, o := range order {
		order[i], x = min(o, x), max(o, x)
	}
	p.order[at] = x
	p.n++
}

// sort puts those in order whose keys begin alike, after the last put.
func (p *pairs) sort() {
	for i := 1; i < p.n; i++ {
		for j := i; j > 0 && p.order[j]>>8 == p.order[j-1]>>8 && p.at(j).key < p.at(j-1).key; j-- {
			p.order[j], p.order[j-1] = p.order[j-1], p.order[j]
		}
	}
}

// at returns the i-th of the pairs.
func (p *pairs) at(i int) *entry { return &p.entries[p.order[i]&0xff] }
