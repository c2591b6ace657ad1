package lsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/vfs"
)

// Where an encrypted store has made checkpoints is on record: Shred destroys keys there, and a data
// key that one of them needs is not retired. docs/formats/directory.md has the record.
//
//   - R1. A checkpoint is on record before there is anything in its directory that a key opens.
//   - R2. Until its record says which data keys it needs, it needs all.

// CheckpointRecord is what an encrypted store keeps of a checkpoint that it has made.
type CheckpointRecord struct {
	// Dir is its directory, as it was given to Checkpoint.
	Dir string
	// Keys are the data keys that its files are under, ascending; nil if that is not known, since it
	// was not finished, and then any may be.
	Keys []crypto.KeyID
}

// Checkpoints yields the records of the checkpoints that the store has made, by directory, those of
// directories that are gone too, until ForgetCheckpoint removes them. A store in clear has none. An error
// is yielded once, with a zero CheckpointRecord, and ends the loop.
func (d *DB) Checkpoints() iter.Seq2[CheckpointRecord, error] {
	return recordsOf(d, recordCheckpoint, decodeCheckpoint)
}

// ForgetCheckpoint removes the record of a checkpoint, whose directory is named as it was given to
// Checkpoint: Shred does not look into it any more, nor name it, and it does not keep data keys from
// being retired. Nothing is done to the checkpoint. Errors: ErrNotFound if there is no such record,
// ErrReadOnly, ErrPoisoned, ErrClosed.
func (d *DB) ForgetCheckpoint(dir string) error {
	if err := d.writable(); err != nil {
		return err
	}
	has, err := d.hasRecord(checkpointKey(dir))
	if err == nil && !has {
		err = fmt.Errorf("lsm: forget checkpoint %s: %w", dir, ErrNotFound)
	}
	if err != nil {
		return err
	}
	var b dirBatch
	b.add(keys.KindDelete, checkpointKey(dir), nil)
	_, err = d.commitDirectory(&b, nil)
	return err
}

// register records that a checkpoint is made in a directory (R1), and which data keys it needs, once
// that is known.
func (c *checkpoint) register(needs []crypto.KeyID) error {
	d := c.db
	if d.keyring == nil || mutant.Enabled && mutant.Is(mutant.ForgetCheckpoint) {
		return nil
	}
	var b dirBatch
	b.add(keys.KindSet, checkpointKey(c.dir), checkpointValue(needs))
	_, err := d.commitDirectory(&b, nil)
	return err
}

// needs returns the data keys that the files of a checkpoint of a version are under, with the active
// one of its keyring, which its manifest takes.
func (k *keyring) needs(v *manifest.Version) ([]crypto.KeyID, error) {
	st, err := k.ring.Status()
	if err != nil {
		return nil, keyError(err)
	}
	needs := []crypto.KeyID{st.Active}
	v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
		needs = append(needs, t.Key)
		return true
	})
	for i := range v.Blobs {
		needs = append(needs, v.Blobs[i].Key)
	}
	slices.Sort(needs)
	return slices.Compact(needs), nil
}

// checkpointUsers names the checkpoints on record that need a data key: those that are there, or of
// which that cannot be told.
func (d *DB) checkpointUsers(id crypto.KeyID) ([]string, error) {
	if mutant.Enabled && mutant.Is(mutant.RetireCheckpointKey) {
		return nil, nil
	}
	var users []string
	fs := d.opts.outside()
	for r, err := range d.Checkpoints() {
		if err != nil {
			return nil, err
		}
		if r.Keys != nil && !slices.Contains(r.Keys, id) || filepath.Clean(r.Dir) == filepath.Clean(d.dir) {
			continue // of its own record a checkpoint may have a copy
		}
		names, err := fs.List(r.Dir)
		gone := errors.Is(err, vfs.ErrNotExist) ||
			err == nil && !slices.Contains(names, manifest.CurrentName) && !slices.Contains(names, manifest.UnfinishedName)
		if !gone {
			users = append(users, "checkpoint "+r.Dir)
		}
	}
	return users, nil
}

func checkpointKey(dir string) []byte { return append([]byte{byte(recordCheckpoint)}, dir...) }

func checkpointValue(needs []crypto.KeyID) []byte {
	p := []byte{recordVersion}
	for _, id := range needs {
		p = binary.LittleEndian.AppendUint64(p, uint64(id))
	}
	return p
}

func decodeCheckpoint(key, value []byte) (CheckpointRecord, error) {
	rest, err := checkRecord(value)
	if err == nil && (len(key) < 1 || len(rest)%8 != 0) {
		err = directoryError(codec.ErrMalformed)
	}
	if err != nil {
		return CheckpointRecord{}, err
	}
	r := CheckpointRecord{Dir: string(key[1:])}
	for ; len(rest) > 0; rest = rest[8:] {
		r.Keys = append(r.Keys, crypto.KeyID(binary.LittleEndian.Uint64(rest)))
	}
	return r, nil
}
