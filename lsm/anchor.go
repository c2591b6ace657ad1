package lsm

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
)

// Anchor tells one state of an encrypted store from those before it. It holds no secret; what it
// is worth is that nobody can change it. It is a value that can be compared, and has a text to be
// kept as. The zero value is older than every state.
type Anchor struct {
	keyring  crypto.Anchor
	manifest manifest.Anchor
}

// ErrInvalidAnchor: the text is not that of an Anchor.
var ErrInvalidAnchor = errors.New("lsm: not the text of an anchor")

// The bytes of an anchor; docs/formats/anchor.md is canonical.
//
//	0 version 1 · 1 store 16 · 17 epoch 8 · 25 digest 32 · 57 manifest 8 · 65 UID 16 · 81 record 8 · 89 CRC 4
const (
	anchorVersion = 1
	anchorLen     = 93
)

// MarshalText implements encoding.TextMarshaler: 186 hexadecimal digits, nothing for the zero
// value.
func (a Anchor) MarshalText() ([]byte, error) {
	if a == (Anchor{}) {
		return []byte{}, nil
	}
	p := append(make([]byte, 0, anchorLen), anchorVersion)
	p = append(p, a.keyring.UID[:]...)
	p = binary.LittleEndian.AppendUint64(p, a.keyring.Epoch)
	p = append(p, a.keyring.Digest[:]...)
	p = binary.LittleEndian.AppendUint64(p, a.manifest.File)
	p = append(p, a.manifest.UID[:]...)
	p = binary.LittleEndian.AppendUint64(p, a.manifest.Record)
	p = binary.LittleEndian.AppendUint32(p, codec.Checksum(0, p))
	return hex.AppendEncode(nil, p), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. Error: ErrInvalidAnchor, ErrTooNew.
func (a *Anchor) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Anchor{}
		return nil
	}
	p, err := hex.DecodeString(string(text))
	if err != nil || len(p) < 1+4 || codec.Checksum(0, p[:len(p)-4]) != binary.LittleEndian.Uint32(p[len(p)-4:]) {
		return ErrInvalidAnchor
	}
	if p[0] > anchorVersion {
		return ErrTooNew
	}
	if p[0] != anchorVersion || len(p) != anchorLen {
		return ErrInvalidAnchor
	}
	le := binary.LittleEndian
	read := Anchor{
		keyring:  crypto.Anchor{UID: fileid.UID(p[1:17]), Epoch: le.Uint64(p[17:]), Digest: [32]byte(p[25:57])},
		manifest: manifest.Anchor{File: le.Uint64(p[57:]), UID: fileid.UID(p[65:81]), Record: le.Uint64(p[81:])},
	}
	if read.String() != string(text) { // zeros, or digits in upper case
		return ErrInvalidAnchor
	}
	*a = read
	return nil
}

// String returns the text.
func (a Anchor) String() string {
	text, _ := a.MarshalText() // never fails
	return string(text)
}
