package lsm

import (
	"context"
	"errors"
	"fmt"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
)

// Encryption makes a store that Open creates an encrypted one, and opens it again: all that it
// keeps of keys and values is then encrypted and authenticated, in its log, tables, blob files
// and manifest. docs/security.md says what that protects from. A store is encrypted from its
// creation on, or not at all. Others than its owner must not be able to write to its directory.
type Encryption struct {
	// Key is the source of the master key, without which nothing of the store can be read by
	// anybody. It must be set. It is asked by Open, and its work is part of Open's.
	Key crypto.KeyProvider
	// Cipher is that of data keys to come. The zero value takes what the machine is good at.
	Cipher crypto.Cipher
	// Policy says when files that are written take a new data key. It is looked at by Open and
	// before each flush. The zero value: only when RotateDataKey is called.
	Policy crypto.Policy
	// MinAnchor is what DB.Anchor has returned, kept where nobody who can change the store can
	// change it: a store that was put back to what it was before is ErrRollback, and so is one
	// that is gone. The zero value asks for nothing.
	MinAnchor Anchor
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

// KeyStatus returns what may be known of the store's keys: no secret. Errors: ErrNotEncrypted,
// ErrClosed.
func (d *DB) KeyStatus() (crypto.Status, error) {
	if d.keyring == nil {
		return crypto.Status{}, ErrNotEncrypted
	}
	st, err := d.keyring.ring.Status()
	return st, keyError(err)
}

// RotateDataKey makes a new data key: files that are begun from now on take it. What is there
// keeps the key that it has. One small file is written, durably, and a record of the manifest.
//
// Errors: ErrNotEncrypted, ErrReadOnly, ErrPoisoned, ErrClosed, those of crypto.Ring.Rotate, and
// those of the file system. With an error the new key may be in use, or may become so.
func (d *DB) RotateDataKey() error {
	return d.changeKeyring("rotate data key", func(r *crypto.Ring) error {
		_, err := r.Rotate()
		return err
	})
}

// ChangeMasterKey puts the store's keys under another master key, that of a provider. Only a
// small file is written, whatever the size of the store; checkpoints keep the key that they were
// made under. After an error that matches crypto.ErrUncertain either key may be the one that opens
// the store, until a later change succeeds: keep both.
//
// Errors: as RotateDataKey, and those of the provider.
func (d *DB) ChangeMasterKey(ctx context.Context, p crypto.KeyProvider) error {
	return d.changeKeyring("change master key", func(r *crypto.Ring) error { return r.Rewrap(ctx, p) })
}

// changeKeyring changes the keyring, and notes in the manifest that it has changed.
func (d *DB) changeKeyring(what string, change func(*crypto.Ring) error) error {
	if err := d.writable(); err != nil {
		return err
	}
	if d.keyring == nil {
		return ErrNotEncrypted
	}
	if err := d.hold(); err != nil {
		return err
	}
	defer d.release()
	err := change(d.keyring.ring)
	if err == nil && !d.closed.Load() && !(mutant.Enabled && mutant.Is(mutant.ForgetKeyring)) {
		err = d.install(func(*manifest.Version) (*manifest.Edit, error) {
			return &manifest.Edit{Keyring: d.keyring.anchor()}, nil
		}, nil)
	}
	if err != nil {
		return fmt.Errorf("lsm: %s: %w", what, keyError(err))
	}
	return nil
}

// rotateAtOpen makes a new data key, before the first file of this opening is made, if the policy
// asks for it.
func (d *DB) rotateAtOpen() error {
	if d.keyring == nil || !d.keyring.due(d.opts.Encryption.Policy, d.opts.seams.Now()) {
		return nil
	}
	_, err := d.keyring.ring.Rotate()
	if errors.Is(err, crypto.ErrFull) {
		d.event("data key not rotated", "cause", err) // the store is as good as before
		return nil
	}
	return keyError(err)
}

// rotateIfDue makes a new data key if the policy asks for it. A failure is tried again with the
// next flush.
func (d *DB) rotateIfDue() {
	if d.keyring == nil || !d.keyring.due(d.opts.Encryption.Policy, d.opts.seams.Now()) {
		return
	}
	if err := d.RotateDataKey(); err != nil {
		d.event("data key not rotated", "cause", err)
		return
	}
	d.event("data key rotated")
}
