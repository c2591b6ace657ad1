package tuple

import (
	"errors"
	"strconv"
)

// Kind is the type of a value. Values of different kinds sort in this order.
type Kind uint8

// Kinds of values, in the order in which they sort. They are not on disk.
const (
	KindNil Kind = iota
	KindBool
	KindInt64
	KindUint64
	KindFloat64
	KindTime
	KindString
	KindBytes
	KindTuple
)

var kindNames = [...]string{"nil", "bool", "int64", "uint64", "float64", "time", "string", "bytes", "tuple"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// MaxDepth is how deep tuples may nest. It bounds the work of Decode, which looks
// through a nested tuple to find its end, and the recursion of its callers.
const MaxDepth = 32

// Errors of Decode, for errors.Is.
var (
	// ErrTruncated: the bytes end inside a value.
	ErrTruncated = errors.New("tuple: input ends inside a value")
	// ErrMalformed: no value is encoded like that.
	ErrMalformed = errors.New("tuple: malformed value")
	// ErrTooDeep: tuples nest deeper than MaxDepth.
	ErrTooDeep = errors.New("tuple: nested too deep")
)

// First bytes of values. They are on disk (docs/formats/tuple.md):
//
//	01            nil                   30 + 8 bytes    float64, sign and order folded
//	02, 03        false, true           38 + 12 bytes   time: seconds, nanoseconds
//	10..17 18 19..20                    40 … 00 01      string, 00 escaped as 00 FF
//	 int64 of 8..1 bytes below zero,    48 … 00 01      bytes, likewise
//	 zero, of 1..8 bytes above it       50 … 00         tuple: its values, then 00
//	21 22..29
//	 uint64 zero, of 1..8 bytes
const (
	tagEnd     = 0x00
	tagNil     = 0x01
	tagFalse   = 0x02
	tagTrue    = 0x03
	tagInt     = 0x18 // zero; ±n for n bytes
	tagUint    = 0x21 // zero; +n for n bytes
	tagFloat   = 0x30
	tagTime    = 0x38
	tagString  = 0x40
	tagBytes   = 0x48
	tagTuple   = 0x50
	escape     = 0x00
	escapedNul = 0xFF
	terminator = 0x01
	above      = 0xFF
)
