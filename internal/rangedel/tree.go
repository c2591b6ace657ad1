package rangedel

import (
	"bytes"
	"sort"
)

// node is a node of the tree that holds the spans of a Set in order: a leaf has spans, any
// other one kids. All leaves lie at one depth, none is empty, and nothing of it changes. To
// put spans in the place of others copies the nodes on the way to the first of those and
// to the last, whatever lies between.
type node struct {
	lower []byte // where its first span begins
	spans []Span
	kids  []node
}

// fanOut bounds a node. Copies of nodes make the most of what a change costs, their number
// that of a search.
const fanOut = 24

// child returns the place of the last kid that begins at or before key, -1 if all begin
// after it.
func (n *node) child(key []byte) int {
	i, j := 0, len(n.kids)
	for i < j {
		if h := int(uint(i+j) >> 1); bytes.Compare(n.kids[h].lower, key) <= 0 {
			i = h + 1
		} else {
			j = h
		}
	}
	return i - 1
}

// place does it for the spans of a leaf.
func (n *node) place(key []byte) int {
	i, j := 0, len(n.spans)
	for i < j {
		if h := int(uint(i+j) >> 1); bytes.Compare(n.spans[h].Lower, key) <= 0 {
			i = h + 1
		} else {
			j = h
		}
	}
	return i - 1
}

// around returns the last span that begins at or before key, nil if all begin after it, and
// where the next one begins, nil if there is none.
func (n *node) around(key []byte) (span *Span, next []byte) {
	for n.kids != nil {
		i := n.child(key)
		if i+1 < len(n.kids) {
			next = n.kids[i+1].lower
		}
		if i < 0 {
			return nil, next
		}
		n = &n.kids[i]
	}
	i := n.place(key)
	if i+1 < len(n.spans) {
		next = n.spans[i+1].Lower
	}
	if i < 0 {
		return nil, next
	}
	return &n.spans[i], next
}

// ascend yields, in order, the spans that end at key or after it, until yield returns false,
// and reports whether it never did.
func (n *node) ascend(key []byte, yield func(*Span) bool) bool {
	for i := max(0, n.child(key)); i < len(n.kids); i++ {
		if !n.kids[i].ascend(key, yield) {
			return false
		}
	}
	for i := max(0, n.place(key)); i < len(n.spans); i++ {
		if s := &n.spans[i]; bytes.Compare(s.Upper, key) >= 0 && !yield(s) {
			return false
		}
	}
	return true
}

// splice appends to dst what stands for the nodes from left to right, of one depth, when in
// takes the place of the spans that begin within [from, through]; in is not empty.
func splice(dst []node, left, right *node, from, through []byte, in []Span) []node {
	if left.kids == nil {
		i := sort.Search(len(left.spans), func(i int) bool { return bytes.Compare(left.spans[i].Lower, from) >= 0 })
		rest := right.spans[right.place(through)+1:]
		all := make([]Span, 0, i+len(in)+len(rest))
		all = append(append(append(all, left.spans[:i]...), in...), rest...)
		return appendLeaves(dst, all)
	}
	i, j := max(0, left.child(from)), max(0, right.child(through))
	rest := right.kids[j+1:]
	all := make([]node, 0, i+2+len(rest))
	all = splice(append(all, left.kids[:i]...), &left.kids[i], &right.kids[j], from, through, in)
	return appendParents(dst, append(all, rest...))
}

// appendLeaves appends the leaves that hold spans, which it keeps.
func appendLeaves(dst []node, spans []Span) []node {
	for parts := partsOf(len(spans)); parts > 0; parts-- {
		n := (len(spans) + parts - 1) / parts
		dst = append(dst, node{lower: spans[0].Lower, spans: spans[:n:n]})
		spans = spans[n:]
	}
	return dst
}

// appendParents appends the nodes over kids, which it keeps.
func appendParents(dst, kids []node) []node {
	for parts := partsOf(len(kids)); parts > 0; parts-- {
		n := (len(kids) + parts - 1) / parts
		dst = append(dst, node{lower: kids[0].lower, kids: kids[:n:n]})
		kids = kids[n:]
	}
	return dst
}

// partsOf returns how many nodes n spans or kids take. They are given equal parts, so that
// the next that comes to one seldom splits it again.
func partsOf(n int) int { return (n + fanOut - 1) / fanOut }

// rootOf returns the root over nodes of one depth.
func rootOf(nodes []node) node {
	for len(nodes) > 1 {
		nodes = appendParents(nil, nodes)
	}
	root := nodes[0]
	for len(root.kids) == 1 {
		root = root.kids[0]
	}
	return root
}
