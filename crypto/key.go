package crypto

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
)

// KeyLen is the length of every key, in bytes.
const KeyLen = 32

// Key is a secret of 256 bits. It shows itself in no format: not to package fmt, whatever the
// verb, nor to encoders of text, JSON or gob, nor to log/slog, alone or within other values.
// Two Keys may share their bytes, which Wipe clears for both; otherwise a Key never changes and
// may be used from any number of goroutines. The zero Key is no key.
type Key struct {
	// get returns the bytes. What prints by reflection cannot call methods of unexported
	// fields, and follows pointers when its verb does not fit; it cannot look into a function.
	get func() *[KeyLen]byte
}

// hide returns the Key that has b.
func hide(b *[KeyLen]byte) Key { return Key{func() *[KeyLen]byte { return b }} }

// bytes returns the key's bytes. There must be a key.
func (k Key) bytes() []byte { return k.get()[:] }

// NewKey returns a key with a copy of b. Error: ErrInvalidKey, if b has another length than
// KeyLen or holds nothing but zeros.
func NewKey(b []byte) (Key, error) {
	if len(b) != KeyLen {
		return Key{}, fmt.Errorf("%w: %d bytes, not %d", ErrInvalidKey, len(b), KeyLen)
	}
	if bytes.Equal(b, make([]byte, KeyLen)) {
		return Key{}, fmt.Errorf("%w: nothing but zeros", ErrInvalidKey)
	}
	p := [KeyLen]byte(b)
	return hide(&p), nil
}

// RandomKey reads a new key from random, normally crypto/rand.Reader.
func RandomKey(random io.Reader) (Key, error) {
	var b [KeyLen]byte
	defer clear(b[:])
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Key{}, fmt.Errorf("crypto: new key: %w", err)
	}
	return NewKey(b[:])
}

// ParseKey reads a key from its text: 64 hexadecimal digits, or standard base64 with padding,
// 44 characters. Space around it is ignored. Error: ErrInvalidKey.
func ParseKey(text []byte) (Key, error) {
	text = bytes.TrimSpace(text)
	var b [KeyLen + 1]byte // base64 of 44 characters may hold 33 bytes
	defer clear(b[:])
	var n int
	var err error
	switch len(text) {
	case hex.EncodedLen(KeyLen):
		n, err = hex.Decode(b[:], text)
	case base64.StdEncoding.EncodedLen(KeyLen):
		n, err = base64.StdEncoding.Strict().Decode(b[:], text)
	default:
		return Key{}, fmt.Errorf("%w: text of %d characters, not 64 hexadecimal digits or 44 of base64", ErrInvalidKey, len(text))
	}
	if err != nil { // which would show a character of the key
		return Key{}, fmt.Errorf("%w: neither hexadecimal nor base64", ErrInvalidKey)
	}
	return NewKey(b[:n])
}

// IsZero reports whether k is the zero Key.
func (k Key) IsZero() bool { return k.get == nil }

// Equal reports in constant time whether two keys are the same.
func (k Key) Equal(other Key) bool {
	if k.IsZero() || other.IsZero() {
		return k.IsZero() == other.IsZero()
	}
	return subtle.ConstantTimeCompare(k.bytes(), other.bytes()) == 1
}

// Wipe clears the key's bytes, for every Key that shares them. It is a courtesy, no promise:
// ciphers made of the key keep what they were made with until the collector frees it, and the
// system may have written memory to disk.
func (k Key) Wipe() {
	if !k.IsZero() {
		clear(k.bytes())
	}
}

// clone returns a key with bytes of its own.
func (k Key) clone() Key {
	if k.IsZero() {
		return Key{}
	}
	p := *k.get()
	return hide(&p)
}

// redacted is how a secret shows itself.
const redacted = "crypto.Key(redacted)"

// Format implements fmt.Formatter, for every verb.
func (k Key) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// MarshalText implements encoding.TextMarshaler, which encoders and loggers ask first.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
