package crypto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// KeyState is what a data key is for. The values are on disk.
type KeyState uint8

// States of a data key.
const (
	Active   KeyState = 1 // new files take it; one key is
	Retiring KeyState = 2 // files that have it can be read
	Retired  KeyState = 3 // its bytes are gone
)

// String returns the state's name.
func (s KeyState) String() string {
	switch s {
	case Active:
		return "active"
	case Retiring:
		return "retiring"
	case Retired:
		return "retired"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// KeyID numbers the data keys of a keyring, from 1. In headers of files, 0 means in clear.
type KeyID = seal.KeyID

// KeyInfo is what may be known of a data key.
type KeyInfo struct {
	ID     seal.KeyID
	State  KeyState
	Cipher Cipher
	// Created and Changed tell when the key was made, and when it entered its state.
	Created, Changed time.Time
	// Sealed is how many bytes were sealed under the key, as far as Ring.Count was told; after a
	// crash what was counted since the last change of the keyring is missing.
	Sealed uint64
}

// dataKey is a data key of a keyset. All states of it count in the same place.
type dataKey struct {
	KeyInfo
	sealed *atomic.Uint64
	key    Key // zero when retired
}

// keyset is what a keyring holds.
type keyset struct {
	epoch  uint64
	family fileid.UID
	vault  Key
	former Key // the vault key before, zero if nothing is under it any more
	active seal.KeyID
	keys   []dataKey // ids 1, 2, 3, …
}

// find returns the key of an id, or nil.
func (s *keyset) find(id seal.KeyID) *dataKey {
	if id == 0 || uint64(id) > uint64(len(s.keys)) {
		return nil
	}
	return &s.keys[id-1]
}

// clone returns a copy with the same keys, to be changed.
func (s *keyset) clone() *keyset {
	c := *s
	c.keys = append([]dataKey(nil), s.keys...)
	return &c
}

// copy returns a copy that shares no memory.
func (s *keyset) copy() *keyset {
	c := s.clone()
	c.vault, c.former = s.vault.clone(), s.former.clone()
	for i := range c.keys {
		k := &c.keys[i]
		k.key, k.sealed = k.key.clone(), &atomic.Uint64{}
		k.sealed.Store(s.keys[i].sealed.Load())
	}
	return c
}

// wipe clears the keys.
func (s *keyset) wipe() {
	s.vault.Wipe()
	s.former.Wipe()
	for _, k := range s.keys {
		k.key.Wipe()
	}
}

// The body of a keyring; docs/formats/keyring.md is canonical.
//
//	 0 epoch                    data key, 64 bytes
//	 8 family                    0 id        8 created
//	24 vault key                 4 state    16 entered its state
//	56 vault key before          5 cipher   24 bytes sealed
//	88 active id                 6 zero     32 key
//	92 number of keys
//	96 data keys
const (
	keysetLen  = 96
	dataKeyLen = 64
	maxKeys    = 4096
)

func (s *keyset) encode() []byte {
	p := make([]byte, 0, keysetLen+len(s.keys)*dataKeyLen)
	p = binary.LittleEndian.AppendUint64(p, s.epoch)
	p = append(p, s.family[:]...)
	p = append(p, s.vault.bytes()...)
	p = appendKey(p, s.former)
	p = binary.LittleEndian.AppendUint32(p, uint32(s.active))
	p = binary.LittleEndian.AppendUint32(p, uint32(len(s.keys)))
	for i := range s.keys {
		k := &s.keys[i]
		p = binary.LittleEndian.AppendUint32(p, uint32(k.ID))
		p = append(p, byte(k.State), byte(k.Cipher), 0, 0)
		p = binary.LittleEndian.AppendUint64(p, uint64(k.Created.UnixMilli()))
		p = binary.LittleEndian.AppendUint64(p, uint64(k.Changed.UnixMilli()))
		p = binary.LittleEndian.AppendUint64(p, k.sealed.Load())
		p = appendKey(p, k.key)
	}
	return p
}

// appendKey appends a key's bytes, zeros for the zero Key.
func appendKey(p []byte, k Key) []byte {
	if k.IsZero() {
		return append(p, make([]byte, KeyLen)...)
	}
	return append(p, k.bytes()...)
}

var errMalformed = errors.New("malformed")

// decodeKeyset decodes what encode makes, and copies what it keeps.
func decodeKeyset(p []byte) (*keyset, error) {
	d := codec.NewDecoder(p)
	s := &keyset{epoch: d.Uint64()}
	copy(s.family[:], d.Bytes(len(s.family)))
	vault, former := d.Bytes(KeyLen), d.Bytes(KeyLen)
	s.active = seal.KeyID(d.Uint32())
	n := uint64(d.Uint32())
	if d.Err() != nil || n == 0 || n > maxKeys || uint64(d.Len()) != n*dataKeyLen || s.epoch == 0 {
		return nil, errMalformed
	}
	var err error
	if s.vault, err = NewKey(vault); err != nil || s.family == (fileid.UID{}) {
		return nil, errMalformed
	}
	s.former, _ = NewKey(former) // zeros are none
	s.keys = make([]dataKey, 0, n)
	for i := range n {
		k, ok := decodeDataKey(&d)
		if !ok || k.ID != seal.KeyID(i+1) || (k.State == Active) != (k.ID == s.active) {
			return nil, errMalformed
		}
		s.keys = append(s.keys, k)
	}
	if s.find(s.active) == nil {
		return nil, errMalformed
	}
	return s, nil
}

func decodeDataKey(d *codec.Decoder) (k dataKey, ok bool) {
	k.ID, k.State, k.Cipher = seal.KeyID(d.Uint32()), KeyState(d.Uint8()), Cipher(d.Uint8())
	zero := d.Uint16()
	created, changed := int64(d.Uint64()), int64(d.Uint64())
	k.Created, k.Changed = time.UnixMilli(created).UTC(), time.UnixMilli(changed).UTC()
	k.sealed = &atomic.Uint64{}
	k.sealed.Store(d.Uint64())
	key, err := NewKey(d.Bytes(KeyLen))
	k.key = key
	return k, zero == 0 && k.Cipher.valid() && created >= 0 && changed >= 0 && k.State >= Active && k.State <= Retired &&
		(err != nil) == (k.State == Retired)
}
