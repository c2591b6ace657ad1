package codec

import (
	"math"
	"time"
)

// Decode returns the value whose encoding p is, as values are: nil, bool, int64, uint64,
// float64, string, []byte, time.Time in UTC, []any, map[string]any. It accepts what Validate
// accepts, and allocates no more than that may take. The value shares nothing with p; of a value of
// at most 4 KiB all strings share one copy of it. Errors are *FormatError.
func Decode(p []byte, l *Limits) (any, error) {
	if v, ok := decodeOnce(p, l.WithDefaults()); ok {
		return v, nil
	}
	if err := Validate(p, l); err != nil { // which says what is wrong, and where
		return nil, err
	}
	d := decoder{p: p}
	return d.value(), nil
}

// sharedText is the longest encoding of which one copy serves all strings: one allocation
// instead of many, and at most this much kept alive by a string of one byte.
const sharedText = 4 << 10

// decoder reads what Validate has accepted: nothing in it can fail.
type decoder struct {
	p    []byte
	text string // a copy of p, or "" as long as there is none
	pos  int
}

// value reads the value at pos.
func (d *decoder) value() any {
	c := d.p[d.pos]
	switch kindOf(c) {
	case Bool:
		d.pos++
		return c == codeTrue
	case Int64:
		return d.int()
	case Uint64:
		return d.uint()
	case Float64:
		return d.float()
	case String:
		return d.string()
	case Bytes:
		return append([]byte{}, d.raw()...)
	case Time:
		return d.time()
	case List:
		n := d.length()
		list := make([]any, n)
		for i := range list {
			list[i] = d.value()
		}
		return list
	case Map:
		n := d.length()
		m := make(map[string]any, n)
		for range n {
			k := d.string()
			m[k] = d.value()
		}
		return m
	}
	d.pos++
	return nil
}

// arg reads what follows the first byte, a number or a length, as it is.
func (d *decoder) arg() (c byte, n uint64) {
	c = d.p[d.pos]
	size := sizes[(c-codeNil)&31]
	n = number(d.p[d.pos+1:], size)
	d.pos += 1 + int(size)
	return c, n
}

func (d *decoder) int() int64 {
	if c := d.p[d.pos]; c <= posFixMax || c >= negFixMin {
		d.pos++
		return int64(int8(c))
	}
	return intOf(d.arg())
}

// intOf returns the integer whose first byte is c, with the number n behind it.
func intOf(c byte, n uint64) int64 {
	switch c {
	case int8c:
		return int64(int8(n))
	case int16c:
		return int64(int16(n))
	case int32c:
		return int64(int32(n))
	default:
		return int64(n)
	}
}

func (d *decoder) uint() uint64 {
	_, n := d.arg()
	return n
}

func (d *decoder) float() float64 { return floatOf(d.arg()) }

// floatOf returns the float whose first byte is c, with the bits n behind it.
func floatOf(c byte, n uint64) float64 {
	if c == float32c {
		return float64(math.Float32frombits(uint32(n)))
	}
	return math.Float64frombits(n)
}

// length reads the head of a list or map, a string or bytes.
func (d *decoder) length() int {
	switch c := d.p[d.pos]; {
	case c < fixStr:
		d.pos++
		return int(c & 0x0f)
	case c < codeNil:
		d.pos++
		return int(c & 0x1f)
	}
	_, n := d.arg()
	return int(n)
}

// raw reads a string or bytes, without a copy.
func (d *decoder) raw() []byte {
	n := d.length()
	p := d.p[d.pos : d.pos+n]
	d.pos += n
	return p
}

func (d *decoder) string() string {
	p := d.raw()
	if len(d.p) > sharedText {
		return string(p)
	}
	if d.text == "" {
		d.text = string(d.p)
	}
	return d.text[d.pos-len(p) : d.pos]
}

func (d *decoder) time() time.Time {
	size := 15
	switch d.p[d.pos] {
	case fixExt4:
		size = 6
	case fixExt8:
		size = 10
	}
	sec, nanos := timeOf(d.p[d.pos : d.pos+size])
	d.pos += size
	return timeAt(sec, nanos)
}

func timeAt(sec int64, nanos uint32) time.Time { return time.Unix(sec, int64(nanos)).UTC() }
