package tuple

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"time"
)

// signBit turns two's complement into an unsigned number of the same order.
const signBit = 1 << 63

// AppendNil appends the value nil to dst and returns the extended slice, as every
// Append function here does. None of them keeps its arguments.
func AppendNil(dst []byte) []byte { return append(dst, tagNil) }

// AppendBool appends a bool; false sorts first.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, tagTrue)
	}
	return append(dst, tagFalse)
}

// AppendInt64 appends a signed integer in 1 to 9 bytes, fewer the nearer to zero.
func AppendInt64(dst []byte, v int64) []byte {
	if v >= 0 {
		n := byteLen(uint64(v))
		return appendLow(append(dst, byte(tagInt+n)), uint64(v), n)
	}
	// The magnitude less one, complemented: -1 is FF, and -256 is 00 of one byte, so
	// that among equal lengths the bytes rise as the number does.
	m := uint64(-(v + 1))
	n := max(byteLen(m), 1)
	return appendLow(append(dst, byte(tagInt-n)), ^m, n)
}

// AppendUint64 appends an unsigned integer in 1 to 9 bytes.
func AppendUint64(dst []byte, v uint64) []byte {
	n := byteLen(v)
	return appendLow(append(dst, byte(tagUint+n)), v, n)
}

// AppendFloat64 appends a float64 in 9 bytes. The order is the total order of IEEE
// 754: negative NaNs, -Inf, numbers with -0 before +0, +Inf, NaNs. All bits survive.
func AppendFloat64(dst []byte, v float64) []byte {
	u := math.Float64bits(v)
	if u&signBit != 0 {
		u = ^u
	} else {
		u |= signBit
	}
	return binary.BigEndian.AppendUint64(append(dst, tagFloat), u)
}

// AppendTime appends an instant in 13 bytes, to the nanosecond, over the whole range
// of time.Time. The location is not kept.
func AppendTime(dst []byte, v time.Time) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, tagTime), uint64(v.Unix())^signBit)
	return binary.BigEndian.AppendUint32(dst, uint32(v.Nanosecond()))
}

// AppendString appends a string, of any bytes, in its length plus 3 bytes, plus one
// for each NUL.
func AppendString(dst []byte, v string) []byte {
	dst = append(dst, tagString)
	for {
		i := strings.IndexByte(v, escape)
		if i < 0 {
			return append(append(dst, v...), escape, terminator)
		}
		dst = append(append(dst, v[:i]...), escape, escapedNul)
		v = v[i+1:]
	}
}

// AppendText appends the string whose bytes v holds, as AppendString does.
func AppendText(dst, v []byte) []byte { return appendEscaped(append(dst, tagString), v) }

// AppendBytes appends a byte string. It takes the space of a string and sorts after
// all of them.
func AppendBytes(dst, v []byte) []byte { return appendEscaped(append(dst, tagBytes), v) }

// appendEscaped appends what follows the first byte of a string or byte string.
func appendEscaped(dst, v []byte) []byte {
	for {
		i := bytes.IndexByte(v, escape)
		if i < 0 {
			return append(append(dst, v...), escape, terminator)
		}
		dst = append(append(dst, v[:i]...), escape, escapedNul)
		v = v[i+1:]
	}
}

// BeginTuple opens a nested tuple: what is appended until the matching EndTuple is
// inside it. Tuples may nest up to MaxDepth; Decode refuses deeper ones.
func BeginTuple(dst []byte) []byte { return append(dst, tagTuple) }

// EndTuple closes the tuple that the matching BeginTuple opened.
func EndTuple(dst []byte) []byte { return append(dst, tagEnd) }

// AppendPrefixEnd appends what makes an exclusive upper bound of a sequence of whole
// values already in dst: it sorts after every sequence that begins with those values.
func AppendPrefixEnd(dst []byte) []byte { return append(dst, above) }

// byteLen returns how many bytes v needs; zero needs none.
func byteLen(v uint64) int { return (bits.Len64(v) + 7) / 8 }

// appendLow appends the n low bytes of v, big endian.
func appendLow(dst []byte, v uint64, n int) []byte {
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], v)
	return append(dst, be[8-n:]...)
}
