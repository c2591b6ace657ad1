package lsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/wal"
)

// Turning encryption on and off; docs/security.md says what it is for, docs/adr/0037 why so. A store that
// is on its way is an encrypted one: it has a keyring, and its manifest is encrypted and says which tables
// and blob files may be in clear (manifest.Conversion). These, or those that are encrypted, are written
// anew by compactions (compaction/pick_keys.go), as if their key were to leave.
//
//   - E1. Under the name KEYRING a keyring says that the store is encrypted, and a manifest in clear beside it
//     is none. While it may be the one or the other the keyring is aside (crypto.AsideName), where it counts
//     only if the manifest cannot be read without.
//   - E2. Nothing of a log in clear is read in a store that is to be encrypted: all of it is in tables before. Where a
//     crash has left segments of it on the list there must be nothing in them.
//   - E3. A file in clear is read only if it is, byte for byte, what the conversion has found, or if the store is
//     to be in clear.

// Conversion is the way that a store is on.
type Conversion uint8

// The ways.
const (
	// NoConversion: the store is encrypted, all of it.
	NoConversion Conversion = iota
	// Encrypting: what is in clear is being written anew, encrypted. It becomes NoConversion by itself.
	Encrypting
	// Decrypting: what is encrypted is being written anew, in clear. When nothing is left Close ends it, and
	// the store is one in clear.
	Decrypting
)

// String returns the way's name.
func (c Conversion) String() string {
	switch c {
	case NoConversion:
		return "none"
	case Encrypting:
		return "encrypting"
	case Decrypting:
		return "decrypting"
	}
	return fmt.Sprintf("conversion(%d)", uint8(c))
}

// Encrypt makes the store in clear in dir, which nobody has open, an encrypted one, with the Encryption of o, whose
// other options are as for Open. When it returns, the store opens with the key alone, and everything that is
// written to it is encrypted; what was there is written anew in the background while the store is open,
// through closing and crashes, until nothing in clear is left: DB.KeyStatus tells. Until then the store
// keeps to what Encrypt has found: a file in clear that was changed since, or comes from elsewhere, is
// ErrAuth. Encrypt flushes the store and reads all of its tables and blob files once.
//
// It is called once, not at each start: whoever can write to the directory could have put another
// store in clear there. A store that is being decrypted is turned back.
//
// Errors: ErrEncrypted if the store is encrypted already, or on its way; ErrInvalidOptions, ErrReadOnly,
// ErrNotExist, those of Open, and ctx's. With an error the store is in clear as before, or encrypted: the next
// Open tells.
func Encrypt(ctx context.Context, dir string, o *Options) error {
	if err := convert(ctx, dir, o, manifest.ToEncrypted); err != nil {
		return fmt.Errorf("lsm: encrypt %s: %w", dir, err)
	}
	return nil
}

// Decrypt begins to make the encrypted store in dir, which nobody has open, one in clear; o has its Encryption.
// When it returns, everything that is written to the store is in clear, and what was there is written anew in
// the background, as with Encrypt. The store opens with the key as long as anything encrypted is left, and until a
// Close finds that nothing is: that one makes it a store in clear and removes its keyring. Open with a
// key is ErrNotEncrypted from then on. Decrypt may be called again.
//
// Errors: ErrNotEncrypted; ErrScopeKeys, if values were sealed in the store; ErrInvalidOptions, ErrReadOnly,
// ErrNotExist, those of Open, and ctx's. With an error the store is as before, or on its way.
func Decrypt(ctx context.Context, dir string, o *Options) error {
	if err := convert(ctx, dir, o, manifest.ToClear); err != nil {
		return fmt.Errorf("lsm: decrypt %s: %w", dir, err)
	}
	return nil
}

// conversion is an opening that begins to convert the store.
type conversion struct {
	ctx context.Context
	to  manifest.Direction
}

func convert(ctx context.Context, dir string, o *Options, to manifest.Direction) error {
	if err := o.Validate(); err != nil {
		return err
	}
	opts := o.withDefaults()
	switch {
	case opts.ReadOnly:
		return ErrReadOnly
	case opts.InMemory:
		return fmt.Errorf("%w: a store in memory has nothing to convert", ErrInvalidOptions)
	case opts.Encryption == nil:
		return fmt.Errorf("%w: Encryption is not set", ErrInvalidOptions)
	}
	opts.MustExist, opts.ExpiryEvents = true, false // nothing is to write by itself
	lock, err := settleForConversion(ctx, dir, opts, to)
	if err != nil {
		return err
	}
	d := newDB(dir, opts)
	d.lock, d.converting = lock, &conversion{ctx, to}
	if err := d.openLocked(); err != nil {
		d.abandon()
		return err
	}
	return d.Close()
}

// settleForConversion opens the store as it is, looks whether it can be converted, brings all of its log into
// tables (E2) and closes it. It returns the lock of the directory.
func settleForConversion(ctx context.Context, dir string, opts Options, to manifest.Direction) (io.Closer, error) {
	d := newDB(dir, opts)
	if err := d.takeLock(); err != nil {
		return nil, err
	}
	err := d.openLocked()
	if to == manifest.ToEncrypted && errors.Is(err, ErrNotEncrypted) {
		lock := d.lock
		d.lock = nil
		d.abandon()
		if opts.Encryption.MinAnchor != (Anchor{}) {
			err := &CorruptionError{File: crypto.KeyringName, Offset: -1, Err: manifest.ErrRollback}
			return nil, errors.Join(err, lock.Close())
		}
		opts.Encryption = nil
		d = newDB(dir, opts)
		d.lock = lock
		err = d.openLocked()
	}
	if err != nil {
		d.abandon()
		return nil, err
	}
	if err = d.mayConvert(to); err == nil {
		err = d.Flush(ctx)
	}
	lock := d.lock
	d.lock = io.NopCloser(nil)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// mayConvert returns why the open store cannot be converted, or nil.
func (d *DB) mayConvert(to manifest.Direction) error {
	if to == manifest.ToEncrypted {
		if d.keyring != nil && !d.keyring.decrypting() {
			return ErrEncrypted
		}
		return nil
	}
	if d.vault.is.Load() != nil {
		return ErrScopeKeys
	}
	it, err := d.newIter(systemKeys, recordBounds(recordScopeKey), keys.MaxSeqNum)
	if err != nil {
		return err
	}
	defer it.Close() // its error is returned
	if it.First() {
		return ErrScopeKeys
	}
	return it.err
}

// replayedNothing reports whether everything in the log is in tables.
func (d *DB) replayedNothing(rec *replayed) bool { return d.mutable.empty() && len(rec.frozen) == 0 }

// dropClearLog takes segments in clear off the log of a store that is to be encrypted (E2).
func (d *DB) dropClearLog(s *manifest.State, rec *replayed) error {
	if d.keyring == nil || s.Conversion == nil || s.Conversion.To != manifest.ToEncrypted {
		return nil
	}
	for _, seg := range s.Segments {
		switch {
		case seg.Key != 0:
		case d.replayedNothing(rec):
			rec.log.Live = nil
		default:
			name := wal.SlotName(wal.Slot(seg.Slot))
			return &CorruptionError{File: name, Offset: -1, Err: fmt.Errorf("%w: log in clear, of which nothing was left", seal.ErrAuth)}
		}
	}
	return nil
}

// inClearLog reports whether nothing in a segment of a damaged store is to be believed (E2).
func (s *salvage) inClearLog(num wal.SegmentNum) bool {
	if s.keyring == nil || s.keyring.conversion == nil || s.keyring.decrypting() {
		return false
	}
	return slices.ContainsFunc(s.remains.State.Segments, func(seg manifest.Segment) bool {
		return wal.SegmentNum(seg.Num) == num && seg.Key == 0
	})
}

// errLogged: a store that is to be converted has something in its log all the same.
var errLogged = errors.New("the log is not empty")

// beginConversion changes what was loaded of a store into one that is on its way, and gives it a keyring
// aside if it has none. Nothing of the log is needed. It becomes durable with the manifest that OpenLog makes.
func (d *DB) beginConversion(loaded *manifest.Loaded, rec *replayed) error {
	if !d.replayedNothing(rec) {
		return errLogged
	}
	rec.log.Live = nil // the edit of the opening takes them off the list
	e := &manifest.Edit{Conversion: &manifest.Conversion{To: d.converting.to}}
	if d.converting.to == manifest.ToEncrypted {
		var err error
		if e.Conversion, err = d.digestClear(d.converting.ctx, loaded); err != nil {
			return err
		}
		if d.keyring == nil {
			files := d.opts.keyFiles(d.opts.seams.FS, d.dir)
			files.Aside = true
			if d.keyring, err = createKeyring(d.store, files, &d.opts); err != nil {
				return err
			}
		}
		e.MinKey, e.Keyring = 1, d.keyring.anchor()
	}
	state, err := loaded.State.Apply(e)
	if err != nil {
		return err
	}
	loaded.State = state
	d.keyring.conversion = state.Conversion
	return nil
}

var (
	errNoConversion = errors.New("nothing is to be encrypted")
	errStillClear   = errors.New("files in clear are left")
)

// endEncryption ends the conversion of a store that is to be encrypted, when nothing in clear is left: of its
// version, and of what lies in its directory for readers or from a crash.
func (d *DB) endEncryption() error {
	err := d.install(func(v *manifest.Version) (*manifest.Edit, error) {
		c := d.manifestLog.State().Conversion
		if c == nil || c.To != manifest.ToEncrypted {
			return nil, errNoConversion
		}
		if err := d.nothingClear(v, c); err != nil {
			return nil, err
		}
		return &manifest.Edit{Conversion: &manifest.Conversion{}}, nil
	}, nil)
	switch {
	case err == errNoConversion, err == errStillClear: // returned bare: what changes it wakes the rotator
		return nil
	case err == nil:
		d.event("encrypted")
	}
	return err
}

// endDecryption puts the keyring aside if the store is to be in clear and nothing encrypted is left but the manifest,
// and reports whether it did: the manifest may be one in clear then (E1). Called by Close, without manifestMu.
func (d *DB) endDecryption() (bool, error) {
	if !d.keyring.decrypting() {
		return false, nil
	}
	d.manifestMu.Lock()
	uses := compaction.KeyUses(d.manifestLog.Version(), d.manifestLog.State().Segments)
	d.manifestMu.Unlock()
	if slices.ContainsFunc(uses, func(u compaction.KeyUse) bool { return u.Key != 0 }) {
		return false, nil
	}
	if err := d.keyring.ring.Move(true); err != nil {
		return false, keyError(err)
	}
	return true, nil
}

// removeKeyring removes that of a store that is in clear now. One that stays is removed by the next opening.
func (d *DB) removeKeyring() {
	fs := d.opts.seams.FS
	err := fs.Remove(d.path(crypto.AsideName))
	if err == nil {
		err = fs.SyncDir(d.dir)
	}
	if err != nil {
		d.event("keyring not removed", "cause", err)
	}
	d.event("decrypted")
}
