package privacy

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// Keys is what Protect and Reveal need of a store: the keys of the modes Hash, Tokenise and
// Encrypt. A store has one for each scope that has a key of its own; when that key is
// destroyed, nobody turns back what was made with it. Methods are called concurrently, and
// keep no slice. Values are opaque bytes; what is returned is at least 32 bytes. KeySet
// implements it over a key in memory.
type Keys interface {
	// Hash returns a keyed hash of the value: equal for equal values and detectors.
	Hash(d Detector, value []byte) ([]byte, error)
	// Tokenise returns a token, equal for equal values and detectors, that Reveal turns back.
	Tokenise(d Detector, value []byte) ([]byte, error)
	// Encrypt returns a ciphertext, another one each time, that Reveal turns back.
	Encrypt(d Detector, value []byte) ([]byte, error)
	// Reveal returns the value of what Tokenise or Encrypt, as mode says, has made for the
	// same detector, and an error for anything else.
	Reveal(mode Mode, d Detector, sealed []byte) ([]byte, error)
}

// KeySize is the length in bytes of the key of a KeySet.
const KeySize = 32

// KeySet implements Keys with keys derived from one. Hashes are HMAC-SHA-256. Ciphertexts are
// XChaCha20-Poly1305 with a random nonce of 192 bits; tokens the same with a nonce that is a
// keyed hash of the value (a synthetic nonce, as in RFC 5297), so that they tell which values
// are equal, and nothing else. Both tell how long the value is, and are bound to the detector.
// It is safe for concurrent use if random is.
type KeySet struct {
	hash, nonce    []byte
	token, encrypt cipher.AEAD
	random         io.Reader
}

// NewKeySet returns the keys derived from key, KeySize random bytes, which are copied. Nonces
// are read from random; nil means those of the system. Errors match ErrInvalidKey.
func NewKeySet(key []byte, random io.Reader) (*KeySet, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrInvalidKey, len(key), KeySize)
	}
	if random == nil {
		random = rand.Reader
	}
	k := &KeySet{random: random}
	var derived [4][]byte
	for i, purpose := range []string{"hash", "nonce", "token", "encrypt"} {
		var err error
		if derived[i], err = hkdf.Expand(sha256.New, key, "loam privacy 1 "+purpose, KeySize); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidKey, err)
		}
	}
	k.hash, k.nonce = derived[0], derived[1]
	var err1, err2 error
	k.token, err1 = chacha20poly1305.NewX(derived[2])
	k.encrypt, err2 = chacha20poly1305.NewX(derived[3])
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidKey, err)
	}
	return k, nil
}

// Hash implements Keys.
func (k *KeySet) Hash(d Detector, value []byte) ([]byte, error) {
	return mac(k.hash, d, value), nil
}

// Tokenise implements Keys.
func (k *KeySet) Tokenise(d Detector, value []byte) ([]byte, error) {
	nonce := mac(k.nonce, d, value)[:chacha20poly1305.NonceSizeX]
	return k.token.Seal(nonce, nonce, value, []byte(d.String())), nil
}

// Encrypt implements Keys. Errors are those of the source of random bytes.
func (k *KeySet) Encrypt(d Detector, value []byte) ([]byte, error) {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(value)+chacha20poly1305.Overhead)
	if _, err := io.ReadFull(k.random, nonce); err != nil {
		return nil, fmt.Errorf("privacy: nonce: %w", err)
	}
	return k.encrypt.Seal(nonce, nonce, value, []byte(d.String())), nil
}

// errForeign is the error of what was not made with these keys.
var errForeign = errors.New("not made with these keys")

// Reveal implements Keys.
func (k *KeySet) Reveal(mode Mode, d Detector, sealed []byte) ([]byte, error) {
	aead := k.encrypt
	if mode == Tokenise {
		aead = k.token
	}
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, errForeign
	}
	nonce := sealed[:chacha20poly1305.NonceSizeX]
	value, err := aead.Open(nil, nonce, sealed[chacha20poly1305.NonceSizeX:], []byte(d.String()))
	if err != nil {
		return nil, errForeign
	}
	if mode == Tokenise && subtle.ConstantTimeCompare(mac(k.nonce, d, value)[:len(nonce)], nonce) == 0 {
		return nil, errForeign
	}
	return value, nil
}

// mac returns HMAC-SHA-256 of the detector's name, a zero byte and the value.
func mac(key []byte, d Detector, value []byte) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, d.String())
	h.Write([]byte{0})
	h.Write(value)
	return h.Sum(nil)
}
