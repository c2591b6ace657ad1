package crypto_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// Any bytes in the place of a keyring, opened by a key and by a passphrase: an error with a type,
// or the keyring that it was made from. The checksum is made right, so that what is behind it is
// met too.
func FuzzKeyring(f *testing.F) {
	fs := newFS(f)
	r := create(f, fs)
	whole := readBytes(f, fs, crypto.KeyringName)
	f.Add(whole)
	require.NoError(f, r.Rewrap(ctx, crypto.Passphrase([]byte("x"), cheap)))
	f.Add(readBytes(f, fs, crypto.KeyringName))
	f.Add([]byte("loam.key"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) >= 104 {
			if end := 108 + int(p[14]) + int(p[15])<<8; end <= len(p) {
				p = bytes.Clone(p)
				sum(p[:end])
			}
		}
		fs := newFS(t)
		writeBytes(t, fs, crypto.KeyringName, p)
		r, err := open(fs, master(1))
		if err == nil {
			require.Equal(t, whole, p)
			require.NoError(t, writeFile(t, r, 1).read(r))
			return
		}
		require.True(t, errors.Is(err, crypto.ErrAuth) || errors.Is(err, crypto.ErrWrongKey) || errors.Is(err, crypto.ErrTooNew), "%v", err)
		require.Equal(t, p, append([]byte{}, readBytes(t, fs, crypto.KeyringName)...))
	})
}

// Any body that is accepted encodes to the same bytes.
func FuzzKeyringBody(f *testing.F) {
	fs := newFS(f)
	r := create(f, fs)
	add := func(name string, k crypto.Key) {
		body, err := crypto.Body(readBytes(f, fs, name), k)
		require.NoError(f, err)
		f.Add(body)
	}
	add(crypto.KeyringName, key(f, 1))
	require.NoError(f, rotate(r))
	require.NoError(f, r.Retire(1, nobody))
	add(crypto.KeyringName, key(f, 1))
	f.Fuzz(func(t *testing.T, p []byte) {
		again, err := crypto.RecodeKeyset(p)
		if err == nil {
			require.Equal(t, p, again)
			file := crypto.Encode(fileid.KindKeyring, crypto.AES256GCM, storeUID, seal.Salt{}, nil, key(t, 1), p)
			fs := newFS(t)
			writeBytes(t, fs, crypto.KeyringName, file)
			r := mustOpen(t, fs, master(1))
			require.NoError(t, writeFile(t, r, 1).read(r))
		}
	})
}

func FuzzVaultBody(f *testing.F) {
	fs := newFS(f)
	v := createVault(f, fs)
	ids, err := v.NewKeys(3)
	require.NoError(f, err)
	require.NoError(f, v.Destroy(ids[0]))
	body, err := crypto.Body(readBytes(f, fs, crypto.VaultName), key(f, 5))
	require.NoError(f, err)
	f.Add(body)
	f.Add(body[:16])
	f.Fuzz(func(t *testing.T, p []byte) {
		if again, err := crypto.RecodeScopeKeys(p); err == nil {
			require.Equal(t, p, again)
		}
	})
}

// Any bytes in the place of a sealed value are refused, unless they are it.
func FuzzSealedValue(f *testing.F) {
	fs := newFS(f)
	v := createVault(f, fs)
	value := sealValue(f, v, newKey(f, v))
	f.Add(value, []byte("user key"))
	f.Add([]byte{1}, []byte{})
	f.Fuzz(func(t *testing.T, p, userKey []byte) {
		got, err := v.OpenValue(nil, userKey, p)
		if err == nil {
			require.Equal(t, "user key", string(userKey))
			require.Equal(t, value, p)
			require.Equal(t, "value", string(got))
			return
		}
		require.ErrorIs(t, err, crypto.ErrAuth)
	})
}
