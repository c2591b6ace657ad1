package sstable_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/blob"
	"github.com/loamdb/loam/sstable/block"
)

func newWriter(t testing.TB) *sstable.Writer {
	t.Helper()
	f, err := vfs.NewMem().Create("t")
	require.NoError(t, err)
	w, err := sstable.NewWriter(f, options())
	require.NoError(t, err)
	return w
}

func TestWriterRefusesDisorder(t *testing.T) {
	at := func(seq keys.SeqNum, k keys.Kind) keys.Trailer { return keys.MakeTrailer(seq, k) }
	for name, second := range map[string]entry{
		"a smaller key":                {[]byte("a"), at(9, keys.KindSet), nil},
		"the same entry":               {[]byte("b"), at(5, keys.KindSet), nil},
		"a newer version":              {[]byte("b"), at(6, keys.KindSet), nil},
		"a greater kind at one number": {[]byte("b"), at(5, keys.KindSetWithExpiry), make([]byte, 8)},
	} {
		w := newWriter(t)
		require.NoError(t, w.Add([]byte("b"), at(5, keys.KindSet), nil))
		require.ErrorIs(t, w.Add(second.key, second.t, second.value), sstable.ErrOrder, name)
		require.ErrorIs(t, w.Add([]byte("c"), at(1, keys.KindSet), nil), sstable.ErrOrder, "%s: it sticks", name)
		_, err := w.Finish()
		require.ErrorIs(t, err, sstable.ErrOrder, name)
	}
}

// refTo returns the value of an entry of a blob kind, in the given file of the table.
func refTo(kind keys.Kind, file int) []byte {
	ref := blob.Ref{File: file, Offset: 100, Stored: 70, Length: 200}
	return ref.Append(make([]byte, kind.MinValueLen()))
}

func TestWriterRefusesReferencesThatAreNone(t *testing.T) {
	for _, k := range []keys.Kind{keys.KindSetBlob, keys.KindSetWithExpiryBlob, keys.KindMergeBlob} {
		at := keys.MakeTrailer(1, k)
		whole := refTo(k, 0)
		for n := range whole {
			require.ErrorIs(t, newWriter(t).Add(nil, at, whole[:n]), sstable.ErrInvalidEntry, k)
		}
		require.ErrorIs(t, newWriter(t).Add(nil, at, append(bytes.Clone(whole), 0)), sstable.ErrInvalidEntry, k)
		require.ErrorIs(t, newWriter(t).Add(nil, at, refTo(k, 1)), sstable.ErrInvalidEntry, "files are counted as they come")
		w := newWriter(t)
		require.NoError(t, w.Add(nil, at, whole))
		_, err := w.Finish()
		require.ErrorIs(t, err, sstable.ErrInvalidEntry, "the file was not named")
	}
}

func TestWriterRefusesInvalidEntries(t *testing.T) {
	for kind := range 256 {
		k := keys.Kind(kind)
		ok := k.Valid() && k != keys.KindRangeDelete && k != keys.KindIngest
		value := make([]byte, 16)
		if k.IsBlob() {
			value = refTo(k, 0)
		}
		err := newWriter(t).Add(nil, keys.MakeTrailer(1, k), value)
		if ok {
			require.NoError(t, err, k)
		} else {
			require.ErrorIs(t, err, sstable.ErrInvalidEntry, k)
		}
	}
	require.ErrorIs(t, newWriter(t).Add(make([]byte, keys.MaxKeyLen+1), keys.MakeTrailer(1, keys.KindSet), nil), sstable.ErrInvalidEntry)
	for _, k := range []keys.Kind{keys.KindSetWithExpiry, keys.KindMerge, keys.KindExpiryMarker} {
		n := k.MinValueLen()
		require.ErrorIs(t, newWriter(t).Add(nil, keys.MakeTrailer(1, k), make([]byte, n-1)), sstable.ErrInvalidEntry, k)
		require.NoError(t, newWriter(t).Add(nil, keys.MakeTrailer(1, k), make([]byte, n)), k)
	}
	if strconv.IntSize == 64 { // a gibibyte of zeros that is never touched
		require.ErrorIs(t, newWriter(t).Add(nil, keys.MakeTrailer(1, keys.KindSet), make([]byte, keys.MaxValueLen+1)), sstable.ErrInvalidEntry)
	}
}

func TestWriterRefusesTombstonesThatAreNotFragments(t *testing.T) {
	add := func(w *sstable.Writer, lo, hi string, seq keys.SeqNum) error {
		return w.AddRangeTombstone([]byte(lo), []byte(hi), keys.MakeTrailer(seq, keys.KindRangeDelete))
	}
	for _, c := range []struct {
		lo, hi string
		seq    keys.SeqNum
	}{{"a", "b", 1}, {"c", "d", 1}, {"c", "e", 5}, {"c", "e", 6}, {"c", "d", 4}, {"d", "e", 1}, {"b", "z", 9}} {
		w := newWriter(t)
		require.NoError(t, add(w, "c", "e", 5))
		require.ErrorIs(t, add(w, c.lo, c.hi, c.seq), sstable.ErrOrder, c)
	}
	w := newWriter(t)
	require.NoError(t, add(w, "c", "e", 5))
	require.NoError(t, add(w, "c", "e", 4))
	require.NoError(t, add(w, "e", "f", 9))
	require.ErrorIs(t, add(newWriter(t), "a", "a", 1), sstable.ErrInvalidEntry)
	require.ErrorIs(t, add(newWriter(t), "b", "a", 1), sstable.ErrInvalidEntry)
	require.ErrorIs(t, newWriter(t).AddRangeTombstone(nil, []byte("a"), keys.MakeTrailer(1, keys.KindDelete)), sstable.ErrInvalidEntry)
}

func TestWriterEnds(t *testing.T) {
	_, err := newWriter(t).Finish()
	require.ErrorIs(t, err, sstable.ErrEmpty)
	w := newWriter(t)
	require.Nil(t, w.LastUserKey())
	require.NoError(t, w.Add([]byte("k"), keys.MakeTrailer(1, keys.KindSet), nil))
	require.Equal(t, "k", string(w.LastUserKey()))
	w.Abort()
	_, err = w.Finish()
	require.ErrorIs(t, err, sstable.ErrFinished)
	require.ErrorIs(t, w.Add([]byte("l"), keys.MakeTrailer(1, keys.KindSet), nil), sstable.ErrFinished)
	for _, o := range []sstable.WriterOptions{{BlockBytes: -1}, {BlockBytes: 1 << 30}, {FilterBitsPerKey: -1}, {FilterBitsPerKey: 1000}} {
		_, err := sstable.NewWriter(nil, o)
		require.Error(t, err)
	}
}

func TestEstimatedBytesIsNearTheFile(t *testing.T) {
	for _, codec := range []block.Codec{block.CodecNone, block.CodecS2} {
		rng := rand.New(rand.NewPCG(15, 15))
		f, err := vfs.NewMem().Create("t")
		require.NoError(t, err)
		o := options()
		o.Codec = codec
		w, err := sstable.NewWriter(f, o)
		require.NoError(t, err)
		for i := range 20_000 {
			v := binary.BigEndian.AppendUint64(make([]byte, 20), rng.Uint64())
			require.NoError(t, w.Add(fmt.Appendf(nil, "key%08d", i), keys.MakeTrailer(1, keys.KindSet), v))
		}
		estimate := w.EstimatedBytes()
		meta, err := w.Finish()
		require.NoError(t, err)
		require.InEpsilon(t, meta.Size, estimate, 0.1)
	}
}

// The bytes of whole files do not change unnoticed. The S2 encoder's output may differ
// between machines, so that only uncompressed tables are kept here.
func TestTableGolden(t *testing.T) {
	golden.Assert(t, "testdata/table.hex", []byte(hex.Dump(small(t, block.CodecNone).content(t))))
	again := small(t, block.CodecNone)
	require.Equal(t, small(t, block.CodecNone).meta, again.meta, "equal input, equal file")
}

// A block used to be ended by its size without the new key. A key that shares nothing
// with 6,000 keys of a long common prefix gives each of them its prefix back: blocks of
// a target of 4 KiB became 78 KB, 177 KB and 9 MB long, and no cache keeps such a block.
func TestBlocksEndBeforeTheirTarget(t *testing.T) {
	for _, c := range []struct {
		target, prefix int
		codec          block.Codec
	}{
		{4096, 40, block.CodecNone}, {4096, 200, block.CodecNone}, {4096, 1000, block.CodecNone}, {4096, 2000, block.CodecNone},
		{16 << 10, 200, block.CodecS2}, {16 << 10, 8000, block.CodecS2}, {64 << 10, 30_000, block.CodecNone}, {300, 8, block.CodecNone},
	} {
		var es []entry
		for _, p := range []string{"a", "p", "q"} {
			for i := range min(700, 2_000_000/c.prefix) {
				es = append(es, set(fmt.Sprintf("%s%06d", strings.Repeat(p, c.prefix), i), 1, ""))
			}
			es = append(es, set(p+"z", 1, "v")) // shares one byte
		}
		o := options()
		o.BlockBytes, o.Codec = c.target, c.codec
		tb := write(t, vfs.NewMem(), "t", o, es)
		r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
		raw := 0
		for _, b := range sstable.DataBlockPayloads(t, r) {
			view, err := block.Decode(b)
			require.NoError(t, err)
			require.LessOrEqual(t, len(b), c.target, "%+v", c)
			raw = 0
			for i := range view.Count() {
				raw += len(view.AppendKey(nil, i)) + len(view.Value(i))
			}
			require.LessOrEqual(t, raw, 64*c.target, "%+v", c)
		}
		require.NoError(t, r.Verify(context.Background()))
	}
	// An entry larger than the target has a block of its own.
	es := []entry{set("a", 1, "v"), set("b", 1, strings.Repeat("v", 5000)), set("c", 1, "v"), set("d", 1, "v")}
	tb := write(t, vfs.NewMem(), "t", options(), es)
	require.Equal(t, uint64(3), tb.meta.Props.Blocks)
}
