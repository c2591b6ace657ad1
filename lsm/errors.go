package lsm

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// Errors of opening.
var (
	// ErrLocked: another process, or another handle of this one, has the directory
	// open. The error's text names the holder.
	ErrLocked = errors.New("lsm: directory is locked")
	// ErrNotExist: the directory holds no store, and the options do not allow making one,
	// or it holds a checkpoint that was not finished.
	ErrNotExist = errors.New("lsm: no store in the directory")
	// ErrTooNew: a file was written by a newer version of the format. Nothing was changed.
	ErrTooNew = errors.New("lsm: format is newer than this code")
	// ErrInvalidOptions: Options.Validate found the problems that the text lists.
	ErrInvalidOptions = errors.New("lsm: invalid options")
)

// Errors of encryption.
var (
	// ErrEncrypted: the store is encrypted, and Options.Encryption was not set, or it was to be encrypted.
	ErrEncrypted = errors.New("lsm: store is encrypted")
	// ErrNotEncrypted: the store is in clear, and Options.Encryption was set, or the operation
	// is one of an encrypted store. Nothing was written. Encrypt makes it an encrypted one.
	ErrNotEncrypted = errors.New("lsm: store is not encrypted (see Encrypt)")
	// ErrDecrypting: the store is on its way to being in clear (Decrypt): it makes no new keys.
	ErrDecrypting = errors.New("lsm: store is being decrypted")
	// ErrScopeKeys: values were sealed in the store, which nobody could read without its keys, so that it
	// stays encrypted.
	ErrScopeKeys = errors.New("lsm: store has keys of scopes")
	// ErrWrongKey: the master key is another one than the store's. Nothing but the keyring was
	// read.
	ErrWrongKey = crypto.ErrWrongKey
	// ErrAuth: stored bytes were changed, moved or come from elsewhere. It comes as a
	// *CorruptionError, and matches ErrCorrupt.
	ErrAuth = errors.New("lsm: not authentic")
	// ErrNotPrivate: everybody may write to the directory, or it is another user's and to be written to, or its
	// group may write to that of an encrypted store (see Options.AllowSharedDir); or others may reach the file
	// with its key; or the lock file has a second name, and who holds the lock would be written into
	// whatever that is. Nothing was written.
	ErrNotPrivate = vfs.ErrNotPrivate
	// ErrShredded: the value was sealed in a scope whose key was destroyed since.
	ErrShredded = crypto.ErrShredded
	// ErrNoScopeKey: the value was sealed under a key that is not here: that of the store of which
	// this one is a copy (Encryption.Vault), or of a vault that is gone.
	ErrNoScopeKey = errors.New("lsm: the key of a sealed value is not here")
	// ErrNotScoped: a value of the root was to be sealed. Nothing was written.
	ErrNotScoped = errors.New("lsm: only values of scopes are sealed")
	// ErrScopeSealed: an operand was to be merged in a scope that is sealed as a whole, for operands cannot be
	// sealed, or a batch has required that it is not (RequireUnsealed). Nothing was written.
	ErrScopeSealed = errors.New("lsm: the scope is sealed as a whole")
	// ErrRollback: the store, or its keyring, is older than an anchor of it. It comes as a
	// *CorruptionError, and matches ErrCorrupt.
	ErrRollback = errors.New("lsm: older than its anchor")
)

// Errors of operations.
var (
	// ErrNotFound: the key is absent.
	ErrNotFound = errors.New("lsm: key not found")
	// ErrClosed: the handle was used after Close.
	ErrClosed = errors.New("lsm: closed")
	// ErrReadOnly: the store was opened with Options.ReadOnly.
	ErrReadOnly = errors.New("lsm: store is read-only")
	// ErrTooLarge: a key, value or batch exceeds its limit. Nothing was written.
	ErrTooLarge = errors.New("lsm: too large")
	// ErrInvalidRange: a range ends before it begins. Nothing was written.
	ErrInvalidRange = errors.New("lsm: range ends before it begins")
	// ErrConflict: something that the commit depends on has changed: a Require does not
	// hold, or a transaction has read what another commit has written since. Nothing was
	// written. Plain writes never meet it.
	ErrConflict = errors.New("lsm: conflict with another commit")
	// ErrNotEmpty: a checkpoint needs a directory that is missing or empty.
	ErrNotEmpty = errors.New("lsm: directory is not empty")
	// ErrOtherStore: where a checkpoint was made lies another store now: it was moved, or replaced.
	ErrOtherStore = errors.New("lsm: another store is in the directory")
	// ErrInvalidTable: a file is no table that can be ingested, or keys were given to a
	// TableWriter out of order. Nothing was ingested.
	ErrInvalidTable = errors.New("lsm: not a table that can be ingested")
	// ErrInUse: Close found iterators, snapshots or transactions still open, or a call at
	// work that reads tables, such as Verify and Checkpoint. The store is closed; what they
	// hold is released when they are closed, or end.
	ErrInUse = errors.New("lsm: iterators, snapshots or transactions still open")
)

// Errors of the machine.
var (
	// ErrCorrupt: stored bytes are not what was written. Details: *CorruptionError.
	ErrCorrupt = errors.New("lsm: corrupt")
	// ErrNoSpace: the device or the quota is full. Nothing was written; reads go on,
	// and writes resume by themselves when space returns.
	ErrNoSpace = vfs.ErrNoSpace
	// ErrPoisoned: an earlier write or sync failed, so that nothing further is
	// acknowledged. The first cause is wrapped. Reads go on; reopening recovers.
	ErrPoisoned = errors.New("lsm: writing stopped after a failure")
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
		return fmt.Sprintf("lsm: corrupt: %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("lsm: corrupt: %s at offset %d: %v", e.File, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *CorruptionError) Unwrap() error { return e.Err }

// Is reports whether target is ErrCorrupt, or ErrAuth or ErrRollback where it is that.
func (e *CorruptionError) Is(target error) bool {
	switch target {
	case ErrCorrupt:
		return true
	case ErrAuth:
		return errors.Is(e.Err, seal.ErrAuth) || errors.Is(e.Err, crypto.ErrAuth)
	case ErrRollback:
		return errors.Is(e.Err, manifest.ErrRollback) || errors.Is(e.Err, crypto.ErrRollback)
	}
	return false
}

// LimitError says which limit an operation exceeded. It matches ErrTooLarge.
type LimitError struct {
	// What was too large: "key", "value", "batch" or "transaction".
	What string
	// Bytes is its size and Limit the greatest allowed, in bytes.
	Bytes, Limit int64
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("lsm: %s of %d bytes exceeds the limit of %d", e.What, e.Bytes, e.Limit)
}

// Is reports whether target is ErrTooLarge.
func (e *LimitError) Is(target error) bool { return target == ErrTooLarge }
