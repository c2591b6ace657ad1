package crypto

import (
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// A value under a scope key; docs/formats/keyring.md is canonical.
//
//	0 version · 1 id of the scope key · 17 nonce · 41 ciphertext · tag
const (
	valueVersion   = 1
	valueClearLen  = 1 + 16
	valueHeaderLen = valueClearLen + chacha20poly1305.NonceSizeX

	// ValueOverhead is how many bytes longer than the value its sealed form is.
	ValueOverhead = valueHeaderLen + chacha20poly1305.Overhead
)

// associated holds associated data while a cipher uses it.
var associated = sync.Pool{New: func() any { p := make([]byte, 0, 512); return &p }}

// SealValue appends the value sealed under a scope key and bound to the user key, to dst, which
// must not overlap the value. It is ValueOverhead bytes longer. The user key is not part of it.
// Errors: ErrNoKey, ErrShredded, ErrClosed; that of Random.
func (v *Vault) SealValue(dst []byte, id ScopeKeyID, userKey, value []byte) ([]byte, error) {
	k, err := v.scopeKey(id)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	out := append(append(dst, valueVersion), id[:]...)
	out = append(out, make([]byte, chacha20poly1305.NonceSizeX)...)
	nonce := out[start+valueClearLen:]
	if _, err := io.ReadFull(v.file.Random, nonce); err != nil {
		return dst, fmt.Errorf("crypto: nonce: %w", err)
	}
	data := associated.Get().(*[]byte)
	*data = append(append((*data)[:0], out[start:start+valueClearLen]...), userKey...)
	out = k.aead.Seal(out, nonce, value, *data)
	associated.Put(data)
	return out, nil
}

// OpenValue appends the value to dst, which must not overlap sealed. Errors: ErrAuth, ErrNoKey,
// ErrShredded, ErrClosed; dst is then returned as it was.
func (v *Vault) OpenValue(dst, userKey, sealed []byte) ([]byte, error) {
	id, err := KeyOfValue(sealed)
	if err != nil {
		return dst, err
	}
	k, err := v.scopeKey(id)
	if err != nil {
		return dst, err
	}
	data := associated.Get().(*[]byte)
	*data = append(append((*data)[:0], sealed[:valueClearLen]...), userKey...)
	out, err := k.aead.Open(dst, sealed[valueClearLen:valueHeaderLen], sealed[valueHeaderLen:], *data)
	associated.Put(data)
	if err != nil {
		return dst, fmt.Errorf("%w: sealed value", ErrAuth)
	}
	return out, nil
}

// KeyOfValue returns the id of the scope key that a value is sealed under. Error: ErrAuth.
func KeyOfValue(sealed []byte) (ScopeKeyID, error) {
	if len(sealed) < ValueOverhead || sealed[0] != valueVersion {
		return ScopeKeyID{}, fmt.Errorf("%w: not a sealed value", ErrAuth)
	}
	return ScopeKeyID(sealed[1:valueClearLen]), nil
}

// Check returns nil if the vault has the key, or else why not: ErrNoKey, ErrShredded, ErrClosed.
func (v *Vault) Check(id ScopeKeyID) error {
	_, err := v.scopeKey(id)
	return err
}

// scopeKey returns a live key.
func (v *Vault) scopeKey(id ScopeKeyID) (scopeKey, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.mu.keys == nil {
		return scopeKey{}, ErrClosed
	}
	i, found := v.mu.keys.search(id)
	switch {
	case !found:
		return scopeKey{}, fmt.Errorf("%w: scope key %s", ErrNoKey, id)
	case v.mu.keys.keys[i].key.IsZero():
		return scopeKey{}, fmt.Errorf("%w: %s", ErrShredded, id)
	}
	return v.mu.keys.keys[i], nil
}
