package crypto_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
)

// openUnderEither opens a vault under the vault keys that a keyring has.
func openUnderEither(fs vfs.FS, r *crypto.Ring) (*crypto.Vault, bool, error) {
	now, before, err := r.VaultKeys()
	if err != nil {
		return nil, false, err
	}
	v, err := crypto.OpenVault(now, crypto.Expected{}, options(fs))
	if errors.Is(err, crypto.ErrWrongKey) && !before.IsZero() {
		v, err = crypto.OpenVault(before, crypto.Expected{}, options(fs))
		return v, true, err
	}
	return v, false, err
}

// The power is cut at every operation while the vault key is changed: the vault opens under one of the
// keyring's keys, with what it had, and in the end under the new one alone, of which no file has the old one.
func TestPowerCutAtEveryOperationOfANewVaultKey(t *testing.T) {
	fs := newCrashFS(t)
	r := create(t, fs)
	secret, before, err := r.VaultKeys()
	require.NoError(t, err)
	require.True(t, before.IsZero())
	v, err := crypto.CreateVault(vaultUID, secret, options(fs))
	require.NoError(t, err)
	id, doomed := newKey(t, v), newKey(t, v)
	value, gone := sealValue(t, v, id), sealValue(t, v, doomed)
	from := fs.Ops()
	_, err = r.Rotate()
	require.NoError(t, err)
	now, before, err := r.VaultKeys()
	require.NoError(t, err)
	require.True(t, before.Equal(secret))
	require.False(t, now.Equal(secret))
	require.NoError(t, v.Destroy(doomed), "under the key before")
	destroyed := fs.Ops()
	require.NoError(t, v.Reseal(now))
	resealed := fs.Ops()
	require.NoError(t, r.DropVaultKey())
	dropped := fs.Ops()
	require.NoError(t, r.DropVaultKey())
	require.Equal(t, dropped, fs.Ops(), "there is nothing to drop")
	newKey(t, v)
	met := map[bool]int{}
	for e, k := fs.Explore(), from; k <= fs.Ops(); k++ {
		e.AdvanceTo(k)
		for s := range e.States(vfs.StateOptions{Random: 2, Pending: 1, Cuts: 1}) {
			r, err := open(s.Mem(), master(1))
			require.NoError(t, err, "%s", s)
			v, old, err := openUnderEither(s.Mem(), r)
			require.NoError(t, err, "%s", s)
			require.False(t, old && k >= resealed, "%s", s)
			met[old]++
			p, err := v.OpenValue(nil, []byte("user key"), value)
			require.NoError(t, err, "%s", s)
			require.Equal(t, "value", string(p))
			if _, err = v.OpenValue(nil, []byte("user key"), gone); k >= destroyed {
				require.ErrorIs(t, err, crypto.ErrShredded)
			}
			st, err := r.Status()
			require.NoError(t, err)
			require.False(t, st.VaultKeyStays && k >= dropped, "%s", s)
		}
	}
	require.Positive(t, met[true])
	require.Positive(t, met[false])
	_, err = crypto.OpenVault(secret, crypto.Expected{}, options(fs))
	require.ErrorIs(t, err, crypto.ErrWrongKey)
	body, err := crypto.Body(readBytes(t, fs, crypto.KeyringName), key(t, 1))
	require.NoError(t, err)
	require.NotContains(t, string(body), string(crypto.Bytes(secret)))
}

// A vault key that the vault may be under outlasts another rotation, and a failed change leaves the vault as it was.
func TestAVaultKeyStaysUntilItIsDropped(t *testing.T) {
	mem := newFS(t)
	fs := vfs.NewFaults(mem)
	r := create(t, fs)
	first, _, err := r.VaultKeys()
	require.NoError(t, err)
	v, err := crypto.CreateVault(vaultUID, first, options(fs))
	require.NoError(t, err)
	id := newKey(t, v)
	for range 2 {
		_, err = r.Rotate()
		require.NoError(t, err)
	}
	now, before, err := r.VaultKeys()
	require.NoError(t, err)
	require.True(t, before.Equal(first))
	require.ErrorIs(t, v.Reseal(crypto.Key{}), crypto.ErrInvalidKey)
	fs.Add(vfs.Rule{Kinds: vfs.OpRename})
	require.ErrorIs(t, v.Reseal(now), crypto.ErrUncertain)
	require.NoError(t, v.Destroy(newKey(t, v)))
	_, old, err := openUnderEither(mem, r)
	require.NoError(t, err)
	require.True(t, old)
	c, err := r.CopyTo(fileUID, options(newFS(t)))
	require.NoError(t, err)
	family, err := r.Family()
	require.NoError(t, err)
	same, err := c.Family()
	require.NoError(t, err)
	require.Equal(t, family, same)

	require.NoError(t, v.Reseal(now))
	require.NoError(t, r.DropVaultKey())
	v, old, err = openUnderEither(mem, r)
	require.NoError(t, err)
	require.False(t, old)
	require.NoError(t, v.Check(id))
	store, err := crypto.StoreOf(crypto.Options{FS: mem, Dir: dir})
	require.NoError(t, err)
	require.Equal(t, storeUID, store)
	require.NoError(t, v.Close())
	require.ErrorIs(t, v.Reseal(now), crypto.ErrClosed)
	require.NoError(t, r.Close())
	require.ErrorIs(t, r.DropVaultKey(), crypto.ErrClosed)
	_, err = r.Family()
	require.ErrorIs(t, err, crypto.ErrClosed)
	_, err = crypto.StoreOf(crypto.Options{FS: newFS(t), Dir: dir})
	require.ErrorIs(t, err, vfs.ErrNotExist)
}

// What is forgotten leaves nothing in the file, and what is destroyed cannot be forgotten.
func TestForgottenKeysLeaveNoTrace(t *testing.T) {
	fs := newFS(t)
	v := createVault(t, fs)
	ids, err := v.NewKeys(4)
	require.NoError(t, err)
	before := len(readBytes(t, fs, crypto.VaultName))
	require.NoError(t, v.Destroy(ids[3]))
	require.NoError(t, v.Forget(ids[0], ids[2], ids[3], crypto.ScopeKeyID{7}))
	require.Len(t, readBytes(t, fs, crypto.VaultName), before-2*64)
	for range 2 {
		for i, want := range []error{crypto.ErrNoKey, nil, crypto.ErrNoKey, crypto.ErrShredded} {
			require.ErrorIs(t, v.Check(ids[i]), want)
		}
		v, err = openVault(fs)
		require.NoError(t, err)
	}
	body, err := crypto.Body(readBytes(t, fs, crypto.VaultName), key(t, 5))
	require.NoError(t, err)
	require.False(t, bytes.Contains(body, ids[0][:]))
	require.NoError(t, v.Close())
	require.ErrorIs(t, v.Forget(ids[1]), crypto.ErrClosed)
}
