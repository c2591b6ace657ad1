package wal_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/wal"
)

// The files of a small log: a batch split over two segments, a claim mark, a clean
// close. They change only with the format's version.
func TestGoldenLog(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 70)
		l, _, _ := o.mustOpen(t)
		require.NoError(t, l.Reserve(15_000, 4))
		appendAll(t, l, wal.WillSync, entry{1, 1, 5}, entry{2, 3, 40})
		require.NoError(t, l.Mark())
		appendAll(t, l, wal.WillSync, entry{5, 1, 4200}, entry{6, 1, 0})
		require.Equal(t, wal.SegmentNum(2), l.Current())
		require.Len(t, o.list.Live, 3)
		require.NoError(t, l.Close())
		for _, seg := range o.list.Live {
			name := wal.SlotName(seg.Slot)
			page := dump(readAll(t, o.opts.FS, name))
			if mode == sealed {
				name = "sealed-" + name
			}
			golden.Assert(t, "testdata/"+name+".txt", page)
		}
	})
}

// dump prints bytes 16 to a line, and a star for a run of lines that are equal.
func dump(p []byte) []byte {
	var b bytes.Buffer
	starred := false
	for i := 0; i < len(p); i += 16 {
		if i > 0 && bytes.Equal(p[i:i+16], p[i-16:i]) {
			if !starred {
				b.WriteString("*\n")
			}
			starred = true
			continue
		}
		starred = false
		fmt.Fprintf(&b, "%06d  % x\n", i, p[i:i+16])
	}
	fmt.Fprintf(&b, "%06d\n", len(p))
	return b.Bytes()
}
