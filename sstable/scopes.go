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
