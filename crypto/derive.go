package crypto

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// What keys are derived for. docs/formats/sealing.md and keyring.md are canonical.
const (
	fileKeyInfo  = "loam file key 1"
	checkInfo    = "loam key check 1"
	bodyKeyInfo  = "loam file of keys 1"
	checkInfoLen = len(checkInfo) + 1 + 16
)

// derive is HKDF-SHA256 of a secret, a salt and info, 32 bytes long.
func derive(secret Key, salt seal.Salt, info []byte) ([]byte, error) {
	out, err := hkdf.Key(sha256.New, secret.bytes(), salt[:], string(info), KeyLen)
	if err != nil {
		return nil, fmt.Errorf("crypto: derive key: %w", err)
	}
	return out, nil
}

// deriveCipher returns the cipher under the key that is derived for one file.
func deriveCipher(label string, secret Key, c Cipher, kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, error) {
	info := append([]byte(label), byte(c), byte(kind))
	key, err := derive(secret, salt, append(info, uid[:]...))
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return newAEAD(c, key)
}

// checkValue tells one secret from another before anything is decrypted with it.
func checkValue(secret Key, kind fileid.Kind, uid fileid.UID, salt seal.Salt) ([]byte, error) {
	info := append(make([]byte, 0, checkInfoLen), checkInfo...)
	return derive(secret, salt, append(append(info, byte(kind)), uid[:]...))
}
