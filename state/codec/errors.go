package codec

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What a value breaks, for errors.Is.
var (
	// ErrTooLarge: the encoding is longer than Limits.MaxBytes, or there are more nodes than
	// Limits.MaxNodes.
	ErrTooLarge = errors.New("codec: value too large")
	// ErrTooDeep: lists and maps lie deeper in each other than Limits.MaxDepth. Values that
	// contain themselves end here too.
	ErrTooDeep = errors.New("codec: value too deep")
	// ErrNotFinite: a float is a NaN or infinite.
	ErrNotFinite = errors.New("codec: not a finite number")
	// ErrNotUTF8: a string or a map's key is not valid UTF-8.
	ErrNotUTF8 = errors.New("codec: not valid UTF-8")
	// ErrTimeRange: a time is before MinTime or after MaxTime.
	ErrTimeRange = errors.New("codec: time out of range")
	// ErrType: a Go type that is no value and cannot be written as one, or a value that does not
	// go into the Go type it is read into.
	ErrType = errors.New("codec: type mismatch")
	// ErrOverflow: a number does not fit its type.
	ErrOverflow = errors.New("codec: number out of range")
	// ErrCustom: a type's own method of encoding or decoding failed; its error is wrapped too.
	ErrCustom = errors.New("codec: a type's own method failed")
)

// What bytes are refused for, for errors.Is. All match ErrMalformed. Bytes are also refused for
// what a value breaks.
var (
	// ErrMalformed: the bytes are no encoding of a value.
	ErrMalformed = errors.New("codec: malformed MessagePack")
	// ErrTruncated: the bytes end inside a value, or a length says more than remain.
	ErrTruncated = fmt.Errorf("%w: ends inside a value", ErrMalformed)
	// ErrTrailing: bytes follow the value.
	ErrTrailing = fmt.Errorf("%w: bytes after the value", ErrMalformed)
	// ErrDuplicateKey: a map has a key twice.
	ErrDuplicateKey = fmt.Errorf("%w: a key is there twice", ErrMalformed)
	// ErrMapKey: a map's key is no string.
	ErrMapKey = fmt.Errorf("%w: a map's key is no string", ErrMalformed)
	// ErrExtension: an extension type other than a time's, or a time of another length.
	ErrExtension = fmt.Errorf("%w: unknown extension", ErrMalformed)
)

// FormatError says where bytes are refused.
type FormatError struct {
	// Offset is of the part that is refused, in bytes from the front.
	Offset int
	// Err is the rule: one of the errors of this package.
	Err error
}

// Error implements error.
func (e *FormatError) Error() string { return fmt.Sprintf("%v, at byte %d", e.Err, e.Offset) }

// Unwrap returns Err.
func (e *FormatError) Unwrap() error { return e.Err }

// ValueError says where a value breaks a rule.
type ValueError struct {
	// Path leads to the part, as in .turns[3].text; it is empty for the value itself. Keys that
	// are no identifiers are quoted, long ones cut, and of long paths the middle is left out.
	Path string
	// Err is the rule: one of the errors of this package.
	Err error
	// Detail says more, in terms of types and limits; it may be empty.
	Detail string
}

// Error implements error.
func (e *ValueError) Error() string {
	var b strings.Builder
	b.WriteString(e.Err.Error())
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Path != "" {
		b.WriteString(", at " + e.Path)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *ValueError) Unwrap() error { return e.Err }

func valueError(err error, format string, args ...any) *ValueError {
	return &ValueError{Err: err, Detail: fmt.Sprintf(format, args...)}
}

// Bounds of paths in errors, in bytes.
const (
	maxPathKey = 40
	maxPath    = 400
)

// InKey says of an error within the value of a map's key that it is there: it puts the key in
// front of a *ValueError's path, and returns the error, which it changes. Walks over values call it
// on their way out, so that a path costs nothing where there is no error.
func InKey(err error, key string) error {
	return within(err, func() string {
		if plaInKey(key) {
			return "." + key
		}
		if len(key) > maxPathKey {
			cut := maxPathKey
			for cut > 0 && !utf8.RuneStart(key[cut]) {
				cut--
			}
			return "[" + strconv.QuoteToASCII(key[:cut]) + "…]"
		}
		return "[" + strconv.QuoteToASCII(key) + "]"
	})
}

// InIndex is InKey for the i-th element of a list.
func InIndex(err error, i int) error {
	return within(err, func() string { return "[" + strconv.Itoa(i) + "]" })
}

func within(err error, segment func() string) error {
	var ve *ValueError
	if !errors.As(err, &ve) {
		return err
	}
	path := segment() + ve.Path
	if len(path) > maxPath {
		// The ends of a path say most: where it starts, and what is refused.
		path = path[:maxPath/4] + "…" + strings.ToValidUTF8(path[len(path)-maxPath/2:], "")
	}
	ve.Path = path
	return err
}

func plaInKey(key string) bool {
	for i := range len(key) {
		c := key[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return key != "" && len(key) <= maxPathKey
}
