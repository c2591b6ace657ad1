package crypto_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
)

// cheap is the least that Argon2id may cost here.
var cheap = crypto.Cost{Passes: 1, MemoryKiB: 8 << 10, Lanes: 1}

var raw = []byte("0123456789abcdefghijklmnopqrstuv")

func TestTextsOfKeys(t *testing.T) {
	want, err := crypto.NewKey(raw)
	require.NoError(t, err)
	for _, text := range []string{
		hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), " " + hex.EncodeToString(raw) + "\r\n",
		base64.StdEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw) + "\n",
	} {
		k, err := crypto.ParseKey([]byte(text))
		require.NoError(t, err, text)
		require.True(t, want.Equal(k))
	}
	text := hex.EncodeToString(raw)
	for _, bad := range []string{
		"", "x", text[1:], text + "0", "g" + text[1:], strings.Repeat("0", 64), base64.StdEncoding.EncodeToString(raw)[1:],
		base64.StdEncoding.EncodeToString(append([]byte{1}, raw...)), base64.StdEncoding.EncodeToString(raw[1:]),
		base64.RawStdEncoding.EncodeToString(raw), "?" + base64.StdEncoding.EncodeToString(raw)[1:],
	} {
		k, err := crypto.ParseKey([]byte(bad))
		require.ErrorIs(t, err, crypto.ErrInvalidKey, bad)
		require.True(t, k.IsZero())
	}
	for _, bad := range [][]byte{nil, raw[1:], append([]byte{1}, raw...), make([]byte, 32)} {
		_, err := crypto.NewKey(bad)
		require.ErrorIs(t, err, crypto.ErrInvalidKey)
	}
}

func TestKeysAreCopiedComparedAndWiped(t *testing.T) {
	b := bytes.Clone(raw)
	k, err := crypto.NewKey(b)
	require.NoError(t, err)
	b[0]++
	other, err := crypto.NewKey(b)
	require.NoError(t, err)
	require.Equal(t, raw, crypto.Bytes(k))
	require.True(t, k.Equal(k))
	require.False(t, k.Equal(other))
	require.False(t, k.Equal(crypto.Key{}))
	require.False(t, crypto.Key{}.Equal(k))
	require.True(t, crypto.Key{}.Equal(crypto.Key{}))
	k.Wipe()
	require.Equal(t, make([]byte, 32), crypto.Bytes(k))
	crypto.Key{}.Wipe()
	_, err = crypto.RandomKey(bytes.NewReader(raw[1:]))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// The providers of a whole key, each with a store that it opens again.
func TestProvidersGiveTheKey(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	text := hex.EncodeToString(raw)
	env := func(name string) (string, bool) { return text, name == "LOAM_KEY" }
	providers := map[string]crypto.KeyProvider{
		"bytes":    crypto.KeyBytes(raw),
		"file":     crypto.KeyFile(name),
		"env":      crypto.KeyEnv("LOAM_KEY", env),
		"function": crypto.KeyFunc(func(context.Context) ([]byte, error) { return raw, nil }),
	}
	fs := newFS(t)
	_, err := crypto.Create(ctx, storeUID, crypto.KeyBytes(raw), options(fs))
	require.NoError(t, err)
	for what, p := range providers {
		for _, content := range []string{string(raw), text + "\n"} {
			require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
			require.NoError(t, mustOpen(t, fs, p).Close(), what)
		}
	}
	require.NoError(t, os.Remove(name))
	_, err = open(fs, crypto.KeyFile(name))
	require.ErrorIs(t, err, vfs.ErrNotExist)
	require.NoError(t, os.WriteFile(name, []byte(text[:63]), 0o600))
	_, err = open(fs, crypto.KeyFile(name))
	require.ErrorIs(t, err, crypto.ErrInvalidKey)
	require.NoError(t, os.WriteFile(name, bytes.Repeat([]byte(" "), 5000), 0o600))
	_, err = open(fs, crypto.KeyFile(name))
	require.Error(t, err)
	if filepath.Separator == '/' {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		require.NoError(t, os.Chmod(name, 0o644))
		_, err = open(fs, crypto.KeyFile(name))
		require.ErrorIs(t, err, vfs.ErrNotPrivate)
	}
	_, err = open(fs, crypto.KeyEnv("OTHER", env))
	require.ErrorIs(t, err, crypto.ErrInvalidKey)
	require.ErrorContains(t, err, "OTHER")
	cause := errors.New("service is away")
	_, err = open(fs, crypto.KeyFunc(func(context.Context) ([]byte, error) { return nil, cause }))
	require.ErrorIs(t, err, cause)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for what, p := range providers {
		_, err = crypto.Open(cancelled, p, crypto.Expected{}, options(fs))
		require.ErrorIs(t, err, context.Canceled, what)
		_, err = p.Key(ctx, []byte{1})
		require.ErrorIs(t, err, crypto.ErrWrongKey, what)
	}
}

// wrapping is a user's provider: a service wraps the key, and what it returns is stored.
type wrapping struct{ wrapped map[string]crypto.Key }

func (w *wrapping) NewKey(_ context.Context, random io.Reader) (crypto.Key, []byte, error) {
	k, err := crypto.RandomKey(random)
	w.wrapped["wrapped key"] = k
	return k, []byte("wrapped key"), err
}

func (w *wrapping) Key(_ context.Context, params []byte) (crypto.Key, error) {
	return w.wrapped[string(params)], nil
}

func TestAProviderGetsItsParametersBack(t *testing.T) {
	fs := newFS(t)
	w := &wrapping{map[string]crypto.Key{}}
	r, err := crypto.Create(ctx, storeUID, w, options(fs))
	require.NoError(t, err)
	require.NoError(t, r.Close())
	f := writeFile(t, mustOpen(t, fs, w), 1)
	require.NoError(t, f.read(mustOpen(t, fs, w)), "the ring wiped the provider's key")
	_, err = open(fs, &wrapping{})
	require.ErrorIs(t, err, crypto.ErrInvalidKey)
	_, err = open(fs, master(1))
	require.ErrorIs(t, err, crypto.ErrWrongKey)
	for _, p := range []crypto.KeyProvider{long{crypto.KeyBytes(raw)}, none{}} {
		_, err = crypto.Create(ctx, storeUID, p, options(newFS(t)))
		require.ErrorIs(t, err, crypto.ErrInvalidKey)
	}
}

// long is a provider with too many parameters, none one without a key.
type (
	long struct{ crypto.KeyProvider }
	none struct{ crypto.KeyProvider }
)

func (l long) NewKey(ctx context.Context, r io.Reader) (crypto.Key, []byte, error) {
	k, _, err := l.KeyProvider.NewKey(ctx, r)
	return k, make([]byte, 1025), err
}

func (none) NewKey(context.Context, io.Reader) (crypto.Key, []byte, error) {
	return crypto.Key{}, nil, nil
}

func TestPassphrases(t *testing.T) {
	fs := newFS(t)
	_, err := crypto.Create(ctx, storeUID, crypto.Passphrase([]byte("correct horse"), cheap), options(fs))
	require.NoError(t, err)
	mustOpen(t, fs, crypto.Passphrase([]byte("correct horse"), crypto.Cost{Passes: 9})) // what is stored counts
	for _, wrong := range []string{"correct hors", "Correct horse", "correct horse "} {
		_, err := open(fs, crypto.Passphrase([]byte(wrong), cheap))
		require.ErrorIs(t, err, crypto.ErrWrongKey)
	}
	_, err = open(fs, crypto.Passphrase(nil, cheap))
	require.ErrorIs(t, err, crypto.ErrInvalidKey)
	_, _, err = crypto.Passphrase([]byte("x"), cheap).NewKey(ctx, bytes.NewReader(nil))
	require.ErrorIs(t, err, io.EOF)
	for _, c := range []crypto.Cost{{Passes: 65}, {MemoryKiB: 1}, {MemoryKiB: 512<<10 + 1}, {Lanes: 17}, {Passes: 64, MemoryKiB: 256 << 10}} {
		_, _, err := crypto.Passphrase([]byte("x"), c).NewKey(ctx, newRandom(1))
		require.ErrorIs(t, err, crypto.ErrInvalidKey)
	}
}

// Parameters come from a file: no work is done for hostile ones.
func TestHostileCostsAreRefused(t *testing.T) {
	p := crypto.Passphrase([]byte("x"), cheap)
	_, params, err := p.NewKey(ctx, newRandom(1))
	require.NoError(t, err)
	change := func(at int, b ...byte) []byte {
		out := bytes.Clone(params)
		copy(out[at:], b)
		return out
	}
	for what, bad := range map[string][]byte{
		"no lanes": change(1, 0), "many lanes": change(1, 17), "no passes": change(2, 0, 0), "many passes": change(2, 255, 255),
		"little memory": change(4, 0, 1, 0, 0), "4 TiB": change(4, 255, 255, 255, 255), "work": change(2, 64, 0, 0, 0, 4, 0),
		"short": params[:27], "long": append(bytes.Clone(params), 0),
	} {
		_, err := p.Key(ctx, bad)
		require.ErrorIs(t, err, crypto.ErrAuth, what)
	}
	for what, bad := range map[string][]byte{"none": nil, "another kind": change(0, 2)} {
		_, err := p.Key(ctx, bad)
		require.ErrorIs(t, err, crypto.ErrWrongKey, what)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = p.Key(cancelled, params)
	require.ErrorIs(t, err, context.Canceled)
}
