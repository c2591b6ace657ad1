package crypto_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
)

// R34, R37: every flipped bit, every other length, and every wholly other content is ErrAuth, with
// the right key. Nothing is taken for a wrong key, and nothing is written.
func TestDamageAtEveryBitIsTold(t *testing.T) {
	fs := newFS(t)
	r, err := crypto.Create(ctx, storeUID, &wrapping{map[string]crypto.Key{}}, options(fs))
	require.NoError(t, err)
	require.NoError(t, r.Rewrap(ctx, master(1)))
	secret, _, err := r.VaultKeys()
	require.NoError(t, err)
	v, err := crypto.CreateVault(vaultUID, secret, options(fs))
	require.NoError(t, err)
	_, err = v.NewKeys(2)
	require.NoError(t, err)
	opens := map[string]func(fs vfs.FS) error{
		crypto.KeyringName: func(fs vfs.FS) error {
			_, err := crypto.Open(ctx, master(1), crypto.Expected{}, options(fs))
			return err
		},
		crypto.VaultName: func(fs vfs.FS) error {
			_, err := crypto.OpenVault(secret, crypto.Expected{}, options(fs))
			return err
		},
	}
	for name, open := range opens {
		whole := readBytes(t, fs, name)
		damaged := func(p []byte, what string, n int) {
			fs := newFS(t)
			writeBytes(t, fs, name, p)
			err := open(fs)
			require.ErrorIs(t, err, crypto.ErrAuth, "%s, %s %d", name, what, n)
			require.ErrorIs(t, err, crypto.ErrCorrupt)
			require.ErrorContains(t, err, name)
			require.Equal(t, p, readBytes(t, fs, name))
		}
		for bit := range len(whole) * 8 {
			if testing.Short() && bit%8 != bit/8%8 { // one bit of each byte
				continue
			}
			p := bytes.Clone(whole)
			p[bit/8] ^= 1 << (bit % 8)
			damaged(p, "bit", bit)
		}
		for n := range len(whole) {
			damaged(append([]byte{}, whole[:n]...), "length", n)
		}
		damaged(append(bytes.Clone(whole), 0), "one byte more", 0)
		damaged(append(bytes.Clone(whole), whole...), "twice", 0)
		damaged(make([]byte, len(whole)), "zeros", 0)
	}
	ring, vault := readBytes(t, fs, crypto.KeyringName), readBytes(t, fs, crypto.VaultName)
	writeBytes(t, fs, crypto.KeyringName, vault)
	writeBytes(t, fs, crypto.VaultName, ring)
	for name, open := range opens {
		require.ErrorIs(t, open(fs), crypto.ErrAuth, "%s swapped", name)
	}
	writeBytes(t, fs, crypto.KeyringName, make([]byte, 1<<20+1))
	require.ErrorIs(t, opens[crypto.KeyringName](fs), crypto.ErrAuth)
}

// The header is in clear. To change it and its checksum is to be found by key check or tag.
func TestAForgedHeaderIsRefused(t *testing.T) {
	fs := newFS(t)
	create(t, fs)
	whole := readBytes(t, fs, crypto.KeyringName)
	const headerLen = 104
	for at := range headerLen {
		p := bytes.Clone(whole)
		p[at] ^= 0x40
		sum(p[:headerLen+4])
		writeBytes(t, fs, crypto.KeyringName, p)
		_, err := open(fs, master(1))
		switch {
		case at >= 8 && at < 12:
			require.ErrorIs(t, err, crypto.ErrTooNew, "byte %d", at)
		case at >= 16 && at < 96:
			require.ErrorIs(t, err, crypto.ErrWrongKey, "byte %d", at)
		default:
			require.ErrorIs(t, err, crypto.ErrAuth, "byte %d", at)
		}
		require.Equal(t, p, readBytes(t, fs, crypto.KeyringName))
	}
}

// A newer format is refused and left alone.
func TestANewerFormatIsRefused(t *testing.T) {
	fs := newFS(t)
	create(t, fs)
	p := readBytes(t, fs, crypto.KeyringName)
	p[8] = 2
	sum(p[:108])
	writeBytes(t, fs, crypto.KeyringName, p)
	_, err := open(fs, master(1))
	require.ErrorIs(t, err, crypto.ErrTooNew)
	require.NotErrorIs(t, err, crypto.ErrCorrupt)
	require.Equal(t, p, readBytes(t, fs, crypto.KeyringName))
}

// Bodies that only the key's owner can have made are checked all the same.
func TestMalformedBodiesAreRefused(t *testing.T) {
	fs := newFS(t)
	r := create(t, fs)
	_, err := r.Rotate()
	require.NoError(t, err)
	require.NoError(t, r.Retire(1, nobody))
	body, err := crypto.Body(readBytes(t, fs, crypto.KeyringName), key(t, 1))
	require.NoError(t, err)
	_, err = crypto.RecodeKeyset(body)
	require.NoError(t, err)
	const first, second = 96, 96 + 64
	for what, change := range map[string]func(p []byte) []byte{
		"epoch 0":              func(p []byte) []byte { clear(p[:8]); return p },
		"no family":            func(p []byte) []byte { clear(p[8:24]); return p },
		"no vault key":         func(p []byte) []byte { clear(p[24:56]); return p },
		"active key retired":   func(p []byte) []byte { p[88] = 1; return p },
		"no active key":        func(p []byte) []byte { p[second+4] = byte(crypto.Retiring); return p },
		"active key missing":   func(p []byte) []byte { p[88] = 3; p[second+4] = byte(crypto.Retiring); return p },
		"no keys":              func(p []byte) []byte { clear(p[92:96]); return p[:first] },
		"more keys than bytes": func(p []byte) []byte { p[92]++; return p },
		"huge count":           func(p []byte) []byte { p[95] = 255; return p },
		"id":                   func(p []byte) []byte { p[second] = 1; return p },
		"state":                func(p []byte) []byte { p[second+4] = 4; return p },
		"cipher":               func(p []byte) []byte { p[second+5] = 3; return p },
		"not zero":             func(p []byte) []byte { p[second+6] = 1; return p },
		"negative time":        func(p []byte) []byte { p[second+15] = 0x80; return p },
		"retired with a key":   func(p []byte) []byte { p[first+63] = 1; return p },
		"live without a key":   func(p []byte) []byte { clear(p[second+32:]); return p },
		"short":                func(p []byte) []byte { return p[:len(p)-1] },
		"long":                 func(p []byte) []byte { return append(p, 0) },
		"empty":                func([]byte) []byte { return nil },
	} {
		_, err := crypto.RecodeKeyset(change(bytes.Clone(body)))
		require.Error(t, err, what)
	}
}
