package filter

import (
	"math/bits"

	"github.com/loamdb/loam/internal/keys"
)

// What a table says of its filter. A reader that meets another value does not use the
// filter.
const (
	// Policy names the layout of this package.
	Policy uint8 = 1
	// HashID names keys.Hash: XXH64 with seed 0.
	HashID uint8 = 1
)

// Sizes of the layout, in bytes and lines.
const (
	// LineBytes is the size of a line, the cache line of most machines.
	LineBytes = 64
	// ChunkLines is how many lines a chunk has; the last one may have fewer.
	ChunkLines = 1024
	// ChunkBytes is the size of a chunk of ChunkLines lines.
	ChunkBytes = ChunkLines * LineBytes
	// DefaultBitsPerKey makes about one probe in a hundred pass for an absent key.
	DefaultBitsPerKey = 10
)

// Hash returns the hash of a user key by which filters know it.
func Hash(key []byte) uint64 { return keys.Hash(key) }

// Layout (docs/formats/filter.md), for hash h of a key and n lines of 64 bytes:
//
//	line  = high 64 bits of h * n             in chunk line/1024, at line%1024 * 64
//	x     = h * 0x9E3779B97F4A7C15            modulo 2^64
//	bit i = bits 63-9i … 55-9i of x           i = 0…5, of 512: byte bit/8, bit bit%8

// Locate returns where the line of hash h lies in a filter of the given number of
// lines, at least 1: the chunk, and the offset of the line in it, in bytes.
func Locate(h uint64, lines int) (chunk, offset int) {
	// A multiplication costs a tenth of a remainder.
	hi, _ := bits.Mul64(h, uint64(lines))
	return int(hi / ChunkLines), int(hi%ChunkLines) * LineBytes
}

// Chunks returns how many chunks a filter of the given number of lines has.
func Chunks(lines int) int { return (lines + ChunkLines - 1) / ChunkLines }

// probes is the number of bits that a hash sets in its line. For ten bits per key five
// to seven measure the same, within a tenth; for eight fewer would do, for sixteen one
// more.
const probes = 6

// spread is odd: multiplied by it, all bits of a hash reach the high bits from which
// the places in the line are taken, nine bits each. Without it they would overlap with
// those that chose the line: 1.33% instead of 0.97% of false positives.
const spread = 0x9E3779B97F4A7C15

// MayContainLine reports whether h may be in the filter of which line, at least
// LineBytes long, is the one that Locate chose. False is certain.
func MayContainLine(line []byte, h uint64) bool {
	l := (*[LineBytes]byte)(line)
	x := h * spread
	// All six without a condition between: half of the bits are set, so that each
	// condition would be mispredicted every other time: 30 → 18 ns for a key that is
	// present, 20 → 18 for one that is not, with the hash.
	hit := l[x>>58] >> (x >> 55 & 7)
	x <<= 9
	hit &= l[x>>58] >> (x >> 55 & 7)
	x <<= 9
	hit &= l[x>>58] >> (x >> 55 & 7)
	x <<= 9
	hit &= l[x>>58] >> (x >> 55 & 7)
	x <<= 9
	hit &= l[x>>58] >> (x >> 55 & 7)
	x <<= 9
	hit &= l[x>>58] >> (x >> 55 & 7)
	return hit&1 != 0
}
