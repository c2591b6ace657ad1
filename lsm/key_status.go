package lsm

import (
	"time"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/manifest"
)

// KeyStatus is what may be known of a store's keys, and what is under them. It holds no secret.
type KeyStatus struct {
	// Active is the id of the data key that new files take.
	Active crypto.KeyID
	// Keys are all data keys, the retired ones included, by id.
	Keys []DataKeyStatus
	// VaultKeyStays: the vault has still to be sealed under the vault key that came with the last data key, and
	// the keyring has the one before.
	VaultKeyStays bool
	// Conversion is the way that the store is on, and InClear what is in clear of it meanwhile.
	Conversion Conversion
	InClear    ClearStatus
	// Left is the length of the tables and blob files that are still to be written anew, since
	// their keys are to leave the store, or it is on its way: see DB.RotateDataKeys, Encrypt and Decrypt. Estimate is how long that takes
	// at the pace so far, if nothing more urgent comes between; zero when nothing is left or
	// nothing was written anew since Open.
	Left     int64
	Estimate time.Duration
}

// ClearStatus is what of a store is in clear and in its manifest.
type ClearStatus struct {
	// Tables, BlobFiles and LogSegments count it, segments that are prepared included; Bytes is their length.
	Tables, BlobFiles, LogSegments int
	Bytes                          int64
}

// DataKeyStatus is one data key and what is under it.
type DataKeyStatus struct {
	crypto.KeyInfo
	// Leaving: what is under the key is being written anew under the active one.
	Leaving bool
	// Tables, BlobFiles and LogSegments count what is under the key and in the manifest, segments
	// that are prepared included. Bytes is their length, Manifest reports whether the manifest
	// itself is under it too. What is held for readers, or is being written, is not among them.
	Tables, BlobFiles, LogSegments int
	Bytes                          int64
	Manifest                       bool
}

// KeyStatus returns the keys of the store as it is. A store that is open for reading counts neither
// its log nor its manifest, and no key as leaving but those of one that is being decrypted. Errors: ErrNotEncrypted, ErrClosed.
func (d *DB) KeyStatus() (KeyStatus, error) {
	guard := d.readers.Enter() // Close waits for us before it frees anything
	defer guard.Leave()
	switch {
	case d.closed.Load():
		return KeyStatus{}, ErrClosed
	case d.keyring == nil:
		return KeyStatus{}, ErrNotEncrypted
	}
	ring, err := d.keyring.ring.Status()
	if err != nil {
		return KeyStatus{}, keyError(err)
	}
	st := KeyStatus{Active: ring.Active, VaultKeyStays: ring.VaultKeyStays}
	for _, k := range ring.Keys {
		st.Keys = append(st.Keys, DataKeyStatus{KeyInfo: k})
	}
	if d.opts.ReadOnly {
		st.count(d.state.Load().version.Version, &manifest.State{Conversion: d.keyring.conversion}, 0)
		return st, nil
	}
	d.manifestMu.Lock()
	s, v, own := d.manifestLog.State(), d.manifestLog.Version(), d.manifestLog.Key()
	d.manifestMu.Unlock()
	st.count(v, s, own)
	st.Estimate = d.rotator.estimate(st.Left)
	return st, nil
}

// count fills in what is under the keys.
func (st *KeyStatus) count(v *manifest.Version, s *manifest.State, own crypto.KeyID) {
	retires := retiring(s)
	if c := s.Conversion; c != nil {
		st.Conversion = map[manifest.Direction]Conversion{manifest.ToEncrypted: Encrypting, manifest.ToClear: Decrypting}[c.To]
	}
	for i := range st.Keys {
		k := &st.Keys[i]
		k.Leaving = (k.State == crypto.Retiring || st.Conversion == Decrypting) && retires != nil && retires(k.ID)
		k.Manifest = k.ID == own
	}
	for _, u := range compaction.KeyUses(v, nil) {
		if retires != nil && retires(u.Key) {
			st.Left += u.Bytes
		}
	}
	for _, u := range compaction.KeyUses(v, s.Segments) {
		if u.Key == 0 {
			st.InClear = ClearStatus{u.Tables, u.Blobs, u.Segments, u.Bytes}
			continue
		}
		if int(u.Key) > len(st.Keys) {
			continue // no file has a key that the keyring lacks, but for damage
		}
		k := &st.Keys[u.Key-1]
		k.Tables, k.BlobFiles, k.LogSegments, k.Bytes = u.Tables, u.Blobs, u.Segments, u.Bytes
	}
}
