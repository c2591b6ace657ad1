package wal

import (
	"errors"
	"fmt"
)

// Errors of recovery.
var (
	// ErrCorrupt: the log is damaged below what was known to be synced, or in a way that
	// no crash explains. It is reached through a *CorruptionError.
	ErrCorrupt = errors.New("wal: corrupt")
	// ErrTooNew: a segment or a record is of a format this code does not know.
	ErrTooNew = errors.New("wal: written by a newer version")
	// ErrSealed: a segment is encrypted, and nothing was given to open it with.
	ErrSealed = errors.New("wal: segment is encrypted")
)

// Errors of writing.
var (
	// ErrFailed: an earlier write, store or sync failed, and the log takes nothing more.
	// The first cause is wrapped in the same error.
	ErrFailed = errors.New("wal: failed earlier")
	// ErrUnready: no segment could be prepared, most often for lack of space (the cause
	// is wrapped). Nothing was written and nothing is broken: the call may be repeated.
	ErrUnready = errors.New("wal: no segment ready")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("wal: closed")
	// ErrInvalid: a batch or an option is outside its limits. Nothing was written.
	ErrInvalid = errors.New("wal: invalid argument")
)

// What is wrong with damaged bytes; the Err of a CorruptionError.
var (
	errMagic      = errors.New("not a log segment")
	errLength     = errors.New("length out of range")
	errChecksum   = errors.New("checksum mismatch")
	errMissing    = errors.New("segment is missing")
	errIdentity   = errors.New("segment is not the one listed")
	errUnlisted   = errors.New("segment was used but is not listed: the list is older than the log")
	errLink       = errors.New("wrong link to the predecessor")
	errHole       = errors.New("records are missing below a synced position")
	errSequence   = errors.New("sequence numbers do not ascend")
	errFragment   = errors.New("fragments of a batch do not fit")
	errAfterClose = errors.New("record after a clean close")
)

// CorruptionError says where the log is damaged. errors.Is(err, ErrCorrupt) holds for
// it. Its fields are read-only.
type CorruptionError struct {
	// File is the path of the slot file.
	File string
	// Segment is the segment that the file should hold.
	Segment SegmentNum
	// Offset is where the damage was met, in bytes from the start of the file.
	Offset int64
	// Synced is the greatest position found claimed as synced, zero if none.
	Synced Position
	// Err says what is wrong.
	Err error
}

// Error implements error.
func (e *CorruptionError) Error() string {
	s := fmt.Sprintf("wal: corrupt: %s (segment %d) at offset %d: %v", e.File, e.Segment, e.Offset, e.Err)
	if e.Synced.Segment != 0 {
		s += fmt.Sprintf("; synced up to segment %d offset %d", e.Synced.Segment, e.Synced.Offset)
	}
	return s
}

// Unwrap makes both ErrCorrupt and the detail reachable.
func (e *CorruptionError) Unwrap() []error { return []error{ErrCorrupt, e.Err} }
