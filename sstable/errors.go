package sstable

import (
	"errors"
	"fmt"
)

// Errors of opening and reading.
var (
	// ErrCorrupt: stored bytes are not what was written. Details: *CorruptionError.
	ErrCorrupt = errors.New("sstable: corrupt")
	// ErrTooNew: the table needs a newer version of this code. It was not touched.
	ErrTooNew = errors.New("sstable: format is newer than this code")
	// ErrForeign: the file is a table, but not the one that was asked for. It comes
	// inside a *CorruptionError.
	ErrForeign = errors.New("sstable: another table's file")
	// ErrSealed: the table is encrypted, and nothing was given that knows its key. What an
	// encrypted table has that is not what was written there is a *CorruptionError around
	// seal.ErrAuth.
	ErrSealed = errors.New("sstable: table is encrypted")
	// ErrClosed: the reader or iterator was used after Close.
	ErrClosed = errors.New("sstable: closed")
)

// Errors of writing.
var (
	// ErrOrder: an entry does not sort after the one before it.
	ErrOrder = errors.New("sstable: entries out of order")
	// ErrInvalidEntry: a kind that tables do not hold, or a key or value out of its
	// limits.
	ErrInvalidEntry = errors.New("sstable: invalid entry")
	// ErrFinished: the writer was finished or aborted.
	ErrFinished = errors.New("sstable: writer is finished")
)

// What a CorruptionError may wrap, apart from the errors of package block.
var (
	errLength    = errors.New("wrong length")
	errMagic     = errors.New("wrong magic number")
	errChecksum  = errors.New("wrong checksum")
	errMalformed = errors.New("malformed")
	errOrder     = errors.New("entries out of order")
	errDigest    = errors.New("wrong digest of the file")
)

// CorruptionError says where damage was found. It matches ErrCorrupt.
type CorruptionError struct {
	// File is ReaderOptions.Name.
	File string
	// Offset is where in the file the damaged part begins, in bytes, or -1 when the
	// file as a whole is wrong or missing.
	Offset int64
	// Err is what is wrong.
	Err error
}

// Error implements error.
func (e *CorruptionError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("sstable: corrupt: %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("sstable: corrupt: %s at offset %d: %v", e.File, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *CorruptionError) Unwrap() error { return e.Err }

// Is reports whether target is ErrCorrupt.
func (e *CorruptionError) Is(target error) bool { return target == ErrCorrupt }
