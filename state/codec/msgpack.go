package codec

import "encoding/binary"

// First bytes of MessagePack, docs/formats/value.md:
//
//	00..7f int64   80..8f map   90..9f list   a0..bf string
//	c0 nil  c2 false  c3 true   c4 c5 c6 bytes   c7 time in 12 bytes   ca cb float
//	cc cd ce cf uint64   d0 d1 d2 d3 int64   d6 d7 time in 4 and 8 bytes
//	d9 da db string   dc dd list   de df map   e0..ff int64 below zero
//
// Lengths and numbers are big endian.
const (
	posFixMax = 0x7f
	fixMap    = 0x80
	fixList   = 0x90
	fixStr    = 0xa0
	codeNil   = 0xc0
	codeFalse = 0xc2
	codeTrue  = 0xc3
	bin8      = 0xc4
	bin16     = 0xc5
	bin32     = 0xc6
	ext8      = 0xc7
	ext16     = 0xc8
	ext32     = 0xc9
	float32c  = 0xca
	float64c  = 0xcb
	uint8c    = 0xcc
	uint16c   = 0xcd
	uint32c   = 0xce
	uint64c   = 0xcf
	int8c     = 0xd0
	int16c    = 0xd1
	int32c    = 0xd2
	int64c    = 0xd3
	fixExt1   = 0xd4
	fixExt2   = 0xd5
	fixExt4   = 0xd6
	fixExt8   = 0xd7
	fixExt16  = 0xd8
	str8      = 0xd9
	str16     = 0xda
	str32     = 0xdb
	list16    = 0xdc
	list32    = 0xdd
	map16     = 0xde
	map32     = 0xdf
	negFixMin = 0xe0
)

// timeExt is the extension type of times, as a byte: −1.
const timeExt = 0xff

const maxNanos = 999_999_999

// kindOf returns the kind of value that begins with c; Time for every extension, Invalid for
// c1, which nothing begins with.
func kindOf(c byte) Kind {
	switch {
	case c <= posFixMax || c >= negFixMin:
		return Int64
	case c < fixList:
		return Map
	case c < fixStr:
		return List
	case c < codeNil:
		return String
	}
	return kinds[c-codeNil]
}

// kinds of the first bytes c0 to df.
var kinds = [32]Kind{
	Nil, Invalid, Bool, Bool, Bytes, Bytes, Bytes, Time, Time, Time, Float64, Float64, Uint64, Uint64, Uint64, Uint64,
	Int64, Int64, Int64, Int64, Time, Time, Time, Time, Time, String, String, String, List, List, Map, Map,
}

// sizes says how many bytes of a number or a length follow the first bytes c0 to df; extensions
// have their type after it.
var sizes = [32]uint8{
	0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8,
	1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4,
}

// number reads n big-endian bytes at the front of p, n of them 0, 1, 2, 4 or 8.
func number(p []byte, n uint8) uint64 {
	switch n {
	case 1:
		return uint64(p[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(p))
	case 4:
		return uint64(binary.BigEndian.Uint32(p))
	case 8:
		return binary.BigEndian.Uint64(p)
	}
	return 0
}
