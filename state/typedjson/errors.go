package typedjson

import (
	"errors"
	"fmt"
)

// What a text is refused for, for errors.Is; also codec.ErrTooDeep, codec.ErrTooLarge,
// codec.ErrNotUTF8, codec.ErrOverflow and codec.ErrTimeRange.
var (
	// ErrSyntax: the text is no JSON, or ends too early, or goes on too long.
	ErrSyntax = errors.New("typedjson: not JSON")
	// ErrDuplicateKey: an object has a key twice.
	ErrDuplicateKey = errors.New("typedjson: a key is there twice")
	// ErrTag: a key that begins with one $ stands for nothing that is known.
	ErrTag = errors.New("typedjson: unknown or malformed $ object")
)

// TextError says where a text is refused. It does not hold any of it.
type TextError struct {
	// Offset is in bytes from the front.
	Offset int
	// Err is the rule.
	Err error
}

// Error implements error.
func (e *TextError) Error() string { return fmt.Sprintf("%v, at byte %d", e.Err, e.Offset) }

// Unwrap returns Err.
func (e *TextError) Unwrap() error { return e.Err }
