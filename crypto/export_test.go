package crypto

import (
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

var (
	NewAEAD    = newAEAD
	HasFastAES = hasFastAES
)

// Bytes returns a key's bytes.
func Bytes(k Key) []byte { return k.bytes() }

// Choose is Cipher.choose.
func Choose(c Cipher, fastAES bool) Cipher { return c.choose(fastAES) }

// RecodeKeyset decodes the body of a keyring and encodes it.
func RecodeKeyset(p []byte) ([]byte, error) {
	s, err := decodeKeyset(p)
	if err != nil {
		return nil, err
	}
	return s.encode(), nil
}

// RecodeScopeKeys decodes the body of a vault and encodes it.
func RecodeScopeKeys(p []byte) ([]byte, error) {
	s, err := decodeScopeKeys(p)
	if err != nil {
		return nil, err
	}
	return s.encode(), nil
}

// Body returns the body of a file of keys.
func Body(p []byte, secret Key) ([]byte, error) {
	kind := fileid.KindKeyring
	if len(p) > 12 && p[12] == byte(fileid.KindVault) {
		kind = fileid.KindVault
	}
	s, err := decodeOuter("file", kind, p)
	if err != nil {
		return nil, err
	}
	return s.open(secret)
}

// Encode makes a file of keys with any body.
func Encode(kind fileid.Kind, c Cipher, uid fileid.UID, salt seal.Salt, params []byte, secret Key, body []byte) []byte {
	o := outer{kind, c, uid, salt, params}
	p, err := o.encode(secret, body)
	if err != nil {
		panic(err)
	}
	return p
}

// FileKey is the key of a file.
func FileKey(secret Key, c Cipher, kind fileid.Kind, uid fileid.UID, salt seal.Salt) []byte {
	info := append([]byte(fileKeyInfo), byte(c), byte(kind))
	k, err := derive(secret, salt, append(info, uid[:]...))
	if err != nil {
		panic(err)
	}
	return k
}

// CheckValue is the check value of a secret.
func CheckValue(secret Key, kind fileid.Kind, uid fileid.UID, salt seal.Salt) []byte {
	v, err := checkValue(secret, kind, uid, salt)
	if err != nil {
		panic(err)
	}
	return v
}
