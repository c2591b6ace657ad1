package manifest_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/expiry"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/manifest"
)

// The files of a small store. They change only with the format's version.
func TestGoldenFiles(t *testing.T) {
	fs := newFS(t)
	l := mustOpen(t, fs)
	appendEdits(t, l, 0, 4)
	golden.Assert(t, "testdata/CURRENT", readFile(t, fs, manifest.CurrentName))
	golden.Assert(t, "testdata/manifest.txt", dump(readFile(t, fs, l.Name())))

	fs = newFS(t)
	l = sealed.mustOpen(t, fs)
	appendEdits(t, l, 0, 4)
	golden.Assert(t, "testdata/sealed.txt", dump(readFile(t, fs, l.Name())))
}

// The encoding of an edit that has every field.
func TestGoldenEdit(t *testing.T) {
	p := manifest.AppendEdit(nil, fullEdit())
	golden.Assert(t, "testdata/edit.txt", dump(p))
	e, err := manifest.DecodeEdit(p)
	require.NoError(t, err)
	require.Equal(t, fullEdit(), e)
}

// fullEdit has every field, in the order in which they are encoded.
func fullEdit() *manifest.Edit {
	e := &manifest.Edit{
		FormatVersion: 1, NextFileNum: 300, NextRunID: 12, ReservedSeqNum: 1 << 40, ReservedScopeID: 77,
		HistoryFloor: 1234, MinSegment: 5, FlushedSeqNum: 99_999, LastTime: 1_700_000_000_000,
		Lineage:       []manifest.Open{segmentOpen(1), segmentOpen(2)},
		Cut:           &manifest.Cut{Segment: 6, UID: segment(6).UID, Bytes: 8192, LastSeqNum: 99_998},
		DropSegments:  true,
		AddedSegments: []manifest.Segment{segment(6), segment(7)},
		Operators:     []string{"", "counter", "max"},
		Deleted:       []manifest.DeletedTable{{Level: 0, Num: 4}, {Level: 5, Num: 3}},
		Extra:         []manifest.Field{{Tag: 80, Value: []byte("later")}, {Tag: 1 << 33, Value: []byte{}}},
	}
	opened := segmentOpen(3)
	e.Opened = &opened
	a, b := table(10, "", "cherry", 3), table(11, "damson", "fig", 4)
	a.LargestExclusive, a.RangeDeletes, a.Deletes, a.Held = true, 2, 5, 3
	a.Smallest = []byte{}
	b.Extra = []manifest.Field{{Tag: 42, Value: []byte{1}}, {Tag: 44, Value: []byte("x")}}
	b.Entries, b.Expires, b.OldestMerge, b.FirstExpiry = 9, 4, 1_500_000_000_000, 1_550_000_000_000
	b.Expiring = expiry.Steps{{By: 1_700_000_000_000, Bytes: 300}, {By: 1_700_000_060_000, Bytes: 5}}
	b.Deletes, b.Markers, b.LastMarker = 3, 2, 1_600_000_000_000
	c := table(12, "grape", "melon", 5)
	c.MaxSeqNum, c.Ingested = c.MinSeqNum, true
	c.Blobs = []manifest.BlobRef{{Num: 14, Bytes: 500}, {Num: 13, Bytes: 1 << 40}}
	e.Added = append(added(0, 9, a), added(6, 1, b, c)...)
	e.Blobs = []*manifest.Blob{blobFile(13, 1<<41), blobFile(14, 500)}
	e.AddedSegments[1].Key, b.Key, e.Blobs[0].Key = 4, 300, 5
	e.Keyring = &manifest.KeyAnchor{UID: storeUID, Epoch: 200, Digest: [32]byte{1, 31: 2}}
	e.Vault = &manifest.KeyAnchor{UID: [16]byte{8}, Epoch: 3, Digest: [32]byte{5}}
	e.MinKey = 300
	e.Conversion = &manifest.Conversion{To: manifest.ToEncrypted, Below: 300, Clear: []manifest.ClearFile{
		{Num: 11, Digest: [32]byte{3, 31: 4}}, {Num: 200, Digest: [32]byte{6}},
	}}
	return e
}

func segmentOpen(i byte) manifest.Open {
	return manifest.Open{ID: [16]byte{i, 0xfe}, First: 1000 * 1 << i}
}

// dump prints bytes 16 to a line, and a star for a run of lines that are equal.
func dump(p []byte) []byte {
	var b bytes.Buffer
	starred := false
	for i := 0; i < len(p); i += 16 {
		line := p[i:min(i+16, len(p))]
		if i > 0 && bytes.Equal(line, p[i-16:i]) {
			if !starred {
				b.WriteString("*\n")
			}
			starred = true
			continue
		}
		starred = false
		fmt.Fprintf(&b, "%06d  % x\n", i, line)
	}
	fmt.Fprintf(&b, "%06d\n", len(p))
	return b.Bytes()
}
