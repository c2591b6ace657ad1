package manifest_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal/sealtest"
)

func FuzzEdit(f *testing.F) {
	f.Add([]byte{})
	f.Add(manifest.AppendEdit(nil, fullEdit()))
	for i := range 4 {
		f.Add(manifest.AppendEdit(nil, edit(i)))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		e, err := manifest.DecodeEdit(p)
		if err != nil {
			return
		}
		require.Equal(t, p, append([]byte{}, manifest.AppendEdit(nil, e)...))
		state, serr := (&manifest.State{}).Apply(e)
		version, verr := (&manifest.Version{}).Apply(e)
		if serr != nil || verr != nil {
			require.ErrorIs(t, errors.Join(serr, verr), manifest.ErrInvalidEdit)
			return
		}
		snapshot := manifest.AppendEdit(nil, manifest.Snapshot(state, version))
		again, err := manifest.DecodeEdit(snapshot)
		require.NoError(t, err)
		version, err = (&manifest.Version{}).Apply(again)
		require.NoError(t, err)
		state, err = (&manifest.State{}).Apply(again)
		require.NoError(t, err)
		require.Equal(t, snapshot, manifest.AppendEdit(nil, manifest.Snapshot(state, version)))
	})
}

func FuzzManifestFile(f *testing.F) {
	// With a cipher that takes any tag, so that the fuzzer gets behind it, and with one that
	// does not.
	forms := []form{inClear, {sealtest.Clear(3).New, sealtest.Clear(3).Open}, sealed}
	var names []string
	var currents [][]byte
	for i, form := range forms {
		fs := newFS(f)
		l := form.mustOpen(f, fs)
		f.Add(readFile(f, fs, l.Name()), uint8(i))
		appendEdits(f, l, 0, 5)
		names, currents = append(names, l.Name()), append(currents, readFile(f, fs, manifest.CurrentName))
		f.Add(readFile(f, fs, l.Name()), uint8(i))
	}
	f.Fuzz(func(t *testing.T, p []byte, i uint8) {
		fs := newFS(t)
		i %= uint8(len(forms))
		form := forms[i]
		writeFile(t, fs, manifest.CurrentName, currents[i])
		writeFile(t, fs, names[i], p)
		loaded, err := manifest.Load(fs, dir, form.openCipher)
		if err == nil {
			log, err := manifest.OpenLog(loaded, form.options(fs))
			require.NoError(t, err)
			if err := log.Append(&manifest.Edit{LastTime: loaded.State.LastTime + 1}); err == nil {
				require.Equal(t, of(log), loadedContents(form.mustLoad(t, fs)))
			}
			return
		}
		if errors.Is(err, sealtest.ErrNoKey) {
			return
		}
		require.True(t, errors.Is(err, manifest.ErrCorrupt) || errors.Is(err, manifest.ErrTooNew), "%v", err)
	})
}

func FuzzCurrent(f *testing.F) {
	fs := newFS(f)
	l := mustOpen(f, fs)
	name, file, current := l.Name(), readFile(f, fs, l.Name()), readFile(f, fs, manifest.CurrentName)
	f.Add(current)
	f.Add([]byte("loam.current 2 x 00000000\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		fs := newFS(t)
		writeFile(t, fs, manifest.CurrentName, p)
		writeFile(t, fs, name, file)
		_, err := manifest.Load(fs, dir, nil)
		if err == nil {
			require.Equal(t, current, p)
			return
		}
		require.True(t, errors.Is(err, manifest.ErrCorrupt) || errors.Is(err, manifest.ErrTooNew), "%v", err)
	})
}
