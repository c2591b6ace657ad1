package manifest

import (
	"errors"
	"fmt"
)

// Errors of reading.
var (
	// ErrNoStore: the directory holds no store, nor anything left of one.
	ErrNoStore = errors.New("manifest: no store in the directory")
	// ErrUnfinished: the directory holds what an interrupted copy of a store has left.
	// Whoever makes one there again may remove it.
	ErrUnfinished = errors.New("manifest: copy of a store that was not finished")
	// ErrCorrupt: stored bytes are not what was written. Details: *CorruptionError.
	ErrCorrupt = errors.New("manifest: corrupt")
	// ErrSealed: the store is encrypted, and nothing was given to open it with.
	ErrSealed = errors.New("manifest: encrypted")
	// ErrRollback: the manifest is older than the anchor that it was compared with.
	ErrRollback = errors.New("manifest: older than its anchor")
	// ErrTooNew: the store needs a newer version of this code. It was not touched.
	ErrTooNew = errors.New("manifest: format is newer than this code")
)

// Errors of writing.
var (
	// ErrInvalidEdit: the edit does not fit the state. Nothing was written.
	ErrInvalidEdit = errors.New("manifest: edit does not fit")
	// ErrUncertain: the edit failed, but may be found by the next Load. Whoever made it
	// must neither delete the files that it adds nor those that it deletes until the
	// store was opened again or a later Append succeeded.
	ErrUncertain = errors.New("manifest: edit may be on disk")
	// ErrFailed: an earlier write or sync failed, and the log takes nothing more. The
	// first cause is wrapped in the same error.
	ErrFailed = errors.New("manifest: failed earlier")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("manifest: closed")
)

// What is wrong with damaged bytes; the Err of a CorruptionError.
var (
	errMissing   = errors.New("file is missing")
	errLength    = errors.New("file has another length than it was made with")
	errMagic     = errors.New("not a manifest")
	errChecksum  = errors.New("checksum mismatch")
	errIdentity  = errors.New("manifest is not the one that CURRENT names")
	errHole      = errors.New("record damaged below a synced position")
	errNumber    = errors.New("record out of order")
	errNoRecord  = errors.New("no whole record")
	errMalformed = errors.New("malformed edit")
	errCurrent   = errors.New("malformed CURRENT")
)

// CorruptionError says where damage was found. It matches ErrCorrupt.
type CorruptionError struct {
	// File is the file's name within the store's directory.
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
		return fmt.Sprintf("manifest: corrupt: %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("manifest: corrupt: %s at offset %d: %v", e.File, e.Offset, e.Err)
}

// Unwrap makes both ErrCorrupt and the detail reachable.
func (e *CorruptionError) Unwrap() []error { return []error{ErrCorrupt, e.Err} }

// invalid is an ErrInvalidEdit with its reason.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidEdit, fmt.Sprintf(format, args...))
}
