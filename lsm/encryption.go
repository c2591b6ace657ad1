package lsm

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/crypto"
)

// Encryption makes a store that Open creates an encrypted one, and opens it again: all that it
// keeps of keys and values is then encrypted and authenticated, in its log, tables, blob files
// and manifest. docs/security.md says what that protects from. A store in clear is not opened with it: Encrypt
// makes it an encrypted one, and Decrypt the other way round. Others than its owner must not be able to write to its directory.
type Encryption struct {
	// Key is the source of the master key, without which nothing of the store can be read by
	// anybody. It must be set. It is asked by Open, and its work is part of Open's.
	Key crypto.KeyProvider
	// Cipher is that of data keys to come. The zero value takes what the machine is good at.
	Cipher crypto.Cipher
	// Policy says when files that are written take a new data key. It is looked at by Open and
	// before each flush. A key that has reached MaxAge leaves the store, as when RotateDataKeys
	// is called; one that has reached MaxBytes stays with what is under it. The zero value: only
	// when RotateDataKeys is called.
	Policy crypto.Policy
	// MinAnchor is what DB.Anchor has returned, kept where nobody who can change the store can
	// change it: a store that was put back to what it was before is ErrRollback, and so is one
	// that is gone. The zero value asks for nothing.
	MinAnchor Anchor
	// Vault is the directory of the store of which this one is a checkpoint, or was copied: what is
	// sealed in its scopes is read with the keys of that store's vault as it was when this one was
	// opened. It is not written. Empty: such values give ErrNoScopeKey.
	Vault string
}

// validate returns what is wrong.
func (e *Encryption) validate() error {
	switch {
	case e.Key == nil:
		return errors.New("Encryption without a Key")
	case e.Cipher > crypto.ChaCha20Poly1305:
		return fmt.Errorf("Encryption: unknown %s", e.Cipher)
	case e.Policy.MaxAge < 0:
		return fmt.Errorf("Encryption: Policy.MaxAge %s is negative", e.Policy.MaxAge)
	}
	return nil
}

// Anchor returns the anchor of the store as it is on the device: of its keyring and its manifest.
// It changes with most of what the store does in the background; one that is older asks for less.
// It says nothing of the log: what was committed since the last flush may be cut off unseen.
//
// Errors: ErrNotEncrypted, ErrReadOnly, ErrClosed.
func (d *DB) Anchor() (Anchor, error) {
	switch {
	case d.closed.Load():
		return Anchor{}, ErrClosed
	case d.keyring == nil:
		return Anchor{}, ErrNotEncrypted
	case d.opts.ReadOnly:
		return Anchor{}, ErrReadOnly
	}
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	ring, err := d.keyring.ring.Anchor()
	if err != nil {
		return Anchor{}, keyError(err)
	}
	return Anchor{ring, d.manifestLog.Anchor()}, nil
}
