package memtable

import (
	"encoding/binary"
	"math"
)

// A link is one 64-bit word:
//
//	63           53 52                    29 28                       0
//	┌──────────────┬────────────────────────┬──────────────────────────┐
//	│ maxShared − c│ three bytes after the c│ offset of B in words     │
//	└──────────────┴────────────────────────┴──────────────────────────┘
//
// for a link from A to B, where c is the number of leading bytes that the user keys of
// A and B share, at most maxShared, and the three bytes are those of B's key from c on,
// zeros where it ends. The upper 35 bits are the code of B relative to A. A searched
// key K that sorts after A has a code relative to A, too, and among keys after A
//
//	code(K) < code(B)  implies  K < B      code(K) > code(B)  implies  K > B
//
// because of two keys above A the one that shares more with A is the smaller, and keys
// that share equally much differ first at that length. Equal codes say nothing beyond
// the bytes they cover, be it because three bytes were too few, because the padding of a
// short key looks like zero bytes, or because both share maxShared bytes or more with
// A: then, and only then, the keys themselves are compared.
//
// When K > B is decided on the shared lengths (K shares less with A), K shares with B
// what it shares with A, and its code stays. When it is decided on the bytes, K shares
// with B as many bytes more as are equal among the three, except where these are
// padding: the keys' lengths bound it (advance).
//
// The end of the list is the link of all ones but for the offset, which is the head's.
// It sorts after every code but its equal, which leads to a comparison, which sees the
// head's offset.
const (
	offsetBits = 29
	offsetMask = 1<<offsetBits - 1
	maxShared  = 1<<11 - 1
	endLink    = ^uint64(0) &^ offsetMask
)

// makeCode returns the code of key relative to a key below it that shares its first
// `shared` bytes and no more.
func makeCode(key []byte, shared int) uint64 {
	if shared >= maxShared {
		return 0
	}
	code := uint64(maxShared-shared) << 24
	if shared+4 <= len(key) {
		return code | uint64(binary.BigEndian.Uint32(key[shared:])>>8)
	}
	for i, b := range key[shared:] {
		code |= uint64(b) << (16 - 8*i)
	}
	return code
}

func makeLink(code uint64, to nodeRef) uint64 { return code<<offsetBits | uint64(to) }

// wholeFrom returns the least shared length from which a code covers the rest of a key, so that another key with the
// same code relative to the same node begins with it: the last byte is no zero, for which padding could stand.
func wholeFrom(key []byte) int {
	if len(key) == 0 || len(key) > maxShared || key[len(key)-1] == 0 {
		return math.MaxInt
	}
	return len(key) - 3
}

// sharedOf returns how many leading bytes, at most maxShared, the keys share of which a link leads from one to
// the other.
func sharedOf(link uint64) int { return maxShared - int(link>>(offsetBits+24)) }

// firstByteEqual reports, given the exclusive or of two codes, whether they have the
// same shared length and the same first byte: the keys then share more than that length,
// unless the byte is padding.
func firstByteEqual(x uint64) bool { return x < 1<<16 }

// equalBytes returns how many of the three bytes are equal, given that the exclusive
// or of the codes is below 1<<16 and not zero.
func equalBytes(x uint64) int {
	if x < 1<<8 {
		return 2
	}
	return 1
}
