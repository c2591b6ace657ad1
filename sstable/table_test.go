package sstable_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/blob"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// Every shape of table, codec, and way of reading answers as the model does.
func TestTablesAnswerAsTheModelDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	fs := vfs.NewMem()
	for i, s := range shapes(rng) {
		t.Run(s.name, func(t *testing.T) {
			o := options()
			o.Codec, o.FilterBitsPerKey, o.BlockBytes = s.codec, s.bits, s.block
			tb := write(t, fs, fmt.Sprint(s.name[:4], i), o, s.entries)
			ro := readerOptions(&tb.meta, newCache(t, 1<<20))
			ro.Mapped = i%2 == 0
			r := tb.open(t, ro)
			require.NoError(t, r.Verify(context.Background()))
			targets := near(s.entries, rng)
			for _, k := range targets {
				checkGet(t, r, s.entries, k, keys.SeqNum(rng.Uint64N(2100)))
				checkGet(t, r, s.entries, k, keys.MaxSeqNum)
			}
			for _, noFill := range []bool{false, true} {
				checkIterators(t, r, s.entries, targets, noFill, rng)
			}
		})
	}
}

func checkIterators(t *testing.T, r *sstable.Reader, es []entry, targets [][]byte, noFill bool, rng *rand.Rand) {
	t.Helper()
	var it sstable.Iter
	for round := range 12 {
		o := sstable.IterOptions{NoFill: noFill}
		if round > 2 && rng.IntN(3) > 0 {
			o.Lower = targets[rng.IntN(len(targets))]
		}
		if round > 2 && rng.IntN(3) > 0 {
			o.Upper = targets[rng.IntN(len(targets))]
		}
		if o.Lower != nil && o.Upper != nil && bytes.Compare(o.Lower, o.Upper) > 0 {
			o.Lower, o.Upper = o.Upper, o.Lower
		}
		part := within(es, o.Lower, o.Upper)
		it.Init(r, o)
		checkWalk(t, &it, part, targets, 150, rng)
		n := 0
		for ok := it.First(); ok; ok = it.Next() {
			checkAt(t, &it, part, n, "forward")
			n++
		}
		require.NoError(t, it.Err())
		require.Equal(t, len(part), n)
		for ok := it.Last(); ok; ok = it.Prev() {
			n--
			checkAt(t, &it, part, n, "back")
		}
		require.Zero(t, n)
		require.NoError(t, it.Close())
	}
}

func TestIteratorLeavesOutOnlyBlocksThatAreNotAbove(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	var es []entry
	for i := range 3000 {
		es = append(es, set(fmt.Sprintf("key%06d", i), keys.SeqNum(1+i/30), "some value"))
	}
	tb := write(t, vfs.NewMem(), "t", options(), es)
	r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
	for _, above := range []keys.SeqNum{1, 50, 99, 100, 101} {
		var it sstable.Iter
		it.Init(r, sstable.IterOptions{Above: above})
		want := es[search(es, fmt.Appendf(nil, "key%06d", 30*int(above)), seekAll):]
		shown := 0
		for ok := it.First(); ok; ok = it.Next() {
			if it.Trailer().SeqNum() > above {
				require.Equal(t, string(want[0].key), string(it.Key()))
				want = want[1:]
			}
			shown++
		}
		require.NoError(t, it.Err())
		require.Empty(t, want)
		require.Less(t, shown, len(es)-30*(int(above)-2), "blocks at or below are left out")
		back := 0
		for ok := it.Last(); ok; ok = it.Prev() {
			back++
		}
		require.Equal(t, shown, back)
		if shown > 0 {
			k := es[rng.IntN(len(es))].key
			require.Equal(t, bytes.Compare(k, es[len(es)-1].key) <= 0, it.SeekGE(k, seekAll))
		}
		require.NoError(t, it.Close())
	}
}

var seekAll = keys.SeekTrailer(keys.MaxSeqNum)

func TestLongKeysAndValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	long := func(n int, last byte) []byte {
		p := bytes.Repeat([]byte("k"), n)
		p[n-1] = last
		return p
	}
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	es := sortEntries([]entry{
		{[]byte{}, keys.MakeTrailer(7, keys.KindSet), []byte("the empty key")},
		{[]byte{}, keys.MakeTrailer(5, keys.KindSet), noise},
		{long(keys.MaxKeyLen, 'a'), keys.MakeTrailer(keys.MaxSeqNum-1, keys.KindSet), []byte("v")},
		{long(keys.MaxKeyLen, 'b'), keys.MakeTrailer(0, keys.KindSet), noise[:70_000]},
		{long(keys.MaxKeyLen-1, 'z'), keys.MakeTrailer(9, keys.KindDelete), nil},
		{[]byte("x"), keys.MakeTrailer(3, keys.KindSet), bytes.Repeat([]byte("z"), 1<<20)},
	})
	for i, codec := range codecs {
		o := options()
		o.Codec = codec
		tb := write(t, vfs.NewMem(), "t", o, es)
		ro := readerOptions(&tb.meta, newCache(t, 1<<20))
		ro.Mapped = i == 1
		r := tb.open(t, ro)
		require.NoError(t, r.Verify(context.Background()))
		targets := [][]byte{{}, es[2].key, es[3].key, es[4].key, []byte("x"), []byte("k"), []byte("zz")}
		for _, k := range targets {
			for _, seq := range []keys.SeqNum{0, 4, 5, 6, 7, keys.MaxSeqNum} {
				checkGet(t, r, es, k, seq)
			}
		}
		for _, noFill := range []bool{false, true} {
			var it sstable.Iter
			it.Init(r, sstable.IterOptions{NoFill: noFill})
			checkWalk(t, &it, es, targets, 200, rng)
			require.NoError(t, it.Close())
		}
	}
}

// A key with versions in thousands of blocks, over several partitions, is found at
// every sequence number, and iterators walk through it. The test said so before, too,
// but its table had one partition, and passed when Get never went on to the next.
func TestVersionsOfOneKeySpanBlocksAndPartitions(t *testing.T) {
	tb, es := hotTable(t)
	c := newCache(t, 4<<20)
	r := tb.open(t, readerOptions(&tb.meta, c))
	require.Greater(t, tb.meta.Props.Blocks, uint64(4000))
	require.GreaterOrEqual(t, sstable.Partitions(r), 3)
	newest := es[1].t.SeqNum()
	for seq := keys.SeqNum(0); seq < newest+3; seq += 13 {
		checkGet(t, r, es, []byte("hot"), seq)
	}
	for _, k := range []string{"a", "b", "hos", "hot\x00", "i", "j"} {
		checkGet(t, r, es, []byte(k), keys.MaxSeqNum)
	}
	require.NoError(t, r.Verify(context.Background()))
	for _, noFill := range []bool{false, true} {
		var it sstable.Iter
		it.Init(r, sstable.IterOptions{NoFill: noFill})
		for seq := keys.SeqNum(0); seq < newest+900; seq += 899 {
			it.SeekGE([]byte("hot"), keys.SeekTrailer(seq))
			at := search(es, []byte("hot"), keys.SeekTrailer(seq))
			checkAt(t, &it, es, at, "SeekGE")
			it.Prev()
			checkAt(t, &it, es, at-1, "SeekGE, Prev")
		}
		it.SeekLT([]byte("hot"))
		checkAt(t, &it, es, 0, "SeekLT hot")
		it.SeekLT([]byte("i"))
		checkAt(t, &it, es, len(es)-2, "SeekLT i")
		n := 0
		for ok := it.First(); ok; ok = it.Next() {
			checkAt(t, &it, es, n, "forward")
			n++
		}
		require.Equal(t, len(es), n)
		for ok := it.Last(); ok; ok = it.Prev() {
			n--
			checkAt(t, &it, es, n, "back")
		}
		require.Zero(t, n)
		require.NoError(t, it.Close())
	}
}

// Seeking an old version of a key read every block of newer ones: 3,000 blocks for
// 100,000 versions, where Get read two. The index says which blocks are too new.
func TestSeekingAnOldVersionPassesBlocksOfNewerOnes(t *testing.T) {
	tb, es := hotTable(t)
	for _, seq := range []keys.SeqNum{0, 1, 2, 10, 9_999, 23_000} {
		for _, from := range []string{"hot", "b"} { // by the index, and from the block at hand
			c := newCache(t, 16<<20)
			var it sstable.Iter
			it.Init(tb.open(t, readerOptions(&tb.meta, c)), sstable.IterOptions{})
			if from == "b" {
				require.True(t, it.SeekGE([]byte("b"), seekAll))
			}
			it.SeekGE([]byte("hot"), keys.SeekTrailer(seq))
			checkAt(t, &it, es, search(es, []byte("hot"), keys.SeekTrailer(seq)), from)
			require.NoError(t, it.Close())
			m := c.Metrics()
			require.LessOrEqual(t, m.TotalFrames-m.FreeFrames, int64(12), "blocks read for %s at %d", from, seq)
		}
	}
}

// hotTable returns a table of a key with so many versions that its index has several
// partitions, and what it must hold. Versions have even numbers.
func hotTable(t testing.TB) (*table, []entry) {
	es := []entry{set("a", 1, "first")}
	for seq := 12_000; seq > 0; seq-- {
		es = append(es, set("hot", keys.SeqNum(2*seq), fmt.Sprintf("%0100d", seq)))
	}
	es = append(es, set("i", 1, "last"))
	o := options()
	o.BlockBytes = 300
	return write(t, vfs.NewMem(), "t", o, es), es
}

func TestRangeTombstonesAreKeptApart(t *testing.T) {
	frag := func(lo, hi string, seq keys.SeqNum) sstable.Fragment {
		return sstable.Fragment{Lower: []byte(lo), Upper: []byte(hi), Trailer: keys.MakeTrailer(seq, keys.KindRangeDelete)}
	}
	ranges := []sstable.Fragment{frag("", "b", 9), frag("b", "d", 20), frag("b", "d", 3), frag("x", "zz", 5)}
	for _, codec := range codecs {
		o := options()
		o.Codec = codec
		tb := write(t, vfs.NewMem(), "t", o, []entry{set("c", 7, "v"), set("y", 8, "w")}, ranges...)
		m := &tb.meta
		require.Equal(t, []any{"", "zz", true}, []any{string(m.Smallest), string(m.Largest), m.LargestExclusive})
		require.Equal(t, [2]keys.SeqNum{3, 20}, [2]keys.SeqNum{m.MinSeqNum, m.MaxSeqNum})
		require.Equal(t, [3]uint64{2, 0, 4}, [3]uint64{m.Entries, m.Deletes, m.RangeDeletes})
		r := tb.open(t, readerOptions(m, newCache(t, 1<<20)))
		require.Equal(t, ranges, r.RangeTombstones())
		require.Equal(t, sstable.SeqRange{Min: 3, Max: 20}, r.Properties().Ranges)
		require.Equal(t, sstable.SeqRange{Min: 7, Max: 8}, r.Properties().Points)
		checkGet(t, r, tb.entries, []byte("c"), keys.MaxSeqNum)
		require.NoError(t, r.Verify(context.Background()))
	}
	// Alone in a table, and with a point at their exclusive end.
	tb := write(t, vfs.NewMem(), "t", options(), nil, ranges...)
	r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
	require.Equal(t, ranges, r.RangeTombstones())
	checkGet(t, r, nil, []byte("c"), keys.MaxSeqNum)
	may, err := r.MayContain(filter.Hash([]byte("c")))
	require.NoError(t, err)
	require.False(t, may)
	var it sstable.Iter
	it.Init(r, sstable.IterOptions{})
	require.False(t, it.First() || it.Last() || it.SeekGE([]byte("c"), seekAll) || it.SeekLT([]byte("c")))
	require.NoError(t, it.Close())
	require.NoError(t, r.Verify(context.Background()))

	tb = write(t, vfs.NewMem(), "t", options(), []entry{set("zz", 1, "")}, ranges...)
	require.False(t, tb.meta.LargestExclusive)
}

func TestMetaAndPropertiesDescribeTheTable(t *testing.T) {
	var es []entry
	for s := range 3 {
		for i := range []int{200, 3, 100}[s] {
			es = append(es, set(fmt.Sprintf("%d/%05d", s, i), keys.SeqNum(10+i), "value value value"))
		}
	}
	es = append(es, entry{[]byte("3/x"), keys.MakeTrailer(4, keys.KindMerge), []byte("\x09\x00\x00\x00\x00\x00\x00\x00op__stmp")},
		entry{[]byte("3/y"), keys.MakeTrailer(5, keys.KindSetWithExpiry), []byte("\x05\x00\x00\x00\x00\x00\x00\x00v")},
		entry{[]byte("3/z"), keys.MakeTrailer(6, keys.KindExpiryMarker), []byte("\x03\x00\x00\x00\x00\x00\x00\x00")},
		entry{[]byte("4"), keys.MakeTrailer(6, keys.KindDelete), nil})
	o := options()
	o.Scope = func(key []byte) int { return 1 }
	o.Codec = block.CodecS2
	fs := vfs.NewMem()
	tb := write(t, fs, "t", o, es)
	p := tb.meta.Props
	require.Equal(t, uint64(307), p.Entries)
	require.Equal(t, []sstable.ScopeUsage{{Prefix: []byte("0"), Entries: 200, Bytes: 200 * 24}, {Prefix: []byte("2"), Entries: 100, Bytes: 100 * 24}}, p.Scopes)
	require.False(t, p.ScopesExact)
	require.Equal(t, int64(9), p.OldestMerge)
	require.Equal(t, sstable.TimeRange{Min: 3, Max: 5, Set: true}, p.Expiry)
	require.Equal(t, sstable.KindCount{Entries: 303, Bytes: 303 * 24}, p.Kinds[keys.KindSet])
	require.Equal(t, sstable.KindCount{Entries: 1, Bytes: 1}, p.Kinds[keys.KindDelete])
	require.Equal(t, [2]string{"0/00000", "4"}, [2]string{string(tb.meta.Smallest), string(tb.meta.Largest)})
	require.Equal(t, uint64(2), tb.meta.Deletes, "markers of expired entries are tombstones too")
	require.Less(t, p.StoredBytes, p.RawBytes)
	size, err := fs.Size("t")
	require.NoError(t, err)
	require.Equal(t, size, tb.meta.Size)
	r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
	require.Equal(t, &p, r.Properties(), "what Finish returns is what the file holds")
}

func TestAnnotationsAreStored(t *testing.T) {
	fs := vfs.NewMem()
	f, err := fs.Create("t")
	require.NoError(t, err)
	w, err := sstable.NewWriter(f, options())
	require.NoError(t, err)
	want := fullProperties().Annotations
	want.Dictionaries = nil // a table that needs some is refused
	w.Annotate(want)
	ref := blob.Ref{Offset: 100, Stored: 70, Length: 200}
	require.NoError(t, w.Add([]byte("k"), keys.MakeTrailer(1, keys.KindSetBlob), ref.Append(nil)))
	want.Blobs[0].Bytes = 70
	meta, err := w.Finish()
	require.NoError(t, err)
	tb := &table{fs: fs, name: "t", meta: meta}
	require.Equal(t, want, tb.open(t, readerOptions(&meta, newCache(t, 1<<20))).Properties().Annotations)
}

func TestFilterDeniesMostAbsentKeys(t *testing.T) {
	var es []entry
	for i := range 20_000 {
		es = append(es, set(fmt.Sprintf("%08d", 2*i), 1, "v"))
	}
	tb := write(t, vfs.NewMem(), "t", options(), es)
	r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
	passed := 0
	for i := range 20_000 {
		may, err := r.MayContain(filter.Hash(fmt.Appendf(nil, "%08d", 2*i)))
		require.NoError(t, err)
		require.True(t, may)
		may, err = r.MayContain(filter.Hash(fmt.Appendf(nil, "%08d", 2*i+1)))
		require.NoError(t, err)
		if may {
			passed++
		}
	}
	require.Less(t, passed, 20_000*3/100)
}

func TestTablesOfManyPartitionsAndChunks(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	var es []entry
	for i := range 30_000 {
		es = append(es, set(fmt.Sprintf("%s/%08d", "a/long/prefix/of/the/scope", 3*i), keys.SeqNum(1+rng.Uint64N(1<<30)), "v"))
	}
	o := options()
	o.BlockBytes = 200
	tb := write(t, vfs.NewMem(), "t", o, es)
	r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
	for i := 0; i < len(es); i += 7 {
		checkGet(t, r, es, es[i].key, keys.MaxSeqNum)
		checkGet(t, r, es, append(bytes.Clone(es[i].key), 'x'), keys.MaxSeqNum)
	}
	require.NoError(t, r.Verify(context.Background()))
	var it sstable.Iter
	it.Init(r, sstable.IterOptions{})
	checkWalk(t, &it, es, [][]byte{es[0].key, es[20_000].key, es[29_999].key, []byte("b"), nil}, 2000, rng)
	require.NoError(t, it.Close())
}

// Buffers grew to the largest block ever read, and stayed: in the pool for compressed
// blocks, and in every iterator past the cache.
func TestBuffersOfHugeBlocksAreNotKept(t *testing.T) {
	noise := make([]byte, 9<<20) // a third of it compresses
	for i := range noise {
		if i < 6<<20 {
			noise[i] = byte(uint64(i) * 0x9E3779B97F4A7C15 >> 40)
		}
	}
	es := []entry{set("a", 1, "small"), set("huge", 1, string(noise)), set("z", 1, "small")}
	for _, codec := range codecs {
		o := options()
		o.Codec = codec
		tb := write(t, vfs.NewMem(), "t", o, es)
		r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
		checkGet(t, r, es, []byte("huge"), 7)
		require.LessOrEqual(t, sstable.PooledBytes(), 4<<20, codec)
		var it sstable.Iter
		for range 2 {
			it.Init(r, sstable.IterOptions{NoFill: true})
			require.LessOrEqual(t, sstable.KeptBytes(&it), 8<<20, codec)
			n := 0
			for ok := it.First(); ok; ok = it.Next() {
				n++
			}
			require.Equal(t, 3, n)
		}
		require.NoError(t, it.Close())
		require.LessOrEqual(t, sstable.KeptBytes(&it), 8<<20, codec)
	}
}
