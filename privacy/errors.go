package privacy

import (
	"errors"
	"fmt"
)

// Errors. No text of an error holds a value of a document.
var (
	// ErrInvalidPolicy: a policy names a detector, mode or path that cannot be.
	ErrInvalidPolicy = errors.New("privacy: invalid policy")
	// ErrNoKeys: a mode needs keys, and the Protector has none. Nothing was protected.
	ErrNoKeys = errors.New("privacy: no keys")
	// ErrInvalidKey: a key has the wrong length.
	ErrInvalidKey = errors.New("privacy: invalid key")
	// ErrTooDeep: a document nests deeper than MaxDepth, or holds itself.
	ErrTooDeep = errors.New("privacy: document too deep")
	// ErrBlocked: the policy refuses the document. Details: *BlockedError.
	ErrBlocked = errors.New("privacy: blocked")
	// ErrReveal: a mark cannot be turned back. Details: *RevealError.
	ErrReveal = errors.New("privacy: cannot reveal")
)

// BlockedError says which finding the policy refuses: the first one by path and offset. It
// matches ErrBlocked.
type BlockedError struct {
	// Finding is what was found; the value is not in it.
	Finding Finding
}

// Error names detector and path.
func (e *BlockedError) Error() string {
	return fmt.Sprintf("privacy: blocked: %s at %q", e.Finding.Detector, e.Finding.Path)
}

// Unwrap returns ErrBlocked.
func (e *BlockedError) Unwrap() error { return ErrBlocked }

// TypeError says that a document holds a value of a type that documents do not have.
type TypeError struct {
	// Path leads to the value, as in a Finding.
	Path string
	// Type is the Go type.
	Type string
}

// Error names type and path.
func (e *TypeError) Error() string {
	return fmt.Sprintf("privacy: a document cannot hold a %s, at %q", e.Type, e.Path)
}

// KeyError says that the keys failed for a value. Err is what they said.
type KeyError struct {
	// Path leads to the value, as in a Finding, and Mode is what it was to be done to it.
	Path string
	Mode Mode
	// Err is the cause.
	Err error
}

// Error names mode and path.
func (e *KeyError) Error() string {
	return fmt.Sprintf("privacy: %s at %q: %v", e.Mode, e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *KeyError) Unwrap() error { return e.Err }

// RevealError says which mark cannot be turned back: it was made with other keys, or by
// nobody. It matches ErrReveal, and the cause.
type RevealError struct {
	// Path leads to the text with the mark, as in a Finding.
	Path string
	// Detector is the one that the mark names.
	Detector Detector
	// Err is the cause.
	Err error
}

// Error names detector and path.
func (e *RevealError) Error() string {
	return fmt.Sprintf("privacy: cannot reveal: %s at %q: %v", e.Detector, e.Path, e.Err)
}

// Unwrap returns ErrReveal and the cause.
func (e *RevealError) Unwrap() []error { return []error{ErrReveal, e.Err} }
