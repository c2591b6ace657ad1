package codec

import (
	"encoding/binary"
	"unicode/utf8"
)

// Strings are looked at eight bytes at a time, what is shorter four: keys are short, and so is most of what
// documents hold.

// wide are the bits of eight bytes of which ASCII has none.
const wide = 0x8080808080808080

// validString is utf8.ValidString, quicker for what is short and ASCII.
func validString(s string) bool {
	n := len(s)
	if n < 8 {
		return word(s)&wide == 0 || utf8.ValidString(s)
	}
	for i := 0; i < n-8; i += 8 {
		if eight(s[i:])&wide != 0 {
			return utf8.ValidString(s[i:])
		}
	}
	return eight(s[n-8:])&wide == 0 || utf8.ValidString(s[(n-1)&^7:]) // what stands before that is ASCII
}

// word returns the first eight bytes of s as a number, which is less for the lesser of two strings, or the same.
// What s lacks of them counts as zero.
func word(s string) uint64 {
	n := len(s)
	switch {
	case n >= 8:
		return eight(s)
	case n >= 4: // the two may overlap
		return uint64(four(s))<<32 | uint64(four(s[n-4:]))<<(64-8*n)
	}
	var w uint64
	for i := range n {
		w |= uint64(s[i]) << (56 - 8*i)
	}
	return w
}

// Nothing is copied for what is read here.

func eight(s string) uint64 { return binary.BigEndian.Uint64([]byte(s[:8])) }
func four(s string) uint32  { return binary.BigEndian.Uint32([]byte(s[:4])) }
