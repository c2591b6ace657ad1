package lsm

import (
	"bytes"
	"slices"
)

// watchIndex finds the watchers that a key or a range concerns: a search tree over the lower
// bounds of what they watch, each node with the greatest upper bound below it, laid out as a
// sorted slice. Watchers come and go seldom beside commits, so it is built anew when it is
// needed after a change.
type watchIndex struct {
	watchers map[*Watcher]struct{}
	stale    bool
	nodes    []watchNode
}

type watchNode struct {
	span
	w     *Watcher
	limit []byte // the greatest upper bound of the nodes below this one, and of itself
}

// add adds a watcher, or takes note that its spans have changed.
func (x *watchIndex) add(w *Watcher) {
	if x.watchers == nil {
		x.watchers = map[*Watcher]struct{}{}
	}
	x.watchers[w] = struct{}{}
	x.stale = true
}

func (x *watchIndex) remove(w *Watcher) {
	delete(x.watchers, w)
	x.stale, x.nodes = true, nil
}

// build brings the nodes up to date.
func (x *watchIndex) build() {
	if !x.stale {
		return
	}
	x.stale, x.nodes = false, nil
	for w := range x.watchers {
		for _, s := range w.spans {
			x.nodes = append(x.nodes, watchNode{span: s, w: w})
		}
	}
	slices.SortFunc(x.nodes, func(a, b watchNode) int { return bytes.Compare(a.lower, b.lower) })
	setLimits(x.nodes)
}

// setLimits works out the limits of a tree, whose root is the middle of its nodes.
func setLimits(nodes []watchNode) (limit []byte) {
	if len(nodes) == 0 {
		return nil
	}
	mid := len(nodes) / 2
	limit = nodes[mid].upper
	for _, below := range [][]watchNode{nodes[:mid], nodes[mid+1:]} {
		if l := setLimits(below); bytes.Compare(l, limit) > 0 {
			limit = l
		}
	}
	nodes[mid].limit = limit
	return limit
}

// visitKey calls f for every watcher that the key concerns.
func (x *watchIndex) visitKey(key []byte, f func(*Watcher)) {
	x.build()
	visitNodes(x.nodes, key, func(lower []byte) bool { return bytes.Compare(lower, key) <= 0 }, f)
}

// visit calls f for every watcher that something in the span may concern, some twice.
func (x *watchIndex) visit(s span, f func(*Watcher)) {
	x.build()
	visitNodes(x.nodes, s.lower, func(lower []byte) bool { return bytes.Compare(lower, s.upper) < 0 }, f)
}

// visitNodes calls f for nodes that end behind from and begin where begins says.
func visitNodes(nodes []watchNode, from []byte, begins func(lower []byte) bool, f func(*Watcher)) {
	for len(nodes) > 0 {
		mid := len(nodes) / 2
		n := &nodes[mid]
		if bytes.Compare(n.limit, from) <= 0 {
			return
		}
		visitNodes(nodes[:mid], from, begins, f)
		if !begins(n.lower) {
			return
		}
		if bytes.Compare(from, n.upper) < 0 {
			f(n.w)
		}
		nodes = nodes[mid+1:]
	}
}
