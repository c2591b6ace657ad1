package edit

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/state/codec"
)

// MaxListBytes is the longest encoding of a list that Append makes: each append writes the list
// as a whole.
const MaxListBytes = 64 << 10

// Append returns the list with the elements at its end. A list that is nil, or absent, is an empty
// one; what is no list is codec.ErrType. The elements may be of any Go types that codec.Append
// takes. The list is not changed; its elements are shared with the result.
//
// A result whose encoding is longer than MaxListBytes, or than the limits, is codec.ErrTooLarge; the
// error names what to use instead.
func Append(list any, l *codec.Limits, elements ...any) ([]any, error) {
	old, err := elementsOf(list)
	if err != nil {
		return nil, err
	}
	lim := l.WithDefaults()
	lim.MaxBytes = min(lim.MaxBytes, MaxListBytes)
	out := append(make([]any, 0, len(old)+len(elements)), old...)
	out = append(out, elements...)
	p, err := codec.Append(nil, out, &lim)
	if err != nil {
		return nil, collection(err, &lim)
	}
	// The new elements as values, without what the caller has of them.
	whole, err := codec.Decode(p, &lim)
	if err != nil {
		return nil, err
	}
	copy(out[len(old):], whole.([]any)[len(old):])
	return out, nil
}

// Extend returns the list with a value at its end, of any length. A list that is nil, or absent, is an
// empty one; what is no list is codec.ErrType. The list is the caller's to give up: the result may share its
// memory.
func Extend(list, element any) ([]any, error) {
	old, err := elementsOf(list)
	if err != nil {
		return nil, err
	}
	return append(old, element), nil
}

// CheckListLen returns the codec.ErrTooLarge of Append for an encoding of a list of n bytes that is not to
// become longer.
func CheckListLen(n int) error {
	if n < MaxListBytes {
		return nil
	}
	return collection(codec.ErrTooLarge, &codec.Limits{MaxBytes: MaxListBytes, MaxNodes: codec.DefaultMaxNodes})
}

func elementsOf(list any) ([]any, error) {
	old, ok := list.([]any)
	if !ok && list != nil {
		return nil, &codec.ValueError{Err: codec.ErrType, Detail: fmt.Sprintf("append to %v, which is no list", codec.KindOf(list))}
	}
	return old, nil
}

// collection says of a list that is too large what to use instead.
func collection(err error, lim *codec.Limits) error {
	if !errors.Is(err, codec.ErrTooLarge) {
		return err
	}
	return &codec.ValueError{
		Err:    codec.ErrTooLarge,
		Detail: fmt.Sprintf("a list of more than %d bytes or %d nodes; a Collection keeps each element under a key of its own", lim.MaxBytes, lim.MaxNodes),
	}
}
