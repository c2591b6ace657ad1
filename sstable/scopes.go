package sstable

import "bytes"

// scopeCounter adds up what a table holds of each scope. Keys come in order, so that
// one scope is current at a time; it is listed when it ends, if it is large.
type scopeCounter struct {
	prefix         []byte
	entries, bytes uint64
	omitted        bool // a small scope was left out
}

// enter notes that the next entries are in the scope of prefix.
func (c *scopeCounter) enter(p *Properties, prefix []byte, large int) {
	if bytes.Equal(prefix, c.prefix) {
		return
	}
	c.leave(p, large)
	c.prefix = append(c.prefix[:0], prefix...)
}

// leave ends the current scope.
func (c *scopeCounter) leave(p *Properties, large int) {
	switch {
	case c.bytes > uint64(large):
		p.Scopes = append(p.Scopes, ScopeUsage{bytes.Clone(c.prefix), c.entries, c.bytes})
	case c.entries > 0:
		c.omitted = true
	}
	c.entries, c.bytes = 0, 0
}

// finish ends the last scope.
func (c *scopeCounter) finish(p *Properties, large int) {
	c.leave(p, large)
	p.ScopesExact = !c.omitted
}

// scopeWalk adds up, for Verify, what a table holds of the scopes that its properties
// list. It does not know the lengths of prefixes: that no prefix begins another's tells
// which entries are in a listed scope.
type scopeWalk struct {
	listed []ScopeUsage
	seen   []ScopeUsage
	next   int  // the first listed scope that begins above the current key
	in     bool // the current key is in the scope before next
}

func newScopeWalk(listed []ScopeUsage) scopeWalk {
	return scopeWalk{listed: listed, seen: make([]ScopeUsage, len(listed))}
}

// enter notes that the next entries are of a new key, above those before it.
func (w *scopeWalk) enter(key []byte) {
	for w.next < len(w.listed) && bytes.Compare(w.listed[w.next].Prefix, key) <= 0 {
		w.next++
	}
	w.in = w.next > 0 && bytes.HasPrefix(key, w.listed[w.next-1].Prefix)
}

func (w *scopeWalk) count(keyLen, valueLen int) {
	if w.in {
		s := &w.seen[w.next-1]
		s.Entries++
		s.Bytes += uint64(keyLen) + uint64(valueLen)
	}
}

// agree reports whether p lists what was seen, and rightly says that it lists all.
func (w *scopeWalk) agree(p *Properties) bool {
	entries := uint64(0)
	for i := range w.listed {
		if w.listed[i].Entries != w.seen[i].Entries || w.listed[i].Bytes != w.seen[i].Bytes {
			return false
		}
		entries += w.seen[i].Entries
	}
	if p.ScopesExact {
		return entries == p.Entries
	}
	return len(w.listed) == 0 || entries < p.Entries // else there may have been no scopes at all
}
