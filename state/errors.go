package state

import (
	"errors"
	"strconv"
	"strings"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
)

// Errors of opening and of the whole store.
var (
	// ErrInvalidOptions: Options.Validate found the problems that the text lists.
	ErrInvalidOptions = errors.New("state: invalid options")
	// ErrClosed: the store, snapshot, transaction or watcher was used after its end.
	ErrClosed = errors.New("state: closed")
	// ErrReadOnly: the store was opened for reading only, or it was to be written to a snapshot.
	ErrReadOnly = errors.New("state: read-only")
)

// Errors of operations.
var (
	// ErrNotFound: there is no such key, or no such scope.
	ErrNotFound = errors.New("state: not found")
	// ErrConflict: the key has not the version that was expected. Nothing was written.
	ErrConflict = errors.New("state: conflict with another write")
	// ErrScope: the scope cannot be, or is reserved. It is scope.ErrInvalid.
	ErrScope = scope.ErrInvalid
	// ErrScopeExists: the scope that was to be copied or moved to is there. Nothing was changed.
	ErrScopeExists = errors.New("state: the scope exists")
	// ErrScopeDropped: the watched scope has been dropped or moved away.
	ErrScopeDropped = errors.New("state: the watched scope is gone")
	// ErrUnsupported: the store cannot do this; the text says what is missing. Nothing was
	// written.
	ErrUnsupported = errors.New("state: not supported")
	// ErrInvalidExpiry: a value was to live for no time, or to expire in no year between 1970 and
	// 9999. Nothing was written.
	ErrInvalidExpiry = errors.New("state: no such expiry")
	// ErrOption: an option of a call is out of its range. Nothing was written.
	ErrOption = errors.New("state: invalid option")
)

// lost reports whether an operation has met another write. That a hook has met one, in what it does itself,
// is its failure, and would be so again.
func lost(err error) bool {
	if !errors.Is(err, ErrConflict) {
		return false
	}
	var failure *hook.CallError
	return !errors.As(err, &failure)
}

// overtaken reports whether a conditional commit has met another write: ErrMerge is one after which the key
// cannot be read, as whoever looks again will see.
func overtaken(err error) bool { return errors.Is(err, ErrConflict) || errors.Is(err, ErrMerge) }

// errSealedSince: a scope is sealed that was not to be. Nothing was written.
var errSealedSince = errors.New("state: the scope was sealed meanwhile")

// unread reports whether an error says that a value is there and can be read by nobody here.
func unread(err error) bool {
	return err != nil && (errors.Is(err, ErrShredded) || errors.Is(err, ErrNoScopeKey))
}

// ofValue reports whether an error of the engine is about one value alone, which is there: it cannot be opened,
// or blind changes cannot be folded into it.
func ofValue(err error) bool { return unread(err) || errors.Is(err, ErrMerge) }

// The errors of hooks are those of package hook: *hook.VetoError and *hook.CallError, and
// hook.ErrSimulated for what is written with a context of hook.Simulate.

// Errors of keys and values. All are those of package codec, whose types have the details.
var (
	// ErrKey: a key breaks a rule, which the text names; the type is *codec.KeyError.
	ErrKey = codec.ErrKey
	// ErrTooLarge: a value, batch or transaction exceeds its limit. Nothing was written.
	ErrTooLarge = codec.ErrTooLarge
	// ErrTooDeep: lists and maps of a value lie too deep in each other. Nothing was written.
	ErrTooDeep = codec.ErrTooDeep
	// ErrType: a Go type that is no value, or a value that does not go into the type asked for, or
	// on which the operation does not work.
	ErrType = codec.ErrType
	// ErrOverflow: a number does not fit its type. Nothing was written.
	ErrOverflow = codec.ErrOverflow
	// ErrMalformed: stored bytes are no value, though they are what was written.
	ErrMalformed = codec.ErrMalformed
)

// Error says which operation on what has failed. Every error of an operation on a scope is one.
type Error struct {
	// Op is the operation, as in "set".
	Op string
	// Scope is where, and Key what it was about: "" for operations on several keys or the scope.
	Scope scope.Scope
	Key   string
	// Err is what went wrong.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Scope != (scope.Scope{}) {
		b.WriteString(" " + e.Scope.String())
	}
	if key := e.Key; len(key) > codec.MaxKeyLen { // no key, which may be of any length
		b.WriteString(" " + strconv.QuoteToASCII(key[:codec.MaxKeyLen]) + "…")
	} else if key != "" {
		b.WriteString(" " + strconv.QuoteToASCII(key))
	}
	b.WriteString(": " + e.Err.Error())
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
