package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

// A copy has the numbers and marks of its original, none of its log, and parts from its
// history after the last number in tables: openings that only numbered later ones are not
// its history.
func TestTheStateOfACopy(t *testing.T) {
	s := &manifest.State{
		Store: storeUID, FormatVersion: 1, NextFileNum: 9, NextRunID: 8, ReservedSeqNum: 5000, ReservedScopeID: 7,
		HistoryFloor: 90, MinSegment: 4, FlushedSeqNum: 100, LastTime: 33, Operators: []string{"max"},
		Segments: []manifest.Segment{segment(4)}, Cut: &manifest.Cut{LastSeqNum: 120},
		Lineage: []manifest.Open{{ID: fileid.UID{1}, First: 1}, {ID: fileid.UID{2}, First: 100}, {ID: fileid.UID{3}, First: 101}, {ID: fileid.UID{4}, First: 300}},
		Extra:   []manifest.Field{{Tag: 40, Value: []byte("later")}},
	}
	want := *s
	want.Store, want.Segments, want.MinSegment, want.Cut, want.LastTime = fileid.UID{0xcc}, nil, 0, nil, 44
	want.Lineage = []manifest.Open{s.Lineage[0], s.Lineage[1], {ID: fileid.UID{0xdd}, First: 101}}
	require.Equal(t, &want, s.Copy(fileid.UID{0xcc}, fileid.UID{0xdd}, 44))
	require.EqualValues(t, 33, s.Copy(fileid.UID{0xcc}, fileid.UID{0xdd}, 22).LastTime)
	require.Len(t, s.Lineage, 4)
}

// Until CURRENT is there the mark says that the directory holds no store; beside CURRENT
// it says that what the manifest says may not be durable.
func TestAMarkedDirectory(t *testing.T) {
	fs := newFS(t)
	original := mustOpen(t, fs)
	appendEdits(t, original, 0, 10)
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll(dir))
	writeFile(t, mem, manifest.UnfinishedName, nil)
	for _, left := range []string{"000001.sst", "CURRENT.tmp", "MANIFEST-000001", "wal-0001"} {
		_, err := manifest.Load(mem, dir, nil)
		require.ErrorIs(t, err, manifest.ErrUnfinished)
		writeFile(t, mem, left, nil)
	}
	require.NoError(t, mem.Remove(dir+"/MANIFEST-000001"))
	require.NoError(t, mem.Remove(dir+"/wal-0001"))

	state := original.State().Copy(fileid.UID{5}, fileid.UID{6}, 0)
	require.NoError(t, manifest.CreateCopy(state, original.Version(), options(mem)))
	loaded := mustLoad(t, mem)
	require.Equal(t, fileid.UID{5}, loaded.State.Store)
	require.Equal(t, encode(state, original.Version()), loadedContents(loaded))
	l, err := manifest.OpenLog(loaded, options(mem))
	require.NoError(t, err)
	require.Equal(t, "MANIFEST-000002", l.Name(), "the first one may not be durable")
	require.NoError(t, l.Close())

	require.NoError(t, mem.Remove(dir+"/"+manifest.UnfinishedName))
	l, err = manifest.OpenLog(mustLoad(t, mem), options(mem))
	require.NoError(t, err)
	require.Equal(t, "MANIFEST-000002", l.Name())
	require.NoError(t, l.Append(&manifest.Edit{FlushedSeqNum: keys.SeqNum(1 << 40)}))
	require.NoError(t, l.Close())
}
