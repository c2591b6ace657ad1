package seal

import (
	"crypto/cipher"
	"fmt"
	"io"

	"github.com/loamdb/loam/internal/fileid"
)

// KeyID names a data key of a keyring. A file's header holds the id of the key that the
// file's own is derived from. 0 is no key: the file is not encrypted.
type KeyID uint64

// Salt is a file's random share in the derivation of its key. It stands in the file's
// header, in clear.
type Salt [32]byte

// NewSalt reads a salt from random, normally crypto/rand.Reader.
func NewSalt(random io.Reader) (Salt, error) {
	var s Salt
	if _, err := io.ReadFull(random, s[:]); err != nil {
		return Salt{}, fmt.Errorf("seal: new salt: %w", err)
	}
	return s, nil
}

// NewCipher returns the cipher of a new file, whose salt is new too, and the id of the data key
// for the file's header, which is not 0. It may be called concurrently. Where a function of this
// type is nil, files are not encrypted.
type NewCipher func(kind fileid.Kind, uid fileid.UID, salt Salt) (cipher.AEAD, KeyID, error)

// OpenCipher returns the cipher of a file whose header has this key id and salt. That it is the
// right one shows when something of the file opens. It may be called concurrently. Where a
// function of this type is nil, encrypted files cannot be read.
type OpenCipher func(id KeyID, kind fileid.Kind, uid fileid.UID, salt Salt) (cipher.AEAD, error)
