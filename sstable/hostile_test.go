package sstable_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// withBlock returns the table with its first data block replaced by a frame that is said to hold
// n bytes, filled up with zeros to the block's length, under a checksum that passes.
func withBlock(t *testing.T, content []byte, at [2]int64, c block.Codec, n uint32, frame []byte) []byte {
	t.Helper()
	out := bytes.Clone(content)
	raw := out[at[0]:at[1]]
	require.LessOrEqual(t, 4+len(frame)+block.TrailerLen, len(raw), "the case needs a longer block")
	clear(raw)
	binary.LittleEndian.PutUint32(raw, n)
	copy(raw[4:], frame)
	raw[len(raw)-block.TrailerLen] = byte(c)
	seed := fileid.NewSeed(fileid.KindTable, sampleUID)
	binary.LittleEndian.PutUint32(raw[len(raw)-4:], seed.Checksum(at[0], raw[:len(raw)-4]))
	return out
}

// A block of a table takes no more memory than all blocks of the table together are said to
// have, whatever it says of itself, and what it holds.
func TestHostileBlocksOfTablesTakeNoMoreThanTheTableDeclares(t *testing.T) {
	const bomb = 32 << 20
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	require.NoError(t, err)
	bombs := map[block.Codec][]byte{
		block.CodecS2:   s2.Encode(nil, make([]byte, bomb)),
		block.CodecZstd: e.EncodeAll(make([]byte, bomb), nil),
	}
	noise := make([]byte, 12<<10)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	for c, frame := range bombs {
		o := options()
		o.Codec, o.BlockBytes = c, 32<<10
		tb := write(t, vfs.NewMem(), "t", o, []entry{set("a", 1, string(noise)), set("b", 1, string(noise[5:]))})
		held := newCache(t, 1<<20)
		clean := tb.open(t, readerOptions(&tb.meta, held))
		at := sstable.DataBlocks(t, clean)[0]
		content := tb.content(t)
		if room := int(at[1]-at[0]) - 12; len(frame) > room {
			frame = frame[:room] // it need not be whole to say what it says
		}
		for _, n := range []uint32{bomb, 300, 1 << 30} {
			damaged := withBlock(t, content, at, c, n, frame)
			r, err := openContent(t, tb, damaged, held)
			require.NoError(t, err)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, _, err = r.Get(nil, []byte("a"), filter.Hash([]byte("a")), keys.MaxSeqNum)
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, sstable.ErrCorrupt)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20), "%v that says %d", c, n)
			require.NoError(t, r.Close())
		}
	}
}

// A table whose blocks need dictionaries is refused as a whole, before any is read, and left
// as it is; a block that needs one that the properties do not name, when it is met.
func TestTableThatNeedsADictionaryIsTooNew(t *testing.T) {
	fs := vfs.NewMem()
	f, err := fs.Create("t")
	require.NoError(t, err)
	w, err := sstable.NewWriter(f, options())
	require.NoError(t, err)
	w.Annotate(sstable.Annotations{Dictionaries: []uint64{7}})
	require.NoError(t, w.Add([]byte("k"), keys.MakeTrailer(1, keys.KindSet), []byte("value")))
	meta, err := w.Finish()
	require.NoError(t, err)
	tb := &table{fs: fs, name: "t", meta: meta}
	_, err = openContent(t, tb, tb.content(t), newCache(t, 1<<20))
	require.ErrorIs(t, err, sstable.ErrTooNew)
	require.NotErrorIs(t, err, sstable.ErrCorrupt)
	require.ErrorContains(t, err, "dictionaries [7]")

	for _, c := range codecs {
		tb := small(t, c)
		r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
		at := sstable.DataBlocks(t, r)[0]
		content := tb.content(t)
		raw := content[at[0]:at[1]]
		raw[len(raw)-block.TrailerLen+1] = 7
		seed := fileid.NewSeed(fileid.KindTable, sampleUID)
		binary.LittleEndian.PutUint32(raw[len(raw)-4:], seed.Checksum(at[0], raw[:len(raw)-4]))
		r, err := openContent(t, tb, content, newCache(t, 1<<20))
		require.NoError(t, err)
		var it sstable.Iter
		it.Init(r, sstable.IterOptions{})
		require.False(t, it.First())
		require.ErrorIs(t, it.Err(), sstable.ErrTooNew)
		require.ErrorIs(t, it.Close(), sstable.ErrTooNew)
		require.NoError(t, r.Close())
	}
}
