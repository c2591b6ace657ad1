package scope

import (
	"bytes"
	"fmt"
)

// The key form of a scope, by which the directory orders its entries. Canonical
// description: docs/formats/directory.md.
//
//	key form = kind u8 · id · [00 · name of the step]
//
// No id holds a zero byte, so that a step's workflow ends at the first one, and key forms
// compare as bytes in the order of Compare.

// MaxKeyLen is the length in bytes of the longest key form.
const MaxKeyLen = 1 + MaxIDLen + 1 + MaxIDLen

// AppendKey appends the key form of s, which must be valid, to dst and returns the
// extended slice.
func AppendKey(dst []byte, s Scope) []byte {
	dst = append(append(dst, byte(s.kind)), s.id...)
	if s.kind == KindStep {
		dst = append(append(dst, 0), s.step...)
	}
	return dst
}

// ParseKey returns the scope of a key form. It accepts exactly what AppendKey makes of
// valid scopes, and keeps nothing of p. Errors match ErrInvalid.
func ParseKey(p []byte) (Scope, error) {
	if len(p) == 0 {
		return Scope{}, fmt.Errorf("%w: the key is empty", ErrInvalid)
	}
	if len(p) > MaxKeyLen {
		return Scope{}, fmt.Errorf("%w: a key of %d bytes exceeds %d", ErrInvalid, len(p), MaxKeyLen)
	}
	s := Scope{kind: Kind(p[0])}
	id := p[1:]
	if s.kind == KindStep {
		workflow, step, _ := bytes.Cut(id, []byte{0})
		s.id, s.step = string(workflow), string(step)
	} else {
		s.id = string(id)
	}
	if err := s.Validate(); err != nil {
		return Scope{}, err
	}
	return s, nil
}
