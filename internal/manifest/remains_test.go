package manifest_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

// checkRemains reads the remains of the store with one file replaced: damage of CURRENT
// loses nothing, damage of the manifest the version and marks of one record at most, and no
// table that is live is ever taken for a deleted one.
func (d *damaged) checkRemains(t *testing.T, name string, p []byte, at int) {
	writeFile(t, d.fs, name, p)
	r, err := manifest.ReadRemains(d.fs, dir, nil)
	require.NoError(t, err, "byte %d of %s", at, name)
	if r.Version != nil {
		require.Equal(t, d.want, encode(r.State, r.Version), "byte %d of %s", at, name)
		return
	}
	require.NotEqual(t, manifest.CurrentName, name, "byte %d", at)
	require.NotEmpty(t, r.Damage)
	want := d.wanted(t)
	require.LessOrEqual(t, r.State.FlushedSeqNum, want.State.FlushedSeqNum)
	require.LessOrEqual(t, r.State.MinSegment, want.State.MinSegment)
	require.GreaterOrEqual(t, r.State.FlushedSeqNum+20, want.State.FlushedSeqNum, "byte %d", at)
	want.Version.All(func(_ manifest.Level, _ manifest.RunID, tb *manifest.Table) bool {
		require.False(t, r.Deleted[tb.Num])
		return true
	})
	if (r.State.Store != fileid.UID{}) {
		require.Equal(t, storeUID, r.State.Store, "byte %d", at)
	}
}

// wanted loads the store as it was written.
func (d *damaged) wanted(t *testing.T) *manifest.Loaded {
	fs := newFS(t)
	for name, p := range d.files {
		f, err := fs.Create(dir + "/" + name)
		require.NoError(t, err)
		_, err = f.WriteAt(p, 0)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	return mustLoad(t, fs)
}

func TestRemainsOfEveryDamagedManifest(t *testing.T) {
	d := newDamaged(t, inClear, 6)
	for name, good := range d.files {
		p := bytes.Clone(good)
		for i := range p {
			p[i] ^= 0xff
			d.checkRemains(t, name, p, i)
			p[i] = good[i]
			if i%13 == 0 && name != manifest.CurrentName {
				writeFile(t, d.fs, name, p[:i])
				r, err := manifest.ReadRemains(d.fs, dir, nil)
				require.NoError(t, err)
				require.Nil(t, r.Version)
				writeFile(t, d.fs, name, p)
			}
		}
		writeFile(t, d.fs, name, good)
	}
}

func TestRemainsWithoutCurrentOrManifest(t *testing.T) {
	d := newDamaged(t, inClear, 6)
	require.NoError(t, d.fs.Remove(dir+"/"+manifest.CurrentName))
	r, err := manifest.ReadRemains(d.fs, dir, nil)
	require.NoError(t, err)
	require.Equal(t, d.want, encode(r.State, r.Version))
	for name := range d.files {
		_ = d.fs.Remove(dir + "/" + name)
	}
	_, err = manifest.ReadRemains(d.fs, dir, nil)
	require.ErrorIs(t, err, manifest.ErrNoStore)
	f, err := d.fs.Create(dir + "/000001.sst")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	r, err = manifest.ReadRemains(d.fs, dir, nil)
	require.NoError(t, err)
	require.Nil(t, r.Version)
	require.Zero(t, r.State.Store)
}

// Of two sound manifests neither is believed without CURRENT.
func TestRemainsOfTwoManifestsBelieveNeither(t *testing.T) {
	d := newDamaged(t, inClear, 6)
	var old []byte
	for name, p := range d.files {
		if name != manifest.CurrentName {
			old = p
		}
	}
	f, err := d.fs.Create(dir + "/MANIFEST-000099")
	require.NoError(t, err)
	_, err = f.WriteAt(old, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, d.fs.Remove(dir+"/"+manifest.CurrentName))
	r, err := manifest.ReadRemains(d.fs, dir, nil)
	require.NoError(t, err)
	require.Nil(t, r.Version)
	require.Equal(t, storeUID, r.State.Store)
	require.Equal(t, d.wanted(t).State.FlushedSeqNum, r.State.FlushedSeqNum)
}

func TestCreateWithBeginsWithTables(t *testing.T) {
	fs := newFS(t)
	v, err := (&manifest.Version{}).Apply(&manifest.Edit{Added: added(6, 1, table(3, "a", "m", 2))})
	require.NoError(t, err)
	s := &manifest.State{Store: storeUID, FormatVersion: 1, NextFileNum: 4, NextRunID: 2, FlushedSeqNum: 29, ReservedSeqNum: 29}
	require.NoError(t, manifest.CreateWith(s, v, options(fs)))
	l := mustLoad(t, fs)
	require.Equal(t, encode(s, v), loadedContents(l))
	log, err := manifest.OpenLog(l, options(fs))
	require.NoError(t, err)
	require.NoError(t, log.Append(edit(9)))
	require.NoError(t, log.Close())
	failing := vfs.NewFaults(newFS(t), vfs.Rule{Kinds: vfs.OpRename})
	require.Error(t, manifest.CreateWith(s, v, options(failing)))
	_, err = manifest.Load(failing, dir, nil)
	require.Error(t, err)
}
