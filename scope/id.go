package scope

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// ID is the number of a scope within its store. Ids are given out once and never
// reused: keys of a dropped scope can wait for compaction without a later scope
// finding them. Zero is no scope.
type ID uint64

// Scopes that every store has.
const (
	// Root is the scope in which the verbs of a database itself act.
	Root ID = 1
	// System is the scope of the engine's own records.
	System ID = 2
)

// MaxID is the greatest id. The number after it is kept free, because the upper bound
// of a scope's keys is the encoding of the next id (I4).
const MaxID ID = math.MaxUint64 - 1

// MaxEncodedLen is the length in bytes of the longest encoding.
const MaxEncodedLen = 9

// Errors of DecodeID, for errors.Is.
var (
	// ErrTruncated: the bytes end inside an id.
	ErrTruncated = errors.New("scope: key ends inside the scope id")
	// ErrMalformed: no id is encoded like that.
	ErrMalformed = errors.New("scope: malformed scope id")
)

// The encoding, docs/formats/scope.md:
//
//	id 0..239            one byte, the id
//	id 240..2^64-1       0xF0+(n-1), then the id in n bytes, big endian, n minimal
//
//	0      EF | F0 F0     F0 FF | F1 01 00  F1 FF FF | F2 01 00 00 …  F7 FF…FF
//	0     239 | 240         255 | 256         65,535 | 65,536         2^64-1
//
// 0xF8..0xFF never begin an id.
const (
	oneByte = 240  // ids below it are one byte
	marker  = 0xF0 // first byte of an id that has one byte more
)

// EncodedLen returns how many bytes AppendID appends for id: 1 to MaxEncodedLen.
func EncodedLen(id ID) int {
	if id < oneByte {
		return 1
	}
	return 1 + (bits.Len64(uint64(id))+7)/8
}

// AppendID appends the encoding of id to dst and returns the extended slice.
// Encodings sort as their ids do (I1), and none is a prefix of another (I2).
func AppendID(dst []byte, id ID) []byte {
	if id < oneByte {
		return append(dst, byte(id))
	}
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], uint64(id))
	n := EncodedLen(id) - 1
	dst = append(dst, byte(marker+n-1))
	return append(dst, be[8-n:]...)
}

// AppendUpperBound appends the smallest key that is greater than every key of the
// scope id, and returns the extended slice: with AppendID(nil, id) it makes the
// half-open range of the scope. id must not exceed MaxID.
func AppendUpperBound(dst []byte, id ID) []byte { return AppendID(dst, id+1) }

// DecodeID reads the id at the front of p and returns it with its length in bytes.
// It accepts exactly what AppendID makes of ids up to MaxID (I3). It neither keeps nor
// changes p. Errors are ErrTruncated and ErrMalformed; the length is then 0.
func DecodeID(p []byte) (id ID, n int, err error) {
	if len(p) == 0 {
		return 0, 0, ErrTruncated
	}
	if p[0] < marker {
		return ID(p[0]), 1, nil
	}
	n = 2 + int(p[0]-marker)
	if n > MaxEncodedLen {
		return 0, 0, fmt.Errorf("%w: first byte %#x", ErrMalformed, p[0])
	}
	if len(p) < n {
		return 0, 0, ErrTruncated
	}
	for _, b := range p[1:n] {
		id = id<<8 | ID(b)
	}
	if EncodedLen(id) != n || id > MaxID {
		return 0, 0, fmt.Errorf("%w: % x", ErrMalformed, p[:n])
	}
	return id, n, nil
}
