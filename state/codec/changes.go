package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
)

// Changed is a key of two maps whose values in them differ.
type Changed struct {
	// Key is the key, as text.
	Key []byte
	// Old and New are the encodings of its values, of which nobody need have validated the old one.
	Old, New []byte
}

// maxChanges is how many keys Changes returns at most.
const maxChanges = 8

// Changes appends to dst, as slices of the two, what differs between two maps: all other keys have values of the same bytes. It is not ok,
// and says nothing, if not both are maps with the same keys in the same order, or if more differ than it
// counts. doc is an encoding; of old nobody need have found that out, and Changes looks at kinds and lengths alone, where
// the two differ.
func Changes(dst []Changed, old, doc []byte) (all []Changed, ok bool) {
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
		at := v.pos
		if !v.past() {
			return dst, false
		}
		if v.pos <= same {
			w.pos += v.pos - from
			continue
		}
		w.pos += at - from
		was := w.pos
		if len(dst) == maxChanges || !w.past() {
			return dst, false
		}
		dst = append(dst, Changed{Key: key, Old: old[was:w.pos:w.pos], New: doc[at:v.pos:v.pos]})
		rest := old[w.pos:]
		if bytes.Equal(rest, doc[v.pos:]) {
			return dst, true
		}
		same = v.pos + shared(doc[v.pos:], rest)
	}
	return dst, v.pos == len(doc) && w.pos == len(old)
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
