package codec

// decodeOnce decodes p in the pass that validates it, and reports whether it could: where it cannot,
// Validate says why. In two passes, a document of 200 bytes takes a quarter longer.
func decodeOnce(p []byte, lim Limits) (v any, ok bool) {
	if len(p) > lim.MaxBytes {
		return nil, false
	}
	d := once{validator: validator{p: p, nodes: lim.MaxNodes}, room: len(p)}
	if v, ok = d.value(lim.MaxDepth); !ok || d.pos != len(p) {
		return nil, false
	}
	return v, true
}

// once reads values that nobody has validated.
type once struct {
	validator        // of which it uses heads
	text      string // a copy of p, or "" as long as there is none
	// room is how many values lists and maps can still announce. Each is a byte at least, so that they
	// announce no more together than there are bytes, and memory is made for no more than these.
	room int
}

// value reads the value at pos, in which lists and maps may lie depth deep.
func (d *once) value(depth int) (any, bool) {
	at := d.pos
	kind, n, size, err := d.head()
	if err != nil {
		return nil, false
	}
	body := at + size
	d.pos = body
	switch kind {
	case Nil:
		return nil, true
	case Bool:
		return d.p[at] == codeTrue, true
	case Int64:
		if size == 1 {
			return int64(int8(d.p[at])), true
		}
		return intOf(d.p[at], number(d.p[at+1:], uint8(size-1))), true
	case Uint64:
		return number(d.p[at+1:], uint8(size-1)), true
	case Float64:
		if !finite(d.p[at:]) {
			return nil, false
		}
		return floatOf(d.p[at], number(d.p[at+1:], uint8(size-1))), true
	case String:
		return d.string(n)
	case Bytes:
		d.pos = body + n
		return append([]byte{}, d.p[body:d.pos]...), true
	case Time:
		if sec, nanos := timeOf(d.p[at:]); nanos > maxNanos || sec < minUnix || sec > maxUnix {
			return nil, false
		}
		return (&decoder{p: d.p, pos: at}).time(), true
	case List:
		return d.list(n, depth)
	case Map:
		return d.mapOf(n, depth)
	}
	return nil, false
}

// string reads n bytes at pos.
func (d *once) string(n int) (string, bool) {
	from := d.pos
	d.pos += n
	p := d.p[from:d.pos]
	if !validUTF8(p) {
		return "", false
	}
	if len(d.p) > sharedText {
		return string(p), true
	}
	if d.text == "" {
		d.text = string(d.p)
	}
	return d.text[from:d.pos], true
}

func (d *once) list(n, depth int) (any, bool) {
	if d.room -= n; d.room < 0 || depth == 0 {
		return nil, false
	}
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
	if d.room -= 2 * n; d.room < 0 || depth == 0 {
		return nil, false
	}
	m := make(map[string]any, n)
	for range n {
		at := d.pos
		kind, length, size, err := d.head()
		if err != nil || kind != String {
			return nil, false
		}
		d.pos = at + size
		k, ok := d.string(length)
		if !ok {
			return nil, false
		}
		if m[k], ok = d.value(depth - 1); !ok {
			return nil, false
		}
	}
	return m, len(m) == n // else a key is there twice
}
