package lsm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
)

// Rotation of keys; docs/security.md says what it is for. A new master key is one small file. A new
// data key is for files that are begun from then on. What is under the keys before it is to leave
// them, once the manifest says so (MinKey), which survives whatever happens:
//
//   - the log goes on in another segment, and what it held is flushed (rotator.go);
//   - the manifest goes on in another file (rotator.go);
//   - the vault, if there is one, is sealed under another key of the keyring (rotator.go);
//   - tables and blob files are written anew by compactions (compaction/pick_keys.go).
//
// Then nothing needs the old key, and it can be retired, which is never done unasked: it is for
// ever.

// RotateMasterKey puts the store's keys under another master key, that of a provider. Only a small
// file is written, whatever the size of the store; checkpoints keep the key that they were made
// under. After an error that matches crypto.ErrUncertain either key may be the one that opens the
// store, until a later change succeeds: keep both.
//
// Errors: as RotateDataKeys, and those of the provider.
func (d *DB) RotateMasterKey(ctx context.Context, p crypto.KeyProvider) error {
	return d.changeKeyring("rotate master key", &manifest.Edit{}, func(r *crypto.Ring) error { return r.Rewrap(ctx, p) })
}

// RotateDataKeys makes a new data key, which everything that is written from now on takes, and has
// all that is under older ones written anew under it: the log by a flush, tables and blob files by
// compactions, after all work that is more urgent; and the vault under a new key of its own. It returns when the new key is in use; the rest
// goes on in the background, and after the next opening if it must. KeyStatus tells how far it is.
//
// Errors: ErrNotEncrypted, ErrDecrypting, ErrReadOnly, ErrPoisoned, ErrClosed, those of crypto.Ring.Rotate, and
// those of the file system. With an error the new key may be in use, or may become so; nothing is
// written anew for it.
func (d *DB) RotateDataKeys() error {
	if d.keyring.decrypting() {
		return ErrDecrypting
	}
	e := &manifest.Edit{}
	err := d.changeKeyring("rotate data keys", e, func(r *crypto.Ring) (err error) {
		e.MinKey, err = r.Rotate()
		return err
	})
	if err == nil {
		d.rotator.alarm.wake()
		d.compactor.wake()
	}
	return err
}

// RetireDataKey removes a data key for ever: what is under it can be read by nobody any more. It
// is refused while anything needs it: a table or a blob file, be it that an iterator or a
// checkpoint alone still reads it; a segment of the log, used or prepared; the manifest; a file
// that is being written; a checkpoint on record (Checkpoints) that is there. others names what needs it
// outside of the store, as backups do, and is called while no key changes; nil means nothing.
// Checkpoints have keyrings of their own: one that was forgotten can be read afterwards too.
//
// Errors: *crypto.InUseError, crypto.ErrActive, crypto.ErrNoKey, crypto.ErrRetired; that of
// others; as RotateDataKeys. With crypto.ErrUncertain the key may be gone.
func (d *DB) RetireDataKey(id crypto.KeyID, others func() ([]string, error)) error {
	return d.changeKeyring("retire data key", &manifest.Edit{}, func(r *crypto.Ring) error {
		return r.Retire(id, func(id seal.KeyID) ([]string, error) {
			users := d.keyUsers(id)
			made, err := d.checkpointUsers(id)
			if users = append(users, made...); err != nil || others == nil {
				return users, err
			}
			more, err := others()
			return append(users, more...), err
		})
	})
}

// changeKeyring changes the keyring, and notes in the manifest, with e, that it has changed.
func (d *DB) changeKeyring(what string, e *manifest.Edit, change func(*crypto.Ring) error) error {
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
	switch {
	case err != nil:
	case d.closed.Load():
		if e.MinKey > 0 {
			err = ErrClosed // the key is there, and nothing is to leave for it
		}
	default:
		err = d.install(func(*manifest.Version) (*manifest.Edit, error) {
			if !(mutant.Enabled && mutant.Is(mutant.ForgetKeyring)) {
				e.Keyring = d.keyring.anchor()
			}
			return e, nil
		}, nil)
	}
	if err != nil {
		return fmt.Errorf("lsm: %s: %w", what, keyError(err))
	}
	return nil
}

// keyUsers names what needs a data key that is not the active one. The files that hold it come
// first: what they are written for may list them meanwhile.
func (d *DB) keyUsers(id seal.KeyID) []string {
	users := d.keyring.holders.names(id)
	// Killed by TestAKeyThatIsHeldIsNotRetired.
	if mutant.Enabled && mutant.Is(mutant.RetireHeldKey) {
		users = nil
	}
	d.manifestMu.Lock()
	s, v, own := d.manifestLog.State(), d.manifestLog.Version(), d.manifestLog.Key()
	d.manifestMu.Unlock()
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		if t.Key == id {
			users = append(users, manifest.TableName(t.Num))
		}
		return true
	})
	for i := range v.Blobs {
		if v.Blobs[i].Key == id {
			users = append(users, manifest.BlobName(v.Blobs[i].Num))
		}
	}
	// Killed by TestAKeyOfTheLogIsNotRetired.
	if !(mutant.Enabled && mutant.Is(mutant.RetireLogKey)) {
		for _, seg := range s.Segments {
			if seg.Key == id {
				users = append(users, fmt.Sprintf("segment %d of the log", seg.Num))
			}
		}
		if own == id {
			users = append(users, "the manifest")
		}
	}
	slices.Sort(users)
	return slices.Compact(users) // a live table is held and listed
}

// retiring reports the data keys that are to leave, nil if none is; 0 is that of files in clear.
func retiring(s *manifest.State) func(seal.KeyID) bool {
	if c := s.Conversion; c != nil && c.To == manifest.ToClear {
		return func(key seal.KeyID) bool { return key != 0 }
	}
	least := s.MinKey
	if least == 0 {
		return nil
	}
	return func(key seal.KeyID) bool { return key < least }
}

// rotateAtOpen makes a new data key, before the first file of this opening is made, if the policy
// asks for it. It returns what the edit of the opening says of it.
func (d *DB) rotateAtOpen() (seal.KeyID, error) {
	if d.keyring == nil || d.keyring.decrypting() {
		return 0, nil
	}
	due, aged := d.keyring.due(d.opts.Encryption.Policy, d.opts.seams.Now())
	if !due {
		return 0, nil
	}
	id, err := d.keyring.ring.Rotate()
	switch {
	case errors.Is(err, crypto.ErrFull):
		d.event("data key not rotated", "cause", err) // the store is as good as before
		return 0, nil
	case err != nil:
		return 0, keyError(err)
	case !aged:
		return 0, nil
	}
	return id, nil
}

// rotateIfDue makes a new data key if the policy asks for it. A failure is tried again with the
// next flush.
func (d *DB) rotateIfDue() {
	if d.keyring == nil || d.keyring.decrypting() {
		return
	}
	due, aged := d.keyring.due(d.opts.Encryption.Policy, d.opts.seams.Now())
	var err error
	switch {
	case aged:
		err = d.RotateDataKeys()
	case due: // were everything written anew for that, it would be due again
		err = d.changeKeyring("rotate data key", &manifest.Edit{}, func(r *crypto.Ring) error {
			_, err := r.Rotate()
			return err
		})
	default:
		return
	}
	if err != nil {
		d.event("data key not rotated", "cause", err)
		return
	}
	d.rotator.alarm.wake() // for the vault
	d.event("data key rotated")
}
