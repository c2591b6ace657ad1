package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"unicode/utf8"
)

// Validate reports whether p is the encoding of one value within the limits, in one pass and
// before anything of it is decoded. It looks at lengths against the bytes that remain, depth,
// number of nodes, keys that are no strings or twice in a map, UTF-8, floats that are not
// finite, times, extensions, and bytes after the value. Numbers and lengths in more bytes than
// they need, floats of 32 bits and maps in any order are accepted: other writers make them.
//
// It keeps and changes nothing of p, and does not allocate, but for lists of keys, which are
// reused, of 8 bytes for each key of the maps around one place. Errors are *FormatError.
func Validate(p []byte, l *Limits) error {
	_, err := validate(p, l.WithDefaults())
	return err
}

// validate is Validate under limits that may be zero. It returns how many more nodes there may
// have been.
func validate(p []byte, lim Limits) (nodes int, err error) {
	if len(p) > lim.MaxBytes {
		return 0, &FormatError{Offset: lim.MaxBytes, Err: ErrTooLarge}
	}
	v := validator{p: p, nodes: lim.MaxNodes}
	err = v.accept(lim.MaxDepth)
	if err == nil && v.pos != len(p) {
		err = ErrTrailing
	}
	if err != nil {
		return 0, &FormatError{Offset: v.pos, Err: err}
	}
	return v.nodes, nil
}

// span is where a key lies, [from, to).
type span struct{ from, to uint32 }

var spanPool = sync.Pool{New: func() any { return new([]span) }}

const maxPooledSpans = 1 << 13

type validator struct {
	p     []byte
	pos   int    // of what is looked at; where an error is, when there is one
	nodes int    // how many more there may be
	keys  []span // of the maps around pos, so far
}

// accept is value with a list of keys that is reused.
func (v *validator) accept(depth int) error {
	keys := spanPool.Get().(*[]span)
	v.keys = (*keys)[:0]
	err := v.value(depth)
	if cap(v.keys) <= maxPooledSpans {
		*keys = v.keys
		spanPool.Put(keys)
	}
	v.keys = nil
	return err
}

// value accepts the value at pos, in which lists and maps may lie depth deep.
func (v *validator) value(depth int) error {
	kind, n, size, err := v.head()
	if err != nil {
		return err
	}
	body := v.pos + size
	switch kind {
	case List, Map:
		if depth == 0 {
			return ErrTooDeep
		}
		v.pos = body
		if kind == List {
			return v.list(n, depth-1)
		}
		return v.mapOf(n, depth-1)
	case Float64:
		if !finite(v.p[v.pos:]) {
			return ErrNotFinite
		}
	case String:
		if !validUTF8(v.p[body : body+n]) {
			return ErrNotUTF8
		}
	case Time:
		if sec, nanos := timeOf(v.p[v.pos:]); !validTime(sec, nanos) {
			return ErrTimeRange
		}
	}
	v.pos = body + n
	return nil
}

// head reads the first bytes of the value at pos, and counts the value: its kind, how long the
// head is, and how many bytes (of strings and bytes) or values (of lists, pairs of maps) n follow
// it, which are not more than there can be. The head of a number or a time is all of it.
func (v *validator) head() (kind Kind, n, size int, err error) {
	if v.pos >= len(v.p) {
		return 0, 0, 0, ErrTruncated
	}
	if v.nodes--; v.nodes < 0 {
		return 0, 0, 0, ErrTooLarge
	}
	rest := v.p[v.pos:]
	c := rest[0]
	switch kind = kindOf(c); {
	case kind == Invalid:
		return 0, 0, 0, ErrMalformed
	case kind == Time:
		return timeHead(rest)
	case c <= posFixMax || c >= negFixMin:
		return kind, 0, 1, nil
	case c < fixStr:
		n, size = int(c&0x0f), 1
	case c < codeNil:
		n, size = int(c&0x1f), 1
	default:
		argument := sizes[c-codeNil]
		if size = 1 + int(argument); len(rest) < size {
			return 0, 0, 0, ErrTruncated
		}
		if kind < String {
			return kind, 0, size, nil
		}
		// As 64 bits: an int may have 32.
		length := number(rest[1:], argument)
		if length > uint64(len(rest)) {
			return 0, 0, 0, ErrTruncated
		}
		n = int(length)
	}
	// At least a byte for each of them, and two for a pair.
	room := len(rest) - size
	if kind == Map {
		room /= 2
	}
	if n > room {
		return 0, 0, 0, ErrTruncated
	}
	return kind, n, size, nil
}

// timeHead is head for extensions, of which times are the only ones.
func timeHead(rest []byte) (kind Kind, n, size int, err error) {
	switch {
	case rest[0] == ext8 && len(rest) < 2:
		return 0, 0, 0, ErrTruncated
	case rest[0] == fixExt4:
		n, size = 1, 6
	case rest[0] == fixExt8:
		n, size = 1, 10
	case rest[0] == ext8 && rest[1] == 12:
		n, size = 2, 15
	default:
		return 0, 0, 0, ErrExtension
	}
	switch {
	case len(rest) <= n:
		return 0, 0, 0, ErrTruncated
	case rest[n] != timeExt:
		return 0, 0, 0, ErrExtension
	case len(rest) < size:
		return 0, 0, 0, ErrTruncated
	}
	return Time, 0, size, nil
}

// list accepts n values.
func (v *validator) list(n, depth int) error {
	for range n {
		if err := v.value(depth); err != nil {
			return err
		}
	}
	return nil
}

// mapOf accepts n pairs.
func (v *validator) mapOf(n, depth int) error {
	base := len(v.keys)
	ordered := true
	for i := range n {
		kind, length, size, err := v.head()
		if err != nil {
			return err
		}
		if kind != String {
			return ErrMapKey
		}
		from := v.pos + size
		key := v.p[from : from+length]
		if !validUTF8(key) {
			return ErrNotUTF8
		}
		if i > 0 && ordered {
			switch c := bytes.Compare(v.key(v.keys[len(v.keys)-1]), key); {
			case c == 0:
				return ErrDuplicateKey
			case c > 0:
				ordered = false
			}
		}
		v.keys = append(v.keys, span{uint32(from), uint32(from + length)})
		v.pos = from + length
		if err := v.value(depth); err != nil {
			return err
		}
	}
	if !ordered {
		if err := v.unique(v.keys[base:]); err != nil {
			return err
		}
	}
	v.keys = v.keys[:base]
	return nil
}

// unique sorts keys and reports the first that is there twice.
func (v *validator) unique(keys []span) error {
	slices.SortFunc(keys, func(a, b span) int { return bytes.Compare(v.key(a), v.key(b)) })
	for i := 1; i < len(keys); i++ {
		if bytes.Equal(v.key(keys[i-1]), v.key(keys[i])) {
			v.pos = int(max(keys[i-1].from, keys[i].from))
			return ErrDuplicateKey
		}
	}
	return nil
}

func (v *validator) key(s span) []byte { return v.p[s.from:s.to] }

// validUTF8 is utf8.Valid, quicker for what is short and ASCII.
func validUTF8(p []byte) bool {
	const notASCII = 0x8080808080808080 // a bit of each of eight bytes
	rest := p
	for ; len(rest) >= 8; rest = rest[8:] {
		if binary.NativeEndian.Uint64(rest)&notASCII != 0 {
			return utf8.Valid(rest)
		}
	}
	if len(p) >= 8 {
		return binary.NativeEndian.Uint64(p[len(p)-8:])&notASCII == 0 || utf8.Valid(rest)
	}
	for _, c := range rest {
		if c >= utf8.RuneSelf {
			return utf8.Valid(rest)
		}
	}
	return true
}

// finite reports whether the float at the front of p, all of which is there, is neither a NaN
// nor infinite: not all bits of its exponent are set.
func finite(p []byte) bool {
	const exp32, exp64 = 0x7f800000, 0x7ff0000000000000
	if p[0] == float32c {
		return number(p[1:], 4)&exp32 != exp32
	}
	return number(p[1:], 8)&exp64 != exp64
}

// timeOf returns seconds and nanoseconds of the time that is encoded at the front of p.
func timeOf(p []byte) (sec int64, nanos uint32) {
	switch p[0] {
	case fixExt4:
		return int64(number(p[2:], 4)), 0
	case fixExt8:
		n := number(p[2:], 8)
		return int64(n & (1<<34 - 1)), uint32(n >> 34)
	}
	return int64(number(p[7:], 8)), uint32(number(p[3:], 4))
}

// validTime reports whether that is a time which values may have.
func validTime(sec int64, nanos uint32) bool {
	return nanos <= maxNanos && sec >= minUnix && sec <= maxUnix
}

// skip returns how long the value at the front of p is. p must be accepted by Validate.
func skip(p []byte) int {
	if n := soon(p); n > 0 {
		return n
	}
	v := validator{p: p, nodes: math.MaxInt}
	v.pass()
	return v.pos
}

// soon returns how long the value at the front of p is, all of which is there, where that is soon told, as of most
// values; else 0.
func soon(p []byte) int {
	n := 0
	switch c := p[0]; {
	case c <= posFixMax || c >= negFixMin:
		return 1
	case c < fixStr:
	case c < codeNil:
		n = 1 + int(c&0x1f)
	case c == str8 && len(p) > 1:
		n = 2 + int(p[1])
	case kinds[(c-codeNil)&31] < String && c != codeNil+1:
		n = 1 + int(sizes[(c-codeNil)&31])
	}
	if n > len(p) {
		return 0
	}
	return n
}

// pass goes past the value at pos, of which it looks at kinds and lengths alone, and reports whether there is one.
func (v *validator) pass() bool {
	for open := 1; open > 0; open-- {
		kind, n, size, err := v.head()
		if err != nil {
			return false
		}
		switch v.pos += size; kind {
		case String, Bytes:
			v.pos += n
		case List:
			open += n
		case Map:
			open += 2 * n
		}
		if open > len(v.p)-v.pos+1 {
			return false // each takes a byte
		}
	}
	return true
}

// find goes to the value of a key among the n pairs at pos, past as many of them as need be. It is not ok if they are
// no pairs.
func (v *validator) find(key string, n int) (found, ok bool) {
	for range n {
		k, ok := v.nextKey()
		switch {
		case !ok:
			return false, false
		case string(k) == key:
			return true, true
		case !v.past():
			return false, false
		}
	}
	return false, true
}

// nextKey goes past the key at pos, and returns it.
func (v *validator) nextKey() (key []byte, ok bool) {
	n, size := 0, 1
	if rest := v.p[v.pos:]; len(rest) > 0 && rest[0] >= fixStr && rest[0] < codeNil && int(rest[0]&0x1f) < len(rest) {
		n = int(rest[0] & 0x1f) // as most keys
	} else {
		var kind Kind
		var err error
		if kind, n, size, err = v.head(); err != nil || kind != String {
			return nil, false
		}
	}
	from := v.pos + size
	v.pos = from + n
	return v.p[from:v.pos:v.pos], true
}

// past is pass for a value that may be missing, and that takes no look at its like most often.
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
