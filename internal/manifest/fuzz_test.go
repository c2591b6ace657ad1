package manifest_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
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
	fs := newFS(f)
	l := mustOpen(f, fs)
	f.Add(readFile(f, fs, l.Name()))
	appendEdits(f, l, 0, 5)
	name, current := l.Name(), readFile(f, fs, manifest.CurrentName)
	f.Add(readFile(f, fs, name))
	f.Fuzz(func(t *testing.T, p []byte) {
		fs := newFS(t)
		writeFile(t, fs, manifest.CurrentName, current)
		writeFile(t, fs, name, p)
		loaded, err := manifest.Load(fs, dir, nil)
		if err == nil {
			log, err := manifest.OpenLog(loaded, options(fs))
			require.NoError(t, err)
			if err := log.Append(&manifest.Edit{LastTime: loaded.State.LastTime + 1}); err == nil {
				require.Equal(t, of(log), loadedContents(mustLoad(t, fs)))
			}
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
