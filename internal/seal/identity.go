package seal

import (
	"fmt"
	"io"
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
