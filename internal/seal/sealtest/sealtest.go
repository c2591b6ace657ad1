// Package sealtest has keys for the tests of packages whose files can be encrypted.
package sealtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// ErrNoKey: the ring has no key of that id.
var ErrNoKey = errors.New("sealtest: no such key")

// Ring is a keyring of one key, whose id it is. Rings of equal ids have equal keys.
type Ring seal.KeyID

// New is a seal.NewCipher.
func (r Ring) New(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
	c, err := r.Open(seal.KeyID(r), kind, uid, salt)
	return c, seal.KeyID(r), err
}

// Open is a seal.OpenCipher. Error: ErrNoKey.
func (r Ring) Open(id seal.KeyID, kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, error) {
	if id != seal.KeyID(r) {
		return nil, ErrNoKey
	}
	key := sha256.Sum256(append(append([]byte{byte(r), byte(kind)}, uid[:]...), salt[:]...))
	b, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// Clear is a ring whose ciphers neither encrypt nor authenticate, so that a fuzzer gets behind
// them: bytes are their own ciphertext, and any tag is right.
type Clear seal.KeyID

// New is a seal.NewCipher.
func (r Clear) New(fileid.Kind, fileid.UID, seal.Salt) (cipher.AEAD, seal.KeyID, error) {
	return clearCipher{}, seal.KeyID(r), nil
}

// Open is a seal.OpenCipher.
func (r Clear) Open(seal.KeyID, fileid.Kind, fileid.UID, seal.Salt) (cipher.AEAD, error) {
	return clearCipher{}, nil
}

type clearCipher struct{}

func (clearCipher) NonceSize() int { return 12 }
func (clearCipher) Overhead() int  { return seal.Overhead }

func (clearCipher) Seal(dst, _, plaintext, _ []byte) []byte {
	return append(append(dst, plaintext...), make([]byte, seal.Overhead)...)
}

func (clearCipher) Open(dst, _, ciphertext, _ []byte) ([]byte, error) {
	return append(dst, ciphertext[:len(ciphertext)-seal.Overhead]...), nil
}
