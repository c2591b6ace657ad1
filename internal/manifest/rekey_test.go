package manifest_test

import (
	"crypto/cipher"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
)

// rekeyed is a manifest whose new files are under the key that active has.
func rekeyed(t testing.TB, fs vfs.FS, active *sealtest.Ring, o manifest.LogOptions) *manifest.Log {
	t.Helper()
	o.NewCipher = func(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
		return active.New(kind, uid, salt)
	}
	o.OpenCipher = func(id seal.KeyID, kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, error) {
		return sealtest.Ring(id).Open(id, kind, uid, salt)
	}
	loaded, err := manifest.Load(fs, dir, o.OpenCipher)
	if err == manifest.ErrNoStore {
		loaded, err = manifest.Create(storeUID, o)
	}
	require.NoError(t, err)
	l, err := manifest.OpenLog(loaded, o)
	require.NoError(t, err)
	return l
}

// A roll brings the manifest under the key that new files take: the old key is not needed any
// more.
func TestARollBringsTheManifestUnderTheNewKey(t *testing.T) {
	fs, active := newFS(t), sealtest.Ring(1)
	l := rekeyed(t, fs, &active, options(fs))
	states := appendEdits(t, l, 0, 6)
	require.EqualValues(t, 1, l.Key())
	active = 2
	appendEdits(t, l, 6, 6)
	require.EqualValues(t, 1, l.Key(), "nothing is changed by a new key alone")
	require.NoError(t, l.Roll())
	require.EqualValues(t, 2, l.Key())
	loaded, err := manifest.Load(fs, dir, sealtest.Ring(2).Open)
	require.NoError(t, err)
	require.Equal(t, states[6], loadedContents(loaded))
	states = appendEdits(t, l, 6, 12)
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Roll(), manifest.ErrClosed)
	loaded, err = manifest.Load(fs, dir, sealtest.Ring(2).Open)
	require.NoError(t, err)
	require.Equal(t, states[6], loadedContents(loaded))
	list, err := fs.List(dir)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{manifest.CurrentName, l.Name()}, list)

	plain := newFS(t)
	p := mustOpen(t, plain)
	require.NoError(t, p.Roll())
	require.Zero(t, p.Key())
}

// R37: wherever the power is cut in a roll, what is left opens, with both keys before it has
// returned and with the new one alone thereafter.
func TestAPowerCutInARollLeavesAManifestOfEitherKey(t *testing.T) {
	fs, active := newCrashFS(t), sealtest.Ring(1)
	l := rekeyed(t, fs, &active, options(fs))
	want := appendEdits(t, l, 0, 3)[3]
	before := fs.Ops()
	active = 2
	require.NoError(t, l.Roll())
	after := fs.Ops()
	require.NoError(t, l.Close())
	e, states := fs.Explore(), 0
	for k := before; k <= after; k++ {
		e.AdvanceTo(k)
		for state := range e.States(vfs.StateOptions{Random: 4}) {
			states++
			open := func(id seal.KeyID, kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, error) {
				if k == after && id == 1 {
					return nil, sealtest.ErrNoKey
				}
				return sealtest.Ring(id).Open(id, kind, uid, salt)
			}
			loaded, err := manifest.Load(state.Mem(), dir, open)
			require.NoError(t, err, "%s", state)
			require.Equal(t, want, loadedContents(loaded), "%s", state)
		}
	}
	require.Greater(t, states, 20)
}
