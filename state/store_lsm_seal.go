package state

import (
	"errors"

	"github.com/loamdb/loam/lsm"
)

// What the engine seals, and how it ends.

// ShredReport says what a Shred has done, and which checkpoints it could not reach.
type ShredReport = lsm.ShredReport

// ShredRecord is what the store keeps of a Shred, for as long as it lives.
type ShredRecord = lsm.ShredRecord

// Errors of what is sealed.
var (
	// ErrNotEncrypted: something was to be sealed, in a store that is not encrypted. Nothing was
	// written.
	ErrNotEncrypted = lsm.ErrNotEncrypted
	// ErrShredded: the value was sealed in a scope whose key was destroyed since, or was to be sealed
	// there.
	ErrShredded = lsm.ErrShredded
	// ErrNoScopeKey: the value was sealed under a key that is not here: that of the store of which this
	// one is a checkpoint (Encryption.Vault), or of a vault that is gone.
	ErrNoScopeKey = lsm.ErrNoScopeKey
)

// errSealedSince: a scope is sealed that was not to be. Nothing was written.
var errSealedSince = errors.New("state: the scope was sealed meanwhile")

// unread reports whether an error says that a value is there and can be read by nobody here.
func unread(err error) bool {
	return err != nil && (errors.Is(err, ErrShredded) || errors.Is(err, ErrNoScopeKey))
}

// ofValue reports whether an error of the engine is about one value alone, which is there: it cannot be opened,
// or blind changes cannot be folded into it.
func ofValue(err error) bool { return unread(err) || errors.Is(err, ErrMerge) }
