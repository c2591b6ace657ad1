package codec

import "math"

// decodeOnce decodes p in the pass that validates it, and reports whether it could: where it cannot,
// Validate says why. In two passes, a document of 200 bytes takes a third longer.
func decodeOnce(p []byte, lim Limits) (v any, ok bool) {
	if len(p) > lim.MaxBytes {
		return nil, false
	}
	d := once{validator: validator{p: p, nodes: lim.MaxNodes}, room: min(len(p), lim.MaxNodes-1)}
	if v, ok = d.value(lim.MaxDepth); !ok || d.pos != len(p) {
		return nil, false
	}
	return v, true
}

// once reads values that nobody has validated.
type once struct {
	validator        // of which it uses what is looked at
	text      string // a copy of p, or "" as long as there is none
	// room is how many values lists and maps can still announce: no more together than there may be nodes, and
	// no more than there are bytes, since each is a byte at least. Memory is made for no more than these.
	room int
}

// value reads the value at pos, in which lists and maps may lie depth deep.
func (d *once) value(depth int) (any, bool) {
	c, ok := d.first()
	if !ok {
		return nil, false
	}
	switch { // as most values begin
	case c <= posFixMax || c >= negFixMin:
		return int64(int8(c)), true
	case c < fixList:
		return d.mapOf(int(c&0x0f), depth)
	case c < fixStr:
		return d.list(int(c&0x0f), depth)
	case c < codeNil:
		return d.string(int(c & 0x1f))
	}
	return d.long(c, depth)
}

// first counts the value at pos, and goes past its first byte.
func (d *once) first() (c byte, ok bool) {
	if d.nodes--; d.nodes < 0 || d.pos >= len(d.p) {
		return 0, false
	}
	d.pos++
	return d.p[d.pos-1], true
}

// long reads the value of which the first byte c, one of c0 to df, is in front of pos.
func (d *once) long(c byte, depth int) (any, bool) {
	kind := kinds[c-codeNil]
	if kind == Time {
		return d.time()
	}
	n, ok := d.arg(c)
	if !ok {
		return nil, false
	}
	switch kind {
	case Nil:
		return nil, true
	case Bool:
		return c == codeTrue, true
	case Int64:
		return intOf(c, n), true
	case Uint64:
		return n, true
	case Float64:
		f := floatOf(c, n)
		return f, !math.IsNaN(f) && !math.IsInf(f, 0)
	case String:
		return d.string(d.length(n))
	case Bytes:
		return d.bytes(d.length(n))
	case List:
		return d.list(d.length(n), depth)
	case Map:
		return d.mapOf(d.length(n), depth)
	}
	return nil, false
}

// arg reads the number or the length that follows c, one of c0 to df, at pos.
func (d *once) arg(c byte) (n uint64, ok bool) {
	size := sizes[c-codeNil]
	rest := d.p[d.pos:]
	if len(rest) < int(size) {
		return 0, false
	}
	d.pos += int(size)
	return number(rest, size), true
}

// length returns a length as an int, which may have 32 bits: what is too much stays too much.
func (d *once) length(n uint64) int { return int(min(n, uint64(len(d.p)))) }

// key reads the key of a map at pos.
func (d *once) key() (string, bool) {
	c, ok := d.first()
	if !ok || kindOf(c) != String {
		return "", false
	}
	if c < codeNil {
		return d.string(int(c & 0x1f))
	}
	n, ok := d.arg(c)
	if !ok {
		return "", false
	}
	return d.string(d.length(n))
}

func (d *once) bytes(n int) (any, bool) {
	from := d.pos
	if n > len(d.p)-from {
		return nil, false
	}
	d.pos += n
	return append([]byte{}, d.p[from:d.pos]...), true
}

// time reads the time of which the first byte is in front of pos.
func (d *once) time() (any, bool) {
	p := d.p[d.pos-1:]
	_, _, size, err := timeHead(p)
	if err != nil {
		return nil, false
	}
	d.pos += size - 1
	sec, nanos := timeOf(p)
	if !validTime(sec, nanos) {
		return nil, false
	}
	return timeAt(sec, nanos), true
}

// string reads n bytes at pos, which need not be there.
func (d *once) string(n int) (string, bool) {
	from := d.pos
	if n > len(d.p)-from {
		return "", false
	}
	d.pos += n
	s := d.copied(from, d.pos)
	return s, validString(s)
}

// copied returns a copy of p[from:to].
func (d *once) copied(from, to int) string {
	if len(d.p) > sharedText {
		return string(d.p[from:to])
	}
	if d.text == "" {
		d.text = string(d.p)
	}
	return d.text[from:to]
}

func (d *once) list(n, depth int) (any, bool) {
	if n > d.room || depth == 0 {
		return nil, false
	}
	d.room -= n
	list := make([]any, n)
	for i := range list {
		var ok bool
		if list[i], ok = d.value(depth - 1); !ok {
			return nil, false
		}
	}
	return list, true
}

func (d *once) mapOf(n, depth int) (any, bool) {
	if n > d.room/2 || depth == 0 {
		return nil, false
	}
	d.room -= 2 * n
	m := make(map[string]any, n)
	for range n {
		k, ok := d.key()
		if !ok {
			return nil, false
		}
		if m[k], ok = d.value(depth - 1); !ok {
			return nil, false
		}
	}
	return m, len(m) == n // else a key is there twice
}
