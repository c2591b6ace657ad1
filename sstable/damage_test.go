package sstable_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// small returns a table of a few blocks with every part that a table can have.
func small(t testing.TB, codec block.Codec) *table {
	o := options()
	o.Codec = codec
	return smallWith(t, o)
}

func smallWith(t testing.TB, o sstable.WriterOptions) *table {
	var es []entry
	for i := range 60 {
		es = append(es, set(fmt.Sprintf("key/%03d", i), keys.SeqNum(100+i), fmt.Sprintf("%030d", i)))
		if i == 30 {
			for seq := range keys.SeqNum(20) {
				es = append(es, set("key/030", 129-seq, "an older value of the same key"))
			}
		}
	}
	r := sstable.Fragment{Lower: []byte("key/100"), Upper: []byte("key/200"), Trailer: keys.MakeTrailer(300, keys.KindRangeDelete)}
	return write(t, vfs.NewMem(), "t", o, es, r)
}

// identical reads everything from the bytes of a file in place of tb's, and fails
// the test if an answer differs. It returns the error met, which must be typed.
func identical(t testing.TB, tb *table, content []byte, c *cache.Cache) error {
	t.Helper()
	r, err := openContent(t, tb, content, c)
	if err != nil {
		return err
	}
	defer func() { require.NoError(t, r.Close()) }()
	var errs []error
	for i := 0; i < len(tb.entries); i += 5 {
		e := &tb.entries[i]
		out, trailer, found, err := r.Get(nil, e.key, filter.Hash(e.key), e.t.SeqNum())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		require.True(t, found && trailer == e.t && string(out) == string(e.value), "wrong answer for %s", e.key)
	}
	for _, o := range []sstable.IterOptions{{}, {NoFill: true}} {
		var it sstable.Iter
		it.Init(r, o)
		n := 0
		for ok := it.First(); ok; ok = it.Next() {
			checkAt(t, &it, tb.entries, n, "scan")
			n++
		}
		if it.Err() == nil {
			require.Equal(t, len(tb.entries), n, "entries missing without an error")
		}
		errs = append(errs, it.Close())
	}
	errs = append(errs, r.Verify(context.Background()))
	return errors.Join(errs...)
}

func requireDamage(t testing.TB, err error, what string, args ...any) {
	t.Helper()
	what = fmt.Sprintf(what, args...)
	require.Error(t, err, what)
	require.True(t, errors.Is(err, sstable.ErrCorrupt) || errors.Is(err, sstable.ErrTooNew), "%s: %v", what, err)
}

// Every byte of a file matters: any change of it is an error, and until the error
// shows, answers are right.
func TestEveryDamagedByteIsFound(t *testing.T) {
	masks, step := []byte{0xff, 0x01}, 3 // a third of the bytes, another third for each codec
	switch {
	case os.Getenv("LOAM_LONG") != "":
		masks, step = []byte{0xff, 1, 2, 4, 8, 16, 32, 64, 128}, 1
	case invariants.Enabled: // ten times slower, and not what this test is about
		masks, step = masks[:1], 31
	}
	for _, codec := range codecs {
		tb := small(t, codec)
		content := tb.content(t)
		c := newCache(t, 256<<10)
		require.NoError(t, identical(t, tb, content, c))
		for i := int(codec) % step; i < len(content); i += step {
			for _, mask := range masks {
				content[i] ^= mask
				requireDamage(t, identical(t, tb, content, c), "byte %d ^ %#x", i, mask)
				content[i] ^= mask
			}
		}
	}
}

func TestRandomDamageIsFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 14))
	tb := small(t, block.CodecS2)
	c := newCache(t, 256<<10)
	for range 500 {
		content := tb.content(t)
		from := rng.IntN(len(content))
		to := min(len(content), from+1+rng.IntN(200))
		changed := false
		for i := from; i < to; i++ {
			old := content[i]
			content[i] = byte(rng.Uint32() & uint32([]byte{0, 0xff}[rng.IntN(2)]))
			changed = changed || old != content[i]
		}
		if changed {
			requireDamage(t, identical(t, tb, content, c), "bytes %d to %d", from, to)
		}
	}
}

func TestTruncationAtEveryLengthIsFound(t *testing.T) {
	tb := small(t, block.CodecNone)
	content := tb.content(t)
	c := newCache(t, 256<<10)
	step := 1
	if invariants.Enabled {
		step = 7
	}
	for n := 0; n < len(content); n += step {
		err := identical(t, tb, content[:n], c)
		require.ErrorIs(t, err, sstable.ErrCorrupt, "length %d", n)
		// Also when the length that is expected agrees.
		cut := *tb
		cut.meta.Size = int64(n)
		require.ErrorIs(t, identical(t, &cut, content[:n], c), sstable.ErrCorrupt, "length %d", n)
	}
	for _, tail := range [][]byte{{0}, make([]byte, 4096), content} {
		longer := append(tb.content(t), tail...)
		require.ErrorIs(t, identical(t, tb, longer, c), sstable.ErrCorrupt)
		grown := *tb
		grown.meta.Size = int64(len(longer))
		require.ErrorIs(t, identical(t, &grown, longer, c), sstable.ErrCorrupt)
	}
}

// Blocks of one length exchanged within a file, or with another file of the same
// content, do not pass.
func TestExchangedBlocksAreFound(t *testing.T) {
	var es []entry
	for i := range 100 {
		es = append(es, set(fmt.Sprintf("key/%03d", i), 7, "twenty bytes of text"))
	}
	o := options()
	tb := write(t, vfs.NewMem(), "t", o, es)
	o.UID = fileid.UID{42}
	other := write(t, vfs.NewMem(), "t", o, es)
	content, foreign := tb.content(t), other.content(t)
	require.Len(t, foreign, len(content))
	r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
	spans := sstable.DataBlocks(t, r)
	require.Greater(t, len(spans), 4)
	c := newCache(t, 256<<10)
	pairs := 0
	for i, a := range spans {
		for j, b := range spans {
			changed := append([]byte{}, content...)
			switch {
			case a[1]-a[0] != b[1]-b[0]:
				continue
			case i == j:
				copy(changed[a[0]:a[1]], foreign[a[0]:a[1]])
			default:
				copy(changed[a[0]:a[1]], content[b[0]:b[1]])
			}
			pairs++
			requireDamage(t, identical(t, tb, changed, c), "blocks %d and %d", i, j)
		}
	}
	require.Greater(t, pairs, 8)
	err := identical(t, tb, foreign, c)
	require.ErrorIs(t, err, sstable.ErrForeign)
	require.ErrorIs(t, err, sstable.ErrCorrupt)
}

func TestVerifyComparesTheDigest(t *testing.T) {
	tb := small(t, block.CodecNone)
	o := readerOptions(&tb.meta, newCache(t, 1<<20))
	require.NoError(t, tb.open(t, o).Verify(context.Background()))
	o.Digest++
	require.ErrorIs(t, tb.open(t, o).Verify(context.Background()), sstable.ErrCorrupt)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, tb.open(t, o).Verify(ctx), context.Canceled)
}

func TestCorruptionSaysWhere(t *testing.T) {
	tb := small(t, block.CodecNone)
	content := tb.content(t)
	content[100] ^= 1 // in the first data block, which begins behind the header
	err := identical(t, tb, content, newCache(t, 256<<10))
	var c *sstable.CorruptionError
	require.ErrorAs(t, err, &c)
	require.Equal(t, "t", c.File)
	require.Equal(t, int64(80), c.Offset)
	require.ErrorIs(t, err, block.ErrChecksum)
}

// claimCompressed makes the sealed block at a place say that it is compressed and has a
// payload of no bytes, with a checksum that passes.
func claimCompressed(content []byte, at [2]int64, c block.Codec) {
	b := content[at[0]:at[1]]
	binary.LittleEndian.PutUint32(b, 0)
	b[len(b)-block.TrailerLen] = byte(c)
	seed := fileid.NewSeed(fileid.KindTable, sampleUID)
	binary.LittleEndian.PutUint32(b[len(b)-4:], seed.Checksum(at[0], b[:len(b)-4]))
}

// A block of an uncompressed table that said it was compressed, to no bytes, made the
// reader look into a buffer that it had not got: the process died of a nil pointer.
func TestCompressedBlockOfAnUncompressedTableIsRefused(t *testing.T) {
	tb := small(t, block.CodecNone)
	c := newCache(t, 256<<10)
	r := tb.open(t, readerOptions(&tb.meta, c))
	for _, codec := range codecs[1:] {
		for _, at := range append(sstable.DataBlocks(t, r), sstable.MetaBlocks(r)...) {
			content := tb.content(t)
			claimCompressed(content, at, codec)
			requireDamage(t, identical(t, tb, content, c), "%v at %d", codec, at[0])
		}
	}
}

// A block of range tombstones stores the bytes that its lower bounds share once. The
// reader copied them for each: a file of 148 KB took 262 MB of heap, and nothing that
// the properties said was asked.
func TestRangeTombstonesTakeWhatTheirPropertiesSay(t *testing.T) {
	frag := func(lower, upper []byte, seq int) sstable.Fragment {
		return sstable.Fragment{Lower: lower, Upper: upper, Trailer: keys.MakeTrailer(keys.SeqNum(seq), keys.KindRangeDelete)}
	}
	long := bytes.Repeat([]byte{1}, 60_000)
	var ranges []sstable.Fragment
	for seq := 1000; seq > 0; seq-- {
		ranges = append(ranges, frag(long, []byte{2}, seq))
	}
	tb := write(t, vfs.NewMem(), "t", options(), nil, ranges...)
	require.Less(t, tb.meta.Size, int64(200_000))
	c := newCache(t, 256<<10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := tb.open(t, readerOptions(&tb.meta, c))
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
	require.Equal(t, ranges, r.RangeTombstones())

	// Different bounds cannot be shared; properties that say too little, or too much, end it.
	ranges = nil
	for i := range 200 {
		lower := binary.BigEndian.AppendUint32(bytes.Clone(long), uint32(i))
		ranges = append(ranges, frag(lower, append(bytes.Clone(lower), 0), 7))
	}
	tb = write(t, vfs.NewMem(), "t", options(), nil, ranges...)
	require.Equal(t, ranges, tb.open(t, readerOptions(&tb.meta, c)).RangeTombstones())
	for name, change := range map[string]func(*sstable.KindCount){
		"one byte less":   func(k *sstable.KindCount) { k.Bytes-- },
		"one byte more":   func(k *sstable.KindCount) { k.Bytes++ },
		"one fewer":       func(k *sstable.KindCount) { k.Entries-- },
		"one more":        func(k *sstable.KindCount) { k.Entries++ },
		"more than bytes": func(k *sstable.KindCount) { k.Bytes, k.Entries = k.Entries, k.Bytes },
	} {
		content := tb.content(t)
		require.True(t, sstable.Tamper(content, sampleUID, func(p *sstable.Properties) { change(&p.Kinds[keys.KindRangeDelete]) }), name)
		_, err := openContent(t, tb, content, c)
		require.ErrorIs(t, err, sstable.ErrCorrupt, name)
	}
}

// Verify recomputes what the properties and the index say, and believes no checksum
// alone: a bug of a writer is damage too.
func TestVerifyFindsPropertiesThatLie(t *testing.T) {
	tb := small(t, block.CodecNone)
	c := newCache(t, 256<<10)
	for name, change := range map[string]func(*sstable.Properties){
		"entries":        func(p *sstable.Properties) { p.Entries++ },
		"key bytes":      func(p *sstable.Properties) { p.KeyBytes++ },
		"value bytes":    func(p *sstable.Properties) { p.ValueBytes-- },
		"kind":           func(p *sstable.Properties) { p.Kinds[keys.KindSet].Entries-- },
		"tombstones":     func(p *sstable.Properties) { p.Kinds[keys.KindRangeDelete].Entries++ },
		"blocks":         func(p *sstable.Properties) { p.Blocks++ },
		"stored bytes":   func(p *sstable.Properties) { p.StoredBytes++ },
		"smallest":       func(p *sstable.Properties) { p.Smallest[0]-- },
		"largest":        func(p *sstable.Properties) { p.Largest[0]++ },
		"exclusive":      func(p *sstable.Properties) { p.LargestExclusive = false },
		"points":         func(p *sstable.Properties) { p.Points.Max++ },
		"ranges":         func(p *sstable.Properties) { p.Ranges.Max++ },
		"lines":          func(p *sstable.Properties) { p.Filter.Lines-- },
		"filter's lines": func(p *sstable.Properties) { p.Filter.Lines = 0 },
	} {
		content := tb.content(t)
		require.True(t, sstable.Tamper(content, sampleUID, change), name)
		requireDamage(t, identical(t, tb, content, c), name)
	}
}

func TestVerifyComparesTheIndexWithTheBlocks(t *testing.T) {
	tb := small(t, block.CodecNone)
	c := newCache(t, 256<<10)
	payload := 0
	require.True(t, sstable.TamperPartition(tb.content(t), sampleUID, func(p []byte) { payload = len(p) }))
	for i := range payload {
		content := tb.content(t)
		require.True(t, sstable.TamperPartition(content, sampleUID, func(p []byte) { p[i] ^= 1 }))
		r, err := openContent(t, tb, content, c)
		require.NoError(t, err)
		requireDamage(t, r.Verify(context.Background()), "byte %d of the partition", i)
		require.NoError(t, r.Close())
	}
}

// openContent opens the bytes of a file in place of tb's.
func openContent(t testing.TB, tb *table, content []byte, c *cache.Cache) (*sstable.Reader, error) {
	t.Helper()
	fs := vfs.NewMem()
	writeFile(t, fs, "t", content)
	f, err := fs.Open("t", vfs.ReadOnly)
	require.NoError(t, err)
	o := readerOptions(&tb.meta, c)
	o.Digest = 0 // Verify must find it by itself
	r, err := sstable.Open(f, o)
	if err != nil {
		require.NoError(t, f.Close())
	}
	return r, err
}
