package codec

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxKeyLen is the longest key, in bytes.
const MaxKeyLen = 256

// ErrKey: a key breaks a rule of keys.
var ErrKey = errors.New("codec: invalid key")

// KeyError says which rule a key breaks. It matches ErrKey.
type KeyError struct {
	// Rule is the rule, in words.
	Rule string
}

// Error implements error.
func (e *KeyError) Error() string { return ErrKey.Error() + ": " + e.Rule }

// Unwrap returns ErrKey.
func (e *KeyError) Unwrap() error { return ErrKey }

// Rules of keys. B7.
var (
	errKeyLen       = &KeyError{fmt.Sprintf("a key has 1 to %d bytes", MaxKeyLen)}
	errKeyUTF8      = &KeyError{"a key is valid UTF-8"}
	errKeyLines     = &KeyError{"a key holds no NUL, CR or LF"}
	errKeyReserved  = &KeyError{"keys that begin with __ are reserved"}
	errKeyBackslash = &KeyError{`a key holds no \`}
	errKeySlashes   = &KeyError{"a key holds no //"}
	errKeyParent    = &KeyError{"a key has no path element .."}
)

// CheckKey returns nil for a key that the state layer accepts, and a *KeyError that names the
// rule it breaks: 1 to 256 bytes of valid UTF-8, without NUL, CR, LF, \ and //, without a path
// element "..", not beginning with "__". It does not allocate.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > MaxKeyLen {
		return errKeyLen
	}
	wide, dots := false, false
	for i := range len(key) {
		c := key[i]
		if !special[c] {
			continue
		}
		again := i > 0 && key[i-1] == c
		switch {
		case c == '\\':
			return errKeyBackslash
		case c == '/':
			if again {
				return errKeySlashes
			}
		case c == '.':
			dots = dots || again
		case c >= utf8.RuneSelf:
			wide = true
		default:
			return errKeyLines
		}
	}
	switch {
	case wide && !utf8.ValidString(key):
		return errKeyUTF8
	case strings.HasPrefix(key, "__"):
		return errKeyReserved
	case dots && hasParent(key):
		return errKeyParent
	}
	return nil
}

// special are the bytes that keys have few of, and at which CheckKey looks again: every operation checks
// its key, which takes half as long where most bytes are looked at once.
var special = func() (s [256]bool) {
	for _, c := range []byte{0, '\r', '\n', '\\', '/', '.'} {
		s[c] = true
	}
	for c := utf8.RuneSelf; c < len(s); c++ {
		s[c] = true
	}
	return s
}()

// hasParent reports whether an element of the path key is "..".
func hasParent(key string) bool {
	for rest := key; ; {
		element, after, more := strings.Cut(rest, "/")
		if element == ".." {
			return true
		}
		if !more {
			return false
		}
		rest = after
	}
}
