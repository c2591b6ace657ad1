package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
)

// KeyAnchor tells one state of the keyring or of the vault from those before it, as package
// crypto does. The zero value: there is none.
type KeyAnchor struct {
	// UID is that of the keyring's store, or of the vault.
	UID fileid.UID
	// Epoch rises with each writing of the file, and Digest is its SHA-256.
	Epoch  uint64
	Digest [sha256.Size]byte
}

// raise returns the anchor after an edit: that of another file, or a later one of this file.
func (a KeyAnchor) raise(to *KeyAnchor) KeyAnchor {
	if to == nil || to.UID == a.UID && to.Epoch < a.Epoch {
		return a
	}
	return *to
}

// A key anchor is UID, epoch and digest; the zero one is empty.
func appendKeyAnchor(p []byte, a *KeyAnchor) []byte {
	if *a == (KeyAnchor{}) {
		return p
	}
	p = binary.AppendUvarint(append(p, a.UID[:]...), a.Epoch)
	return append(p, a.Digest[:]...)
}

func decodeKeyAnchor(d *codec.Decoder) *KeyAnchor {
	a := &KeyAnchor{}
	if d.Len() == 0 {
		return a
	}
	a.UID, a.Epoch = decodeUID(d), d.Uvarint()
	copy(a.Digest[:], d.Bytes(len(a.Digest)))
	if *a == (KeyAnchor{}) {
		d.Fail(codec.ErrMalformed)
	}
	return a
}

// Anchor tells one state of an encrypted manifest from those before it. Kept where an attacker
// cannot change it, it shows when the manifest was put back: each file's number is above those
// of the files before it and is sealed with the first record; a record is known by its number
// and the file's UID, since nobody seals a number of a file twice. It holds no secret. Of a
// manifest in clear it proves nothing.
type Anchor struct {
	// File is the number in the file's name, and UID the file's.
	File uint64
	UID  fileid.UID
	// Record is the number of a record that was synced.
	Record uint64
}

// Check returns ErrRollback if found, the anchor of a manifest that was read, is older than a,
// or of a history that has left that of a before it. A zero a is older than all.
func (a Anchor) Check(found Anchor) error {
	switch {
	case a == Anchor{}, found.File > a.File:
		return nil
	case mutant.Enabled && mutant.Is(mutant.ForgetManifest): // killed by TestManifestsThatWerePutBackAreRefused
		return nil
	case found.File < a.File || found.UID != a.UID || found.Record < a.Record:
		return fmt.Errorf("%w: %s with %d records, the anchor has %s with %d",
			ErrRollback, manifestName(found.File), found.Record, manifestName(a.File), a.Record)
	}
	return nil
}

// Anchor returns the anchor of what was found.
func (l *Loaded) Anchor() Anchor { return Anchor{File: l.num, UID: l.uid, Record: l.nextRecord - 1} }

// Anchor returns the anchor of the newest state, which is durable.
func (l *Log) Anchor() Anchor { return Anchor{File: l.num, UID: l.uid, Record: l.nextRecord - 1} }
