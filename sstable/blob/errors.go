package blob

import (
	"errors"
	"fmt"
)

// Errors.
var (
	// ErrCorrupt: stored bytes are not what was written. Details: *CorruptionError.
	ErrCorrupt = errors.New("blob: corrupt")
	// ErrTooNew: the file needs a newer version of this code. It was not touched.
	ErrTooNew = errors.New("blob: format is newer than this code")
	// ErrForeign: the file is a blob file, but not the one that was asked for. It comes
	// inside a *CorruptionError.
	ErrForeign = errors.New("blob: another blob file")
	// ErrSealed: the file is encrypted, and nothing was given that knows its key. What an
	// encrypted file has that is not what was written there is a *CorruptionError around
	// seal.ErrAuth.
	ErrSealed = errors.New("blob: file is encrypted")
	// ErrInvalidValue: a value that a blob file does not hold, empty or too long.
	ErrInvalidValue = errors.New("blob: invalid value")
	// ErrFinished: the writer was finished or aborted.
	ErrFinished = errors.New("blob: writer is finished")
	// ErrMalformedRef: bytes that are no reference.
	ErrMalformedRef = errors.New("blob: malformed reference")
)

// What a CorruptionError may wrap, apart from the errors of package block.
var (
	errLength    = errors.New("wrong length")
	errMagic     = errors.New("wrong magic number")
	errChecksum  = errors.New("wrong checksum")
	errMalformed = errors.New("malformed")
	errDigest    = errors.New("wrong digest of the file")
	errBounds    = errors.New("reference beyond the values of the file")
)

// CorruptionError says where damage was found. It matches ErrCorrupt.
type CorruptionError struct {
	// File is ReaderOptions.Name.
	File string
	// Offset is where in the file the damaged part begins, in bytes, or -1 when the file as
	// a whole is wrong.
	Offset int64
	// Err is what is wrong.
	Err error
}

// Error implements error.
func (e *CorruptionError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("blob: corrupt: %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("blob: corrupt: %s at offset %d: %v", e.File, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *CorruptionError) Unwrap() error { return e.Err }

// Is reports whether target is ErrCorrupt.
func (e *CorruptionError) Is(target error) bool { return target == ErrCorrupt }
