package manifest_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
)

// blobFile makes a blob file with so many bytes of values.
func blobFile(num fileid.Num, data int64) *manifest.Blob {
	return &manifest.Blob{Num: num, UID: fileid.UID{byte(num), byte(num >> 8), 2}, Bytes: data + 200, Digest: uint64(num) * 7, Data: data, Values: 3}
}

// referring makes a table with references.
func referring(num fileid.Num, seq keys.SeqNum, refs ...manifest.BlobRef) *manifest.Table {
	t := table(num, "a", "z", seq)
	t.Blobs = refs
	return t
}

// Blob files come and go with the tables that refer to them, and their live bytes are the sum
// of what these say, however the edits are applied.
func TestBlobFilesFollowTheTables(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 5))
	l := mustOpen(t, newFS(t))
	var v *manifest.Version
	num := fileid.Num(1)
	type live struct {
		level manifest.Level
		t     *manifest.Table
	}
	var tables []live
	for i := range 200 {
		e := &manifest.Edit{}
		seq := keys.SeqNum(i + 1)
		if len(tables) > 0 && rnd.IntN(3) == 0 { // all of level 0 becomes one table, or none
			for _, old := range tables {
				e.Deleted = append(e.Deleted, manifest.DeletedTable{Level: old.level, Num: old.t.Num})
			}
			merged := referring(num, seq)
			num++
			for _, old := range tables {
				for _, r := range old.t.Blobs {
					if j := slices.IndexFunc(merged.Blobs, func(o manifest.BlobRef) bool { return o.Num == r.Num }); j >= 0 {
						merged.Blobs[j].Bytes += r.Bytes
					} else if r.Bytes /= 2; r.Bytes > 0 {
						merged.Blobs = append(merged.Blobs, r)
					}
				}
			}
			tables = nil
			if rnd.IntN(4) > 0 {
				e.Added = added(6, 1, merged)
				tables = []live{{6, merged}}
			}
		} else {
			b := blobFile(num, 1000)
			tab := referring(num+1, seq, manifest.BlobRef{Num: num, Bytes: 1 + rnd.Int64N(1000)})
			num += 2
			e.Blobs = []*manifest.Blob{b}
			e.Added = added(0, manifest.RunID(i+2), tab)
			tables = append(tables, live{0, tab})
		}
		e.NextFileNum = num
		require.NoError(t, l.Append(e))
		v = l.Version()
		require.NoError(t, v.CheckInvariants())
		want := map[fileid.Num]int64{}
		for _, x := range tables {
			for _, r := range x.t.Blobs {
				want[r.Num] += r.Bytes
			}
		}
		require.Len(t, v.Blobs, len(want))
		for i := range v.Blobs {
			u := &v.Blobs[i]
			require.Equal(t, want[u.Num], u.Live)
			require.Equal(t, u.Data-u.Live, u.Garbage())
			require.Equal(t, u, v.Blob(u.Num))
		}
		require.Nil(t, v.Blob(num))
	}
	require.NoError(t, l.Close())
}

func TestLoadingGivesTheBlobFilesThatApplyingGives(t *testing.T) {
	fs := newFS(t)
	l := mustOpen(t, fs)
	for i := range 30 {
		num := fileid.Num(2*i + 1)
		e := &manifest.Edit{NextFileNum: num + 2, Blobs: []*manifest.Blob{blobFile(num, 100)}}
		tab := referring(num+1, keys.SeqNum(i+1), manifest.BlobRef{Num: num, Bytes: int64(i + 1)})
		if i%5 == 4 {
			e.Deleted = []manifest.DeletedTable{{Level: 0, Num: num - 1}, {Level: 0, Num: num - 3}}
			tab.Blobs = append(tab.Blobs, manifest.BlobRef{Num: num - 2, Bytes: 5})
		}
		e.Added = added(0, manifest.RunID(i+2), tab)
		require.NoError(t, l.Append(e))
	}
	want := l.Version()
	require.NotEmpty(t, want.Blobs)
	require.NoError(t, l.Close())
	require.Equal(t, want, mustLoad(t, fs).Version)
}

func TestInvalidBlobEditsChangeNothing(t *testing.T) {
	v := &manifest.Version{}
	v, err := v.Apply(&manifest.Edit{Blobs: []*manifest.Blob{blobFile(1, 100)}, Added: added(0, 1, referring(2, 1, manifest.BlobRef{Num: 1, Bytes: 60}))})
	require.NoError(t, err)
	for name, e := range map[string]*manifest.Edit{
		"a file that is not there": {Added: added(0, 2, referring(3, 2, manifest.BlobRef{Num: 9, Bytes: 1}))},
		"more than the file has":   {Added: added(0, 2, referring(3, 2, manifest.BlobRef{Num: 1, Bytes: 41}))},
		"nothing of a file":        {Added: added(0, 2, referring(3, 2, manifest.BlobRef{Num: 1}))},
		"a file twice in a table":  {Added: added(0, 2, referring(3, 2, manifest.BlobRef{Num: 1, Bytes: 1}, manifest.BlobRef{Num: 1, Bytes: 1}))},
		"a file that is there":     {Blobs: []*manifest.Blob{blobFile(1, 100)}},
		"values beyond the file":   {Blobs: []*manifest.Blob{{Num: 5, Bytes: 100, Data: 100, Values: 1}}},
		"a file without values":    {Blobs: []*manifest.Blob{{Num: 5, Bytes: 100, Data: 10}}},
	} {
		_, err := v.Apply(e)
		require.ErrorIs(t, err, manifest.ErrInvalidEdit, name)
	}
	moved, err := v.Apply(&manifest.Edit{Deleted: []manifest.DeletedTable{{Level: 0, Num: 2}}, Added: added(6, 1, v.Levels[0][0].Tables[0])})
	require.NoError(t, err)
	require.Equal(t, v.Blobs, moved.Blobs, "a table that moves keeps its files")
	gone, err := moved.Apply(&manifest.Edit{Deleted: []manifest.DeletedTable{{Level: 6, Num: 2}}})
	require.NoError(t, err)
	require.Empty(t, gone.Blobs)
	_, err = (&manifest.State{NextFileNum: 5}).Apply(&manifest.Edit{Blobs: []*manifest.Blob{blobFile(5, 1)}})
	require.ErrorIs(t, err, manifest.ErrInvalidEdit, "numbers are reserved first")
}
