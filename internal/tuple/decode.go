package tuple

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Value is a decoded value. Strings, bytes and tuples alias the input of Decode and
// are valid as long as it is. The zero Value is nil.
//
// Each accessor is for one kind and returns the zero value for the others.
type Value struct {
	kind  Kind
	num   uint64 // bool, int64, uint64, float64 bits, seconds
	nanos uint32 // time
	body  []byte // strings and bytes still escaped; a tuple's values
}

// Kind returns the value's kind.
func (v Value) Kind() Kind { return v.kind }

// Bool returns a bool.
func (v Value) Bool() bool { return v.kind == KindBool && v.num != 0 }

// Int64 returns a signed integer.
func (v Value) Int64() int64 {
	if v.kind != KindInt64 {
		return 0
	}
	return int64(v.num)
}

// Uint64 returns an unsigned integer.
func (v Value) Uint64() uint64 {
	if v.kind != KindUint64 {
		return 0
	}
	return v.num
}

// Float64 returns a float64, bit by bit as it was appended.
func (v Value) Float64() float64 {
	if v.kind != KindFloat64 {
		return 0
	}
	return math.Float64frombits(v.num)
}

// Time returns an instant in UTC.
func (v Value) Time() time.Time {
	if v.kind != KindTime {
		return time.Time{}
	}
	return time.Unix(int64(v.num), int64(v.nanos)).UTC()
}

// AppendContent appends the content of a string or byte string to dst and returns the
// extended slice, which the caller owns.
func (v Value) AppendContent(dst []byte) []byte {
	if v.kind != KindString && v.kind != KindBytes {
		return dst
	}
	for rest := v.body; ; {
		i := bytes.IndexByte(rest, escape)
		if i < 0 {
			return append(dst, rest...)
		}
		dst = append(dst, rest[:i+1]...)
		rest = rest[i+2:] // decodeEscaped saw the second byte of every escape
	}
}

// Tuple returns the encoded values of a nested tuple, for Decode. It aliases the
// input.
func (v Value) Tuple() []byte {
	if v.kind != KindTuple {
		return nil
	}
	return v.body
}

// Decode reads the value at the front of p and returns it with its encoded length in
// bytes. Input of any kind is safe. Errors are ErrTruncated, ErrMalformed and
// ErrTooDeep; the length is then 0. The bytes inside a tuple are checked too.
func Decode(p []byte) (Value, int, error) {
	v, n, err := decode(p)
	if err != nil || v.kind != KindTuple {
		return v, n, err
	}
	// Find the tuple's end by a count of open tuples: hostile nesting costs no stack.
	for open := 1; open > 0; {
		if n < len(p) && p[n] == tagEnd {
			open--
			n++
			continue
		}
		inner, m, err := decode(p[n:])
		if err != nil {
			return Value{}, 0, err
		}
		n += m
		if inner.kind == KindTuple {
			if open++; open > MaxDepth {
				return Value{}, 0, ErrTooDeep
			}
		}
	}
	v.body = p[1 : n-1 : n-1]
	return v, n, nil
}

// decode reads one value; of a tuple only its first byte.
func decode(p []byte) (Value, int, error) {
	if len(p) == 0 {
		return Value{}, 0, ErrTruncated
	}
	switch tag := p[0]; {
	case tag == tagNil:
		return Value{}, 1, nil
	case tag == tagFalse:
		return Value{kind: KindBool}, 1, nil
	case tag == tagTrue:
		return Value{kind: KindBool, num: 1}, 1, nil
	case tag >= tagInt-8 && tag <= tagInt+8:
		return decodeInt(p, int(tag)-tagInt)
	case tag >= tagUint && tag <= tagUint+8:
		n := int(tag) - tagUint
		u, err := low(p[1:], n)
		if err == nil && byteLen(u) != n {
			err = malformed(p)
		}
		return value(KindUint64, u, 1+n, err)
	case tag == tagFloat:
		u, err := low(p[1:], 8)
		if u&signBit != 0 {
			u &^= signBit
		} else {
			u = ^u
		}
		return value(KindFloat64, u, 9, err)
	case tag == tagTime:
		return decodeTime(p)
	case tag == tagString:
		return decodeEscaped(KindString, p)
	case tag == tagBytes:
		return decodeEscaped(KindBytes, p)
	case tag == tagTuple:
		return Value{kind: KindTuple}, 1, nil
	}
	return Value{}, 0, malformed(p)
}

// decodeInt reads an integer of |n| bytes, below zero when n is.
func decodeInt(p []byte, n int) (Value, int, error) {
	if n >= 0 {
		u, err := low(p[1:], n)
		if err == nil && (byteLen(u) != n || u > math.MaxInt64) {
			err = malformed(p)
		}
		return value(KindInt64, u, 1+n, err)
	}
	n = -n
	u, err := low(p[1:], n)
	m := ^u & (math.MaxUint64 >> (64 - 8*n)) // the magnitude less one
	if err == nil && (max(byteLen(m), 1) != n || m > math.MaxInt64) {
		err = malformed(p)
	}
	return value(KindInt64, ^m, 1+n, err)
}

func decodeTime(p []byte) (Value, int, error) {
	const size = 13
	if len(p) < size {
		return Value{}, 0, ErrTruncated
	}
	nanos := binary.BigEndian.Uint32(p[9:])
	if nanos >= 1_000_000_000 {
		return Value{}, 0, malformed(p)
	}
	return Value{kind: KindTime, num: binary.BigEndian.Uint64(p[1:]) ^ signBit, nanos: nanos}, size, nil
}

// decodeEscaped finds the end of a string and checks its escapes.
func decodeEscaped(kind Kind, p []byte) (Value, int, error) {
	for n := 1; ; {
		i := bytes.IndexByte(p[n:], escape)
		if i < 0 || n+i+1 >= len(p) {
			return Value{}, 0, ErrTruncated
		}
		end := n + i
		switch n = end + 2; p[end+1] {
		case escapedNul:
		case terminator:
			return Value{kind: kind, body: p[1:end:end]}, n, nil
		default:
			return Value{}, 0, malformed(p[end:])
		}
	}
}

func value(kind Kind, num uint64, n int, err error) (Value, int, error) {
	if err != nil {
		return Value{}, 0, err
	}
	return Value{kind: kind, num: num}, n, nil
}

// low reads n bytes, big endian.
func low(p []byte, n int) (uint64, error) {
	if len(p) < n {
		return 0, ErrTruncated
	}
	var u uint64
	for _, b := range p[:n] {
		u = u<<8 | uint64(b)
	}
	return u, nil
}

func malformed(p []byte) error { return fmt.Errorf("%w: % x…", ErrMalformed, p[:min(len(p), 9)]) }
