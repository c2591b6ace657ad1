package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
)

func toEncrypted() *manifest.Conversion {
	return &manifest.Conversion{To: manifest.ToEncrypted, Below: 9, Clear: []manifest.ClearFile{{Num: 2, Digest: [32]byte{1}}, {Num: 8}}}
}

// A conversion is there until another takes its place, or it ends.
func TestConversionsAreKeptUntilTheyEnd(t *testing.T) {
	fs := newFS(t)
	l := sealed.mustOpen(t, fs)
	found := func() *manifest.Conversion {
		loaded := sealed.mustLoad(t, fs)
		require.Equal(t, l.State().Conversion, loaded.State.Conversion)
		return loaded.State.Conversion
	}
	require.Nil(t, found())
	require.NoError(t, l.Append(&manifest.Edit{Conversion: toEncrypted()}))
	appendEdits(t, l, 0, 30) // several files
	require.Equal(t, toEncrypted(), found())
	require.NoError(t, l.Append(&manifest.Edit{Conversion: &manifest.Conversion{To: manifest.ToClear}}))
	require.Equal(t, &manifest.Conversion{To: manifest.ToClear}, found())
	require.NoError(t, l.Append(&manifest.Edit{Conversion: &manifest.Conversion{}}))
	require.Nil(t, found())
	require.NoError(t, l.Roll())
	require.Nil(t, found())
}

// What no encoder writes is refused before it is written, or where it is read.
func TestConversionsThatAreNone(t *testing.T) {
	for name, change := range map[string]func(*manifest.Conversion){
		"no such direction":  func(c *manifest.Conversion) { c.To = 3 },
		"files of the other": func(c *manifest.Conversion) { c.To = manifest.ToClear },
		"descending":         func(c *manifest.Conversion) { c.Clear[1].Num = 1 },
		"twice":              func(c *manifest.Conversion) { c.Clear[1].Num = 2 },
		"too high":           func(c *manifest.Conversion) { c.Clear[1].Num = 9 },
		"number 0":           func(c *manifest.Conversion) { c.Clear[0].Num = 0 },
	} {
		c := toEncrypted()
		change(c)
		e, err := manifest.DecodeEdit(manifest.AppendEdit(nil, &manifest.Edit{Conversion: c}))
		if err == nil {
			require.NotEqual(t, c, e.Conversion, name)
			continue
		}
		require.ErrorContains(t, err, "field 23", name)
	}
}

// A store that is in clear again has a manifest that nobody needs a key for, and nothing of keys in it.
func TestAManifestIsUnsealed(t *testing.T) {
	fs := newFS(t)
	l := sealed.mustOpen(t, fs)
	states := appendEdits(t, l, 0, 6)
	require.NoError(t, l.Append(&manifest.Edit{
		Keyring: &manifest.KeyAnchor{Epoch: 3}, Vault: &manifest.KeyAnchor{Epoch: 4}, MinKey: 5, Conversion: toEncrypted(),
	}))
	require.NoError(t, l.Unseal())
	require.Zero(t, l.Key())
	require.Equal(t, states[6], of(l))
	_, err := manifest.Load(fs, dir, sealed.openCipher)
	require.ErrorIs(t, err, seal.ErrAuth)
	require.Equal(t, states[6], loadedContents(mustLoad(t, fs)))
	list, err := fs.List(dir)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{manifest.CurrentName, l.Name()}, list)
	states = appendEdits(t, l, 6, 9)
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Unseal(), manifest.ErrClosed)
	require.Equal(t, states[3], loadedContents(mustLoad(t, fs)))
}
