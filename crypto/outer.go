package crypto

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
)

// The outer form of a file of keys; docs/formats/keyring.md is canonical.
//
//	 0 magic "loam.key"        32 salt           100 zero
//	 8 version                 64 check value    104 parameters
//	12 kind                    96 body length        CRC of all before
//	13 cipher                                        body, encrypted
//	14 length of parameters                          tag
//	16 UID
const (
	outerMagic    = "loam.key"
	outerVersion  = 1
	outerFixedLen = 104
	outerSumLen   = 4
	maxParamsLen  = 1024
)

// bodyNonce is the nonce of a body: its key, made with a fresh salt, seals nothing else.
var bodyNonce [12]byte

// outer is a file of keys without what is in it.
type outer struct {
	kind   fileid.Kind
	cipher Cipher
	uid    fileid.UID
	salt   seal.Salt
	params []byte
}

// encode returns the file with the body sealed under a secret.
func (o *outer) encode(secret Key, body []byte) ([]byte, error) {
	check, err := checkValue(secret, o.kind, o.uid, o.salt)
	if err != nil {
		return nil, err
	}
	aead, err := deriveCipher(bodyKeyInfo, secret, o.cipher, o.kind, o.uid, o.salt)
	if err != nil {
		return nil, err
	}
	p := make([]byte, 0, outerFixedLen+len(o.params)+outerSumLen+len(body)+aead.Overhead())
	p = append(p, outerMagic...)
	p = binary.LittleEndian.AppendUint32(p, outerVersion)
	p = append(p, byte(o.kind), byte(o.cipher))
	p = binary.LittleEndian.AppendUint16(p, uint16(len(o.params)))
	p = append(p, o.uid[:]...)
	p = append(p, o.salt[:]...)
	p = append(p, check...)
	p = binary.LittleEndian.AppendUint32(p, uint32(len(body)))
	p = binary.LittleEndian.AppendUint32(p, 0)
	p = append(p, o.params...)
	p = binary.LittleEndian.AppendUint32(p, codec.Checksum(0, p))
	return aead.Seal(p, bodyNonce[:], body, p), nil
}

// sealed is a file of keys as it was read; its slices alias what was read.
type sealed struct {
	outer
	name  string
	check []byte
	clear []byte // what the tag covers beside the body
	body  []byte // with its tag
}

// decodeOuter takes a file apart. Nothing is authentic until open has succeeded. Errors:
// ErrAuth, ErrTooNew.
func decodeOuter(name string, kind fileid.Kind, p []byte) (*sealed, error) {
	if len(p) < outerFixedLen+outerSumLen {
		return nil, notAuthentic(name, "too short")
	}
	if string(p[:8]) != outerMagic {
		return nil, notAuthentic(name, "not a file of keys")
	}
	d := codec.NewDecoder(p[8:])
	version := d.Uint32()
	s := &sealed{name: name}
	s.kind, s.cipher = fileid.Kind(d.Uint8()), Cipher(d.Uint8())
	paramsLen := int(d.Uint16())
	copy(s.uid[:], d.Bytes(len(s.uid)))
	copy(s.salt[:], d.Bytes(len(s.salt)))
	s.check = d.Bytes(KeyLen)
	bodyLen, zero := d.Uint32(), d.Uint32()
	s.params = d.Bytes(paramsLen)
	s.clear = p[:min(outerFixedLen+paramsLen+outerSumLen, len(p))]
	if d.Uint32() != codec.Checksum(0, s.clear[:len(s.clear)-outerSumLen]) || d.Err() != nil {
		return nil, notAuthentic(name, "checksum of the header mismatches")
	}
	switch {
	case version > outerVersion: // believed only because the checksum fits
		return nil, fmt.Errorf("%w: %s: version %d", ErrTooNew, name, version)
	case version != outerVersion, s.kind != kind, !s.cipher.valid(), paramsLen > maxParamsLen, zero != 0:
		return nil, notAuthentic(name, "malformed header")
	case uint64(d.Len()) != uint64(bodyLen)+seal.Overhead:
		return nil, notAuthentic(name, "wrong length")
	}
	s.body = d.Bytes(d.Len())
	return s, nil
}

// open returns the body. Errors: ErrWrongKey, ErrAuth.
func (s *sealed) open(secret Key) ([]byte, error) {
	check, err := checkValue(secret, s.kind, s.uid, s.salt)
	if err != nil {
		return nil, err
	}
	skip := mutant.Enabled && mutant.Is(mutant.SkipKeyCheck)
	if subtle.ConstantTimeCompare(check, s.check) != 1 && !skip {
		return nil, fmt.Errorf("%w: %s", ErrWrongKey, s.name)
	}
	aead, err := deriveCipher(bodyKeyInfo, secret, s.cipher, s.kind, s.uid, s.salt)
	if err != nil {
		return nil, err
	}
	body, err := aead.Open(nil, bodyNonce[:], s.body, s.clear)
	if err != nil {
		return nil, notAuthentic(s.name, "tag mismatches")
	}
	return body, nil
}
