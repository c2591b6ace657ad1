package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
)

// maxChanged is how many keys Changed returns at most.
const maxChanged = 8

// Changed appends to dst the keys of the pairs in which two maps differ, slices of doc, and leaves out all whose
// values have the same bytes. It is not ok, and says nothing, if not both are maps with the same keys in the same order, or if more
// differ than it counts. doc is an encoding; of old nobody need have found that out, and Changed looks at kinds and
// lengths alone, where the two differ.
func Changed(dst [][]byte, old, doc []byte) (keys [][]byte, ok bool) {
	// What v has gone past in doc, w has in old; from there to same the two have the same bytes.
	v, w := validator{p: doc, nodes: math.MaxInt}, validator{p: old, nodes: math.MaxInt}
	kind, pairs, size, err := v.head()
	if err != nil || kind != Map || !bytes.HasPrefix(old, doc[:size]) {
		return dst, false
	}
	v.pos, w.pos = size, size
	same := size + shared(doc[size:], old[size:])
	for range pairs {
		from := v.pos
		key, ok := v.nextKey()
		if !ok || v.pos > same {
			return dst, false
		}
		w.pos += v.pos - from
		from = v.pos
		if !v.past() {
			return dst, false
		}
		if v.pos <= same {
			w.pos += v.pos - from
			continue
		}
		if len(dst) == maxChanged || !w.past() {
			return dst, false
		}
		dst = append(dst, key)
		rest := old[w.pos:]
		if bytes.Equal(rest, doc[v.pos:]) {
			return dst, true
		}
		same = v.pos + shared(doc[v.pos:], rest)
	}
	return dst, v.pos == len(doc) && w.pos == len(old)
}

// nextKey goes past the key at pos, and returns it.
func (v *validator) nextKey() (key []byte, ok bool) {
	kind, n, size, err := v.head()
	if err != nil || kind != String {
		return nil, false
	}
	from := v.pos + size
	v.pos = from + n
	return v.p[from:v.pos:v.pos], true
}

// past is pass for a value that may be missing, and most of which take no look at their like.
func (v *validator) past() bool {
	if v.pos >= len(v.p) {
		return false
	}
	if n := soon(v.p[v.pos:]); n > 0 {
		v.pos += n
		return true
	}
	return v.pass()
}

// shared returns how many leading bytes a and b share.
func shared(a, b []byte) int {
	n, limit := 0, min(len(a), len(b))
	for ; n+8 <= limit; n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
	}
	for n < limit && a[n] == b[n] {
		n++
	}
	return n
}
