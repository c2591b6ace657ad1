package crypto

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/crypto/argon2"

	"github.com/loamdb/loam/internal/codec"
)

// Cost is what deriving a key from a passphrase takes. It is stored with the keyring, so that a
// later default changes nothing for it. Zero fields mean the default.
type Cost struct {
	// Passes over the memory: 1 to 64, default 3.
	Passes uint16
	// MemoryKiB is how much memory is filled: 8 MiB to 512 MiB, default 64 MiB.
	MemoryKiB uint32
	// Lanes are how many threads fill it: 1 to 16, default 4.
	Lanes uint8
}

// Bounds on a cost, its own user's as well as that in a file: what is stored may have been
// tampered with.
const (
	defaultPasses, maxPasses                  = 3, 64
	defaultMemoryKiB, minMemory, maxMemoryKiB = 64 << 10, 8 << 10, 512 << 10
	defaultLanes, maxLanes                    = 4, 16
	maxPassesKiB                              = 8 << 20 // passes times KiB
)

const (
	paramsArgon2id   = 1
	passphraseSalt   = 20
	passphraseParams = 8 + passphraseSalt
)

func (c Cost) withDefaults() Cost {
	if c.Passes == 0 {
		c.Passes = defaultPasses
	}
	if c.MemoryKiB == 0 {
		c.MemoryKiB = defaultMemoryKiB
	}
	if c.Lanes == 0 {
		c.Lanes = defaultLanes
	}
	return c
}

// valid reports whether a cost is within bounds.
func (c Cost) valid() bool {
	return c.Passes >= 1 && c.Passes <= maxPasses && c.MemoryKiB >= minMemory && c.MemoryKiB <= maxMemoryKiB &&
		c.Lanes >= 1 && c.Lanes <= maxLanes && uint64(c.Passes)*uint64(c.MemoryKiB) <= maxPassesKiB
}

// passphrase is the provider of a key made from one.
type passphrase struct {
	phrase func() []byte // hidden as the bytes of a Key are
	cost   Cost
}

// Passphrase returns the provider of a key that Argon2id makes from a passphrase, which is
// copied as it is: bytes, of any length but none. With the default cost a key takes 64 MiB of
// memory and some tenths of a second, which a context does not shorten.
func Passphrase(phrase []byte, cost Cost) KeyProvider {
	p := append([]byte(nil), phrase...)
	return &passphrase{func() []byte { return p }, cost.withDefaults()}
}

// NewKey implements KeyProvider, with a new salt.
func (p *passphrase) NewKey(ctx context.Context, random io.Reader) (Key, []byte, error) {
	if !p.cost.valid() {
		return Key{}, nil, fmt.Errorf("%w: cost of the passphrase out of bounds", ErrInvalidKey)
	}
	params := []byte{paramsArgon2id, p.cost.Lanes}
	params = binary.LittleEndian.AppendUint16(params, p.cost.Passes)
	params = binary.LittleEndian.AppendUint32(params, p.cost.MemoryKiB)
	params = append(params, make([]byte, passphraseSalt)...)
	if _, err := io.ReadFull(random, params[8:]); err != nil {
		return Key{}, nil, fmt.Errorf("crypto: salt of the passphrase: %w", err)
	}
	k, err := p.Key(ctx, params)
	return k, params, err
}

// Key implements KeyProvider. Parameters out of bounds are refused before any work is done.
func (p *passphrase) Key(ctx context.Context, params []byte) (Key, error) {
	d := codec.NewDecoder(params)
	kind := d.Uint8()
	c := Cost{Lanes: d.Uint8(), Passes: d.Uint16(), MemoryKiB: d.Uint32()}
	salt := d.Bytes(passphraseSalt)
	switch {
	case len(params) == 0 || kind != paramsArgon2id:
		return Key{}, fmt.Errorf("%w: the keyring was not made with a passphrase", ErrWrongKey)
	case d.Err() != nil || d.Len() != 0 || !c.valid():
		return Key{}, notAuthentic(KeyringName, "cost of the passphrase out of bounds")
	case len(p.phrase()) == 0:
		return Key{}, fmt.Errorf("%w: empty passphrase", ErrInvalidKey)
	case ctx.Err() != nil:
		return Key{}, ctx.Err()
	}
	b := argon2.IDKey(p.phrase(), salt, uint32(c.Passes), c.MemoryKiB, c.Lanes, KeyLen)
	defer clear(b)
	return NewKey(b)
}

// Format implements fmt.Formatter.
func (p *passphrase) Format(w fmt.State, _ rune) {
	_, _ = io.WriteString(w, "crypto.KeyProvider(passphrase)")
}
