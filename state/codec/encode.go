package codec

import (
	"encoding/binary"
	"math"
	"time"
)

// Append appends the encoding of v to dst and returns the extended slice. v may be a value, or
// of any Go type that amounts to one:
//
//   - bool, string, signed and unsigned integers, floats, and named types of them;
//   - slices and arrays: lists, but bytes of []byte and [N]byte;
//   - maps with keys of a string type;
//   - structs: maps of their exported fields, named and omitted as their msgpack tags say;
//   - pointers and interfaces: what they lead to, or nil;
//   - types with methods of their own, docs/values.md.
//
// Equal values have equal encodings. A value costs no allocation beyond dst, Go types of other
// kinds some. v is not changed or kept. On an error dst is returned as it was, in its old
// length. Errors are *ValueError: ErrTooLarge, ErrTooDeep, ErrNotFinite, ErrNotUTF8, ErrTimeRange,
// ErrType, ErrCustom.
func Append(dst []byte, v any, l *Limits) ([]byte, error) { return appendValue(dst, v, l, false) }

// AppendUnordered is Append without the sorting: keys of a map[string]any come in any order, so that equal values need
// not have equal encodings. It is for what stays in memory; what reads bytes reads these.
func AppendUnordered(dst []byte, v any, l *Limits) ([]byte, error) {
	return appendValue(dst, v, l, true)
}

func appendValue(dst []byte, v any, l *Limits, unordered bool) ([]byte, error) {
	lim := l.WithDefaults()
	e := encoder{dst: dst, end: len(dst) + lim.MaxBytes, nodes: lim.MaxNodes - 1, lim: lim, unordered: unordered}
	if err := e.value(v, lim.MaxDepth); err != nil {
		return dst, err
	}
	return e.dst, nil
}

type encoder struct {
	dst       []byte
	end       int // the length that dst may reach
	nodes     int // how many more there may be than lists and maps have announced
	hops      int // pointers that lead to what is to be appended, within one list or map
	lim       Limits
	unordered bool
}

// value appends any Go value, within which lists and maps may lie depth deep.
func (e *encoder) value(v any, depth int) error {
	if s, ok := v.(string); ok { // as most are
		return e.string(s)
	}
	switch v := v.(type) {
	case nil:
		return e.scalar(codeNil)
	case bool:
		return e.scalar(boolCode(v))
	case int64:
		return e.int(v)
	case uint64:
		return e.uint(v)
	case float64:
		return e.float(v)
	case []byte:
		return e.bytes(v)
	case time.Time:
		return e.time(v)
	case []any:
		return e.list(v, depth)
	case map[string]any:
		return e.mapOf(v, depth)
	case int:
		return e.int(int64(v))
	}
	return e.reflected(v, depth)
}

// fits comes after whatever is appended, and stops what has grown too large.
func (e *encoder) fits() error {
	if len(e.dst) > e.end {
		return e.tooLarge()
	}
	return nil
}

// announce comes before a list or a map: it takes the nodes within off what there may be.
func (e *encoder) announce(nodes int) error {
	e.hops = 0
	if e.nodes -= nodes; e.nodes < 0 {
		return e.tooLarge()
	}
	return nil
}

func (e *encoder) tooLarge() error {
	if e.nodes < 0 {
		return valueError(ErrTooLarge, "more than %d nodes", e.lim.MaxNodes)
	}
	return valueError(ErrTooLarge, "more than %d bytes", e.lim.MaxBytes)
}

func (e *encoder) tooDeep() error {
	return valueError(ErrTooDeep, "deeper than %d", e.lim.MaxDepth)
}

func (e *encoder) scalar(c byte) error {
	e.dst = append(e.dst, c)
	return e.fits()
}

func boolCode(v bool) byte {
	if v {
		return codeTrue
	}
	return codeFalse
}

func (e *encoder) int(n int64) error {
	switch {
	case n >= -32 && n <= posFixMax:
		e.dst = append(e.dst, byte(n))
	case n == int64(int8(n)):
		e.dst = append(e.dst, int8c, byte(n))
	case n == int64(int16(n)):
		e.dst = binary.BigEndian.AppendUint16(append(e.dst, int16c), uint16(n))
	case n == int64(int32(n)):
		e.dst = binary.BigEndian.AppendUint32(append(e.dst, int32c), uint32(n))
	default:
		e.dst = binary.BigEndian.AppendUint64(append(e.dst, int64c), uint64(n))
	}
	return e.fits()
}

func (e *encoder) uint(n uint64) error {
	switch {
	case n <= math.MaxUint8:
		e.dst = append(e.dst, uint8c, byte(n))
	case n <= math.MaxUint16:
		e.dst = binary.BigEndian.AppendUint16(append(e.dst, uint16c), uint16(n))
	case n <= math.MaxUint32:
		e.dst = binary.BigEndian.AppendUint32(append(e.dst, uint32c), uint32(n))
	default:
		e.dst = binary.BigEndian.AppendUint64(append(e.dst, uint64c), n)
	}
	return e.fits()
}

func (e *encoder) float(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return &ValueError{Err: ErrNotFinite}
	}
	e.dst = binary.BigEndian.AppendUint64(append(e.dst, float64c), math.Float64bits(f))
	return e.fits()
}

func (e *encoder) string(s string) error {
	// Before it is looked at: what is far too large is refused at once.
	if len(s) > e.lim.MaxBytes {
		return e.tooLarge()
	}
	if !validString(s) {
		return &ValueError{Err: ErrNotUTF8}
	}
	e.head(len(s), 31, fixStr, str8, str16, str32)
	e.dst = append(e.dst, s...)
	return e.fits()
}

func (e *encoder) bytes(b []byte) error {
	if len(b) > e.lim.MaxBytes {
		return e.tooLarge()
	}
	e.head(len(b), -1, 0, bin8, bin16, bin32)
	e.dst = append(e.dst, b...)
	return e.fits()
}

// head appends the head of what has n parts: one byte up to fixMax, else the code of 8 bits, if
// there is one, of 16 or of 32.
func (e *encoder) head(n, fixMax int, fix, c8, c16, c32 byte) {
	switch {
	case n <= fixMax:
		e.dst = append(e.dst, fix|byte(n))
	case n <= math.MaxUint8 && c8 != 0:
		e.dst = append(e.dst, c8, byte(n))
	case n <= math.MaxUint16:
		e.dst = binary.BigEndian.AppendUint16(append(e.dst, c16), uint16(n))
	default:
		e.dst = binary.BigEndian.AppendUint32(append(e.dst, c32), uint32(n))
	}
}

func (e *encoder) time(t time.Time) error {
	sec, nanos := t.Unix(), t.Nanosecond()
	if sec < minUnix || sec > maxUnix {
		return &ValueError{Err: ErrTimeRange}
	}
	switch {
	case nanos == 0 && sec == int64(uint32(sec)):
		e.dst = binary.BigEndian.AppendUint32(append(e.dst, fixExt4, timeExt), uint32(sec))
	case sec >= 0 && sec < 1<<34:
		e.dst = binary.BigEndian.AppendUint64(append(e.dst, fixExt8, timeExt), uint64(nanos)<<34|uint64(sec))
	default:
		e.dst = binary.BigEndian.AppendUint32(append(e.dst, ext8, 12, timeExt), uint32(nanos))
		e.dst = binary.BigEndian.AppendUint64(e.dst, uint64(sec))
	}
	return e.fits()
}

func (e *encoder) listHead(n int) error {
	if err := e.announce(n); err != nil {
		return err
	}
	e.head(n, 15, fixList, 0, list16, list32)
	return e.fits()
}

func (e *encoder) mapHead(n int) error {
	if err := e.announce(2 * n); err != nil {
		return err
	}
	e.head(n, 15, fixMap, 0, map16, map32)
	return e.fits()
}

func (e *encoder) list(list []any, depth int) error {
	if depth == 0 {
		return e.tooDeep()
	}
	if err := e.listHead(len(list)); err != nil {
		return err
	}
	for i, v := range list {
		if err := e.value(v, depth-1); err != nil {
			return InIndex(err, i)
		}
	}
	return nil
}

func (e *encoder) mapOf(m map[string]any, depth int) error {
	if depth == 0 {
		return e.tooDeep()
	}
	if err := e.mapHead(len(m)); err != nil {
		return err
	}
	switch {
	case e.unordered:
		for k, v := range m {
			if err := e.pair(k, v, depth); err != nil {
				return err
			}
		}
		return nil
	case len(m) > smallMap:
		return e.largeMap(m, depth)
	}
	return e.fewPairs(m, depth)
}

// fewPairs appends the pairs of a small map.
func (e *encoder) fewPairs(m map[string]any, depth int) error {
	var p pairs
	for k, v := range m {
		p.entries[p.n] = entry{k, v} // here, where the compiler sees that it is on the stack
		p.put()
	}
	p.sort()
	for i := range p.n {
		at := p.at(i)
		if err := e.pair(at.key, at.value, depth); err != nil {
			return err
		}
	}
	return nil
}

// largeMap appends the pairs of a map of any size.
func (e *encoder) largeMap(m map[string]any, depth int) error {
	entries := make([]entry, 0, len(m))
	for k, v := range m {
		entries = append(entries, entry{k, v})
	}
	sortEntries(entries)
	for i := range entries {
		if err := e.pair(entries[i].key, entries[i].value, depth); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) pair(key string, value any, depth int) error {
	if err := e.string(key); err != nil {
		return InKey(err, key)
	}
	if err := e.value(value, depth-1); err != nil {
		return InKey(err, key)
	}
	return nil
}
