package lsm

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
)

// Which checkpoints an encrypted store has made, and where, is on record: Shred destroys keys there, a data
// key that one of them needs is not retired, and the key of a dropped scope that is in one of them stays in the
// vault. docs/formats/directory.md has the record.
//
//   - R1. A checkpoint is on record before there is anything in its directory that a key opens.
//   - R2. Until its record says which data keys it needs, and how far it goes, it needs all, and has nothing.
//   - R3. A record is of the store that the checkpoint is, not of its directory: what lies there is compared with it.

// CheckpointID names a checkpoint: it is the identity of the store that it is, which stands in its files and which
// no other has but copies of its directory. It is no secret.
type CheckpointID [16]byte

// String returns the id in hexadecimal.
func (id CheckpointID) String() string { return hex.EncodeToString(id[:]) }

// CheckpointRecord is what an encrypted store keeps of a checkpoint that it has made.
type CheckpointRecord struct {
	// ID is the checkpoint's.
	ID CheckpointID
	// Dir is its directory, as it was given to Checkpoint. It may have been moved since, and another may be there.
	Dir string
	// Keys are the data keys that its files are under, ascending; nil if that is not known, since it
	// was not finished, and then any may be. They are empty, and not nil, if it is under keys that this store
	// does not have: those before Salvage, or before Decrypt and Encrypt.
	Keys []crypto.KeyID

	family fileid.UID  // of the keyring by which Keys are meant
	end    keys.SeqNum // the first number that it does not have; 0: it was not finished
}

// Checkpoints yields the records of the checkpoints that the store has made, in no order, those of
// directories that are gone too, until ForgetCheckpoint removes them. A store in clear has none. An error
// is yielded once, with a zero CheckpointRecord, and ends the loop.
func (d *DB) Checkpoints() iter.Seq2[CheckpointRecord, error] {
	return func(yield func(CheckpointRecord, error) bool) {
		var family fileid.UID
		if d.keyring != nil {
			var err error
			if family, err = d.keyring.ring.Family(); err != nil {
				yield(CheckpointRecord{}, keyError(err))
				return
			}
		}
		for r, err := range recordsOf(d, recordCheckpoint, decodeCheckpoint) {
			if r.family != family && !(mutant.Enabled && mutant.Is(mutant.TrustKeyIDs)) {
				r.Keys = []crypto.KeyID{}
			}
			if err != nil {
				r = CheckpointRecord{}
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// ForgetCheckpoint removes the record of a checkpoint, for one that is gone, or is somebody else's from now on: Shred
// does not look into it any more, nor name it, it does not keep data keys from
// being retired, nor those of dropped scopes in the vault. Nothing is done to the checkpoint. Errors: ErrNotFound if
// there is no such record, ErrReadOnly, ErrPoisoned, ErrClosed.
func (d *DB) ForgetCheckpoint(id CheckpointID) error {
	if err := d.writable(); err != nil {
		return err
	}
	has, err := d.hasRecord(checkpointKey(id))
	if err == nil && !has {
		err = fmt.Errorf("lsm: forget checkpoint %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return err
	}
	var b dirBatch
	b.add(keys.KindDelete, checkpointKey(id), nil)
	if _, err = d.commitDirectory(&b, nil); err == nil {
		d.vault.mayForget()
	}
	return err
}

// MoveCheckpoint records that a checkpoint is in another directory than on record, where it must be found. Errors:
// ErrNotFound if there is no such record, ErrNotExist and ErrOtherStore if something else is there, or nothing,
// ErrReadOnly, ErrPoisoned, ErrClosed, and those of the file system.
func (d *DB) MoveCheckpoint(id CheckpointID, dir string) error {
	if err := d.writable(); err != nil {
		return err
	}
	value, err := d.get(nil, systemKeys.prefix, checkpointKey(id), keys.MaxSeqNum)
	var r CheckpointRecord
	if err == nil {
		r, err = decodeCheckpoint(checkpointKey(id), value)
	}
	if err == nil {
		r.Dir = dir
		_, err = d.visit(&r)
	}
	if err == nil && r.end == 0 {
		err = ErrNotExist // it was not finished
	}
	if err != nil {
		return fmt.Errorf("lsm: move checkpoint %s to %s: %w", id, dir, err)
	}
	var b dirBatch
	b.add(keys.KindSet, checkpointKey(id), checkpointValue(&r))
	_, err = d.commitDirectory(&b, nil)
	return err
}

// register records that a checkpoint is made in a directory (R1), instead of one there that was not finished, and of
// which nothing will be left.
func (c *checkpoint) register() error {
	d := c.db
	if d.keyring == nil || mutant.Enabled && mutant.Is(mutant.ForgetCheckpoint) {
		return nil
	}
	names, err := c.fs.List(c.dir)
	if err != nil {
		return err
	}
	left, _ := storeIn(c.fs, c.dir, names) // what cannot be read names none
	var b dirBatch
	for r, err := range d.Checkpoints() {
		if err != nil {
			return err
		}
		if r.ID == left || r.end == 0 && r.Dir == c.dir {
			b.add(keys.KindDelete, checkpointKey(r.ID), nil)
		}
	}
	family, err := d.keyring.ring.Family()
	if err != nil {
		return keyError(err)
	}
	c.record = CheckpointRecord{ID: CheckpointID(c.store), Dir: c.dir, family: family}
	b.add(keys.KindSet, checkpointKey(c.record.ID), checkpointValue(&c.record))
	_, err = d.commitDirectory(&b, nil)
	return err
}

// registerWhole records which data keys a checkpoint needs, and how far it goes.
func (c *checkpoint) registerWhole(needs []crypto.KeyID, flushed keys.SeqNum) error {
	if c.record.Dir == "" {
		return nil
	}
	c.record.Keys, c.record.end = needs, flushed+1
	var b dirBatch
	b.add(keys.KindSet, checkpointKey(c.record.ID), checkpointValue(&c.record))
	_, err := c.db.commitDirectory(&b, nil)
	return err
}

// unregister removes the record of a checkpoint of which nothing is left. One that stays is taken off by the next
// checkpoint in the directory, or by ForgetCheckpoint.
func (c *checkpoint) unregister() {
	if c.record.Dir == "" || mutant.Enabled && mutant.Is(mutant.KeepFailedRecord) {
		return
	}
	var b dirBatch
	b.add(keys.KindDelete, checkpointKey(c.record.ID), nil)
	if _, err := c.db.commitDirectory(&b, nil); err != nil {
		c.db.event("record of a checkpoint that came to nothing not removed", "cause", err)
	}
}

// needs returns the data keys that the files of a checkpoint of a version are under, with the active
// one of its keyring, which its manifest takes.
func (k *keyring) needs(v *manifest.Version) ([]crypto.KeyID, error) {
	st, err := k.ring.Status()
	if err != nil {
		return nil, keyError(err)
	}
	needs := []crypto.KeyID{st.Active}
	add := func(key crypto.KeyID) {
		if key != 0 { // in clear
			needs = append(needs, key)
		}
	}
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		add(t.Key)
		return true
	})
	for i := range v.Blobs {
		add(v.Blobs[i].Key)
	}
	slices.Sort(needs)
	return slices.Compact(needs), nil
}

// visit returns the names of the files in the directory of a checkpoint on record, if it is the checkpoint
// that is there (R3). Errors: ErrNotExist if the directory is gone or empty, ErrOtherStore, and those that keep one from
// telling.
func (d *DB) visit(r *CheckpointRecord) ([]string, error) {
	fs := d.opts.outside()
	names, err := fs.List(r.Dir)
	if errors.Is(err, vfs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNotExist, err)
	}
	if err != nil {
		return nil, err
	}
	begun := slices.Contains(names, manifest.UnfinishedName)
	if !begun && !slices.Contains(names, manifest.CurrentName) {
		return nil, ErrNotExist
	}
	found, err := storeIn(fs, r.Dir, names)
	switch {
	case err != nil:
		return nil, err
	case begun && found == (CheckpointID{}) && r.end == 0: // it has no name yet
	case found != r.ID && !(mutant.Enabled && mutant.Is(mutant.TrustPath)):
		return nil, fmt.Errorf("%w: checkpoint %s was made there", ErrOtherStore, r.ID)
	}
	return names, nil
}

// storeIn returns the identity of the store in a directory with files of these names, zero if it does not say. No
// key is asked for: a checkpoint may be under another master key.
func storeIn(fs vfs.FS, dir string, names []string) (CheckpointID, error) {
	for _, aside := range []bool{false, true} {
		name := crypto.KeyringName
		if aside {
			name = crypto.AsideName
		}
		if slices.Contains(names, name) {
			uid, err := crypto.StoreOf(crypto.Options{FS: fs, Dir: dir, Aside: aside})
			return CheckpointID(uid), keyError(err)
		}
	}
	if !slices.Contains(names, manifest.CurrentName) {
		return CheckpointID{}, nil
	}
	loaded, err := manifest.Load(fs, dir, nil) // it is in clear
	if err != nil {
		return CheckpointID{}, err
	}
	return CheckpointID(loaded.State.Store), nil
}

// checkpointUsers names the checkpoints on record that need a data key: those that are there, or of
// which that cannot be told.
func (d *DB) checkpointUsers(id crypto.KeyID) ([]string, error) {
	if mutant.Enabled && mutant.Is(mutant.RetireCheckpointKey) {
		return nil, nil
	}
	var users []string
	for r, err := range d.Checkpoints() {
		if err != nil {
			return nil, err
		}
		if r.Keys != nil && !slices.Contains(r.Keys, id) || r.ID == CheckpointID(d.store) {
			continue // of its own record a checkpoint may have a copy
		}
		switch _, err := d.visit(&r); {
		case errors.Is(err, ErrNotExist):
		case err != nil:
			users = append(users, fmt.Sprintf("checkpoint %s, or not: %v", r.Dir, err))
		default:
			users = append(users, "checkpoint "+r.Dir)
		}
	}
	slices.Sort(users)
	return users, nil
}

func checkpointKey(id CheckpointID) []byte { return append([]byte{byte(recordCheckpoint)}, id[:]...) }

// The value of a record, docs/formats/directory.md is canonical:
//
//	0 version   1 family   17 end   25 number of keys   27 keys, then the directory
const checkpointHeadLen = 27

func checkpointValue(r *CheckpointRecord) []byte {
	p := append([]byte{recordVersion}, r.family[:]...)
	p = binary.LittleEndian.AppendUint64(p, uint64(r.end))
	p = binary.LittleEndian.AppendUint16(p, uint16(len(r.Keys))) // a keyring has 4,096
	for _, id := range r.Keys {
		p = binary.LittleEndian.AppendUint64(p, uint64(id))
	}
	return append(p, r.Dir...)
}

func decodeCheckpoint(key, value []byte) (CheckpointRecord, error) {
	if _, err := checkRecord(value); err != nil {
		return CheckpointRecord{}, err
	}
	r := CheckpointRecord{}
	if len(key) != 1+len(r.ID) || len(value) < checkpointHeadLen {
		return CheckpointRecord{}, directoryError(codec.ErrMalformed)
	}
	copy(r.ID[:], key[1:])
	copy(r.family[:], value[1:])
	r.end = keys.SeqNum(binary.LittleEndian.Uint64(value[17:]))
	n, rest := int(binary.LittleEndian.Uint16(value[25:])), value[checkpointHeadLen:]
	if n*8 >= len(rest) || (n == 0) != (r.end == 0) {
		return CheckpointRecord{}, directoryError(codec.ErrMalformed)
	}
	for ; n > 0; n, rest = n-1, rest[8:] {
		r.Keys = append(r.Keys, crypto.KeyID(binary.LittleEndian.Uint64(rest)))
	}
	r.Dir = string(rest)
	return r, nil
}
