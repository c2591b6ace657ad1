package fold

import (
	"encoding/binary"

	"github.com/loamdb/loam/internal/keys"
)

// Base is what operands are folded into, and what they make of it: the state of a key. The
// zero Base is a key that is absent.
type Base struct {
	// State says whether there is a value.
	State State
	// Value is the value of a key that is present.
	Value []byte
	// Expiry is when what there is ends, in milliseconds since 1970; 0: never.
	Expiry int64
	// Sealed: the value was sealed, and was opened to be read. What is made of it must not be
	// written in clear.
	Sealed bool
}

// State is the state of a key.
type State uint8

// States. A value that expired may have been reclaimed: what is left says when it ended, for
// operands that were committed before are gone with it.
const (
	Absent State = iota
	Present
	Reclaimed
)

// BaseOf returns what an entry makes of its key. Value aliases the entry's. ok is false for
// kinds that do not say it by themselves: operands, and values that lie elsewhere.
func BaseOf(kind keys.Kind, value []byte) (b Base, ok bool) {
	switch kind {
	case keys.KindSet:
		return Base{State: Present, Value: notNil(value)}, true
	case keys.KindDelete:
		return Base{}, true
	case keys.KindSetWithExpiry:
		return Base{State: Present, Expiry: int64(binary.LittleEndian.Uint64(value)), Value: notNil(value[keys.ExpiryLen:])}, true
	case keys.KindExpiryMarker:
		return Base{State: Reclaimed, Expiry: int64(binary.LittleEndian.Uint64(value))}, true
	}
	return Base{}, false
}

// IsOperand reports whether an entry of the kind is a merge operand.
func IsOperand(kind keys.Kind) bool { return kind == keys.KindMerge || kind == keys.KindMergeBlob }

// AppendEntry appends the value of the entry that makes b of its key, and returns its kind.
func (b *Base) AppendEntry(dst []byte) (keys.Kind, []byte) {
	switch {
	case b.State == Absent:
		return keys.KindDelete, dst
	case b.Expiry == 0:
		return keys.KindSet, append(dst, b.Value...)
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.Expiry))
	if b.State == Reclaimed {
		return keys.KindExpiryMarker, dst
	}
	return keys.KindSetWithExpiry, append(dst, b.Value...)
}

// At returns what an operand that was committed at t meets (O3).
func (b Base) At(t int64) Base {
	if b.Expiry != 0 && t >= b.Expiry {
		return Base{}
	}
	return b
}

// notNil keeps an empty value apart from none.
func notNil(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}
