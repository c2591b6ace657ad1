package rangedel

import "bytes"

// InShape reports whether the tree is one: leaves at one depth, no node empty or too large,
// and the bounds and counts what they should be.
func (s *Set) InShape() bool {
	if s == nil {
		return true
	}
	pairs, deepest := 0, 0
	for _, span := range s.Spans() {
		pairs += len(span.Seqs)
		deepest = max(deepest, len(span.Seqs))
	}
	return s.root.height() >= 0 && pairs == s.pairs && deepest <= s.deepest && len(s.root.kids) != 1
}

// height is that of a node, -1 if it is none.
func (n *node) height() int {
	if n.kids == nil {
		if len(n.spans) == 0 || len(n.spans) > fanOut || !bytes.Equal(n.lower, n.spans[0].Lower) {
			return -1
		}
		return 0
	}
	h := n.kids[0].height()
	for i := range n.kids {
		if n.kids[i].height() != h {
			return -1
		}
	}
	if h < 0 || len(n.kids) > fanOut || len(n.spans) > 0 || !bytes.Equal(n.lower, n.kids[0].lower) {
		return -1
	}
	return h + 1
}
