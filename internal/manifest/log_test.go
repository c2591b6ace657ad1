package manifest_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

func TestEmptyAndMissingDirectoriesHoldNoStore(t *testing.T) {
	_, err := manifest.Load(vfs.NewMem(), dir, nil)
	require.Equal(t, manifest.ErrNoStore, err)
	fsys := newFS(t)
	writeFile(t, fsys, "README", []byte("not ours"))
	writeFile(t, fsys, manifest.LockName, nil)
	_, err = manifest.Load(fsys, dir, nil)
	require.Equal(t, manifest.ErrNoStore, err)
}

func TestEveryEditIsFoundByTheNextLoad(t *testing.T) {
	fsys := newFS(t)
	for i := range 40 {
		l := mustOpen(t, fsys)
		states := appendEdits(t, l, i, i+1)
		loaded := mustLoad(t, fsys)
		require.Equal(t, states[1], loadedContents(loaded))
		require.False(t, loaded.Torn)
		require.NoError(t, loaded.Version.CheckInvariants())
		require.NoError(t, l.Close())
		require.NoError(t, l.Close())
	}
}

func TestRollingLeavesOneManifestAndTheSameState(t *testing.T) {
	fsys := newFS(t)
	l := mustOpen(t, fsys)
	names := map[string]bool{}
	for i := range 200 {
		states := appendEdits(t, l, i, i+1)
		require.Equal(t, states[1], loadedContents(mustLoad(t, fsys)))
		names[l.Name()] = true
		list, err := fsys.List(dir)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{manifest.CurrentName, l.Name()}, list)
	}
	require.Greater(t, len(names), 2)
}

func TestOldStatesDoNotChange(t *testing.T) {
	l := mustOpen(t, newFS(t))
	type kept struct {
		s *manifest.State
		v *manifest.Version
		c contents
	}
	var all []kept
	for i := range 60 {
		all = append(all, kept{l.State(), l.Version(), of(l)})
		require.NoError(t, l.Append(edit(i)))
	}
	for _, k := range all {
		require.Equal(t, k.c, encode(k.s, k.v))
	}
}

func TestInvalidEditsChangeNothing(t *testing.T) {
	fsys := newFS(t)
	l := mustOpen(t, fsys)
	before := appendEdits(t, l, 0, 2)[2]
	err := l.Append(&manifest.Edit{Deleted: []manifest.DeletedTable{{Level: 3, Num: 1}}})
	require.ErrorIs(t, err, manifest.ErrInvalidEdit)
	require.Equal(t, before, of(l))
	require.Equal(t, before, loadedContents(mustLoad(t, fsys)))
	appendEdits(t, l, 2, 3)
}

func TestFileNumbersOfOrphansAreNotGivenOutAgain(t *testing.T) {
	fsys := newFS(t)
	l := mustOpen(t, fsys)
	appendEdits(t, l, 0, 2)
	writeFile(t, fsys, manifest.TableName(77), nil)
	writeFile(t, fsys, manifest.BlobName(80), nil)
	loaded := mustLoad(t, fsys)
	require.EqualValues(t, 81, loaded.State.NextFileNum)
}

func TestALostPointerIsDamage(t *testing.T) {
	for _, left := range []string{"MANIFEST-000001", "000001.sst", "000009.blob", "MANIFEST-000002", "wal-0001"} {
		t.Run(left, func(t *testing.T) {
			fsys := newFS(t)
			l := mustOpen(t, fsys)
			appendEdits(t, l, 0, 1)
			first := readFile(t, fsys, l.Name())
			list, err := fsys.List(dir)
			require.NoError(t, err)
			for _, name := range list {
				require.NoError(t, fsys.Remove(dir+"/"+name))
			}
			writeFile(t, fsys, left, first)
			_, err = manifest.Load(fsys, dir, nil)
			var damage *manifest.CorruptionError
			require.ErrorAs(t, err, &damage)
			require.Equal(t, manifest.CurrentName, damage.File)
		})
	}
}

func TestAPointerToNothingIsDamage(t *testing.T) {
	fsys := newFS(t)
	l := mustOpen(t, fsys)
	require.NoError(t, fsys.Remove(dir+"/"+l.Name()))
	_, err := manifest.Load(fsys, dir, nil)
	require.ErrorIs(t, err, manifest.ErrCorrupt)
	require.NotErrorIs(t, err, fs.ErrNotExist)
}

func TestAnotherStoresManifestIsRefused(t *testing.T) {
	a, b := newFS(t), newFS(t)
	mustOpen(t, a)
	loaded, err := manifest.Create(storeUID, manifest.LogOptions{FS: b, Dir: dir, Random: newRandom(4)})
	require.NoError(t, err)
	writeFile(t, a, loaded.Name, readFile(t, b, loaded.Name))
	_, err = manifest.Load(a, dir, nil)
	require.ErrorIs(t, err, manifest.ErrCorrupt)
}

func TestStoresOfALaterFormatAreRefused(t *testing.T) {
	fsys := newFS(t)
	l := mustOpen(t, fsys)
	require.NoError(t, l.Append(&manifest.Edit{FormatVersion: manifest.FormatVersion + 1}))
	_, err := manifest.Load(fsys, dir, nil)
	require.ErrorIs(t, err, manifest.ErrTooNew)
	require.NotErrorIs(t, err, manifest.ErrCorrupt)
}

func TestAClosedLogTakesNothing(t *testing.T) {
	l := mustOpen(t, newFS(t))
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Append(edit(0)), manifest.ErrClosed)
}
