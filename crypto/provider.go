package crypto

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/loamdb/loam/internal/vfs"
)

// KeyProvider is a source of the master key. Its methods are called when a store is made or
// opened and when its master key is changed, never at other times, one at a time. They may
// take as long as they need, within their context. The caller keeps a copy of the key and
// leaves the one that it was given as it is.
type KeyProvider interface {
	// NewKey returns the master key for a new keyring, or for one whose master key is changed.
	// With it go parameters, at most 1,024 bytes, that Key will need: they are stored with the
	// keyring in clear and are no secret. A provider that makes a key or a salt takes it from
	// random.
	NewKey(ctx context.Context, random io.Reader) (key Key, params []byte, err error)
	// Key returns the key that NewKey has returned with these parameters, which come from a
	// file and may have been tampered with. Error: ErrWrongKey if they are not of this
	// provider's kind.
	Key(ctx context.Context, params []byte) (Key, error)
}

// KeyFunc is the KeyProvider of a function that returns the 32 bytes of the key, which are
// copied.
type KeyFunc func(ctx context.Context) ([]byte, error)

// NewKey implements KeyProvider.
func (f KeyFunc) NewKey(ctx context.Context, _ io.Reader) (Key, []byte, error) {
	k, err := f.Key(ctx, nil)
	return k, nil, err
}

// Key implements KeyProvider.
func (f KeyFunc) Key(ctx context.Context, params []byte) (Key, error) {
	if err := wholeKey(ctx, params); err != nil {
		return Key{}, err
	}
	b, err := f(ctx)
	if err != nil {
		return Key{}, fmt.Errorf("crypto: key provider: %w", err)
	}
	return NewKey(b)
}

// wholeKey says that a provider of a whole key has no use for parameters.
func wholeKey(ctx context.Context, params []byte) error {
	if len(params) > 0 {
		return fmt.Errorf("%w: the keyring has parameters of another provider", ErrWrongKey)
	}
	return ctx.Err()
}

// source is a provider of a whole key.
type source struct {
	what string // in errors; no secret
	get  func() (Key, error)
}

func (s *source) NewKey(ctx context.Context, _ io.Reader) (Key, []byte, error) {
	k, err := s.Key(ctx, nil)
	return k, nil, err
}

func (s *source) Key(ctx context.Context, params []byte) (Key, error) {
	if err := wholeKey(ctx, params); err != nil {
		return Key{}, err
	}
	k, err := s.get()
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", s.what, err)
	}
	return k, nil
}

// Format implements fmt.Formatter.
func (s *source) Format(w fmt.State, _ rune) { fmt.Fprintf(w, "crypto.KeyProvider(%s)", s.what) }

// KeyBytes returns the provider of a key that the program has. It copies b. Providers report
// ErrInvalidKey when they are asked.
func KeyBytes(b []byte) KeyProvider {
	k, err := NewKey(b)
	return &source{"key given as bytes", func() (Key, error) { return k, err }}
}

// maxKeyFileLen is the greatest length of a file with a key.
const maxKeyFileLen = 4 << 10

// KeyFile returns the provider of a key in a file of the operating system, which is read each
// time. It holds the 32 bytes of the key, or their text as ParseKey reads it. It must be a
// regular file with one name, not a link, of the process's user and with mode 0600 or less;
// otherwise the error matches vfs.ErrNotPrivate. Windows shows no owner and no mode: there
// whoever makes the file sees to it.
func KeyFile(name string) KeyProvider {
	return &source{"key file", func() (Key, error) {
		f, err := vfs.OpenPrivate(name)
		if err != nil {
			return Key{}, err
		}
		defer f.Close()
		p, err := readFile(f, maxKeyFileLen)
		defer clear(p)
		switch {
		case err != nil:
			return Key{}, err
		case len(p) == KeyLen:
			return NewKey(p)
		}
		return ParseKey(p)
	}}
}

// KeyEnv returns the provider of a key whose text, as ParseKey reads it, is the value of an
// environment variable. lookup is os.LookupEnv. The environment can be read by whoever may
// look into the process, and by the processes that it starts: a file is better.
func KeyEnv(name string, lookup func(name string) (value string, ok bool)) KeyProvider {
	return &source{"environment variable " + name, func() (Key, error) {
		text, ok := lookup(name)
		if !ok || strings.TrimSpace(text) == "" {
			return Key{}, fmt.Errorf("%w: not set", ErrInvalidKey)
		}
		return ParseKey([]byte(text))
	}}
}
