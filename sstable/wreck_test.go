package sstable_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
)

// wreckOf opens bytes as a damaged table.
func wreckOf(t testing.TB, content []byte, uid fileid.UID) (*sstable.Wreck, error) {
	t.Helper()
	return wreckWith(t, content, sstable.WreckOptions{UID: uid})
}

// wreckWith is wreckOf with options.
func wreckWith(t testing.TB, content []byte, o sstable.WreckOptions) (*sstable.Wreck, error) {
	t.Helper()
	fs := vfs.NewMem()
	writeFile(t, fs, "t", content)
	f, err := fs.Open("t", vfs.ReadOnly)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	o.Name = "t"
	return sstable.OpenWreck(context.Background(), f, o)
}

// rest reads all that a wreck shows.
func rest(t testing.TB, w *sstable.Wreck) []entry {
	t.Helper()
	var out []entry
	for w.Next() {
		out = append(out, entry{bytes.Clone(w.Key()), w.Trailer(), bytes.Clone(w.Value())})
	}
	require.NoError(t, w.Err())
	require.EqualValues(t, len(out), w.Entries())
	return out
}

func requireEntries(t testing.TB, want, got []entry, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		require.True(t, bytes.Equal(want[i].key, got[i].key) && want[i].t == got[i].t && bytes.Equal(want[i].value, got[i].value),
			"%s: entry %d", what, i)
	}
}

// wreckTable is a table with several blocks, a filter and range tombstones.
func wreckTable(t testing.TB, codec block.Codec, n int) *table {
	t.Helper()
	o := options()
	o.Codec = codec
	return wreckTableWith(t, o, n)
}

func wreckTableWith(t testing.TB, o sstable.WriterOptions, n int) *table {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, uint64(o.Codec)))
	var es []entry
	for i := range n {
		v := fmt.Sprintf("value %d of no great length, %d", i, rng.IntN(100))
		es = append(es, set(fmt.Sprintf("key/%05d", i), keys.SeqNum(10+i), v))
		if i%7 == 0 {
			es = append(es, entry{fmt.Appendf(nil, "key/%05d", i), keys.MakeTrailer(3, keys.KindDelete), nil})
		}
	}
	if o.Codec != block.CodecNone {
		o.BlockBytes = 900
	}
	return write(t, vfs.NewMem(), "t", o, sortEntries(es),
		sstable.Fragment{Lower: []byte("b"), Upper: []byte("c"), Trailer: keys.MakeTrailer(5, keys.KindRangeDelete)},
		sstable.Fragment{Lower: []byte("x"), Upper: []byte("y"), Trailer: keys.MakeTrailer(6, keys.KindRangeDelete)})
}

func TestAWreckThatIsNoneShowsEverything(t *testing.T) {
	for _, s := range shapes(rand.New(rand.NewPCG(1, 2))) {
		o := options()
		o.Codec, o.FilterBitsPerKey, o.BlockBytes = s.codec, s.bits, s.block
		tb := write(t, vfs.NewMem(), "t", o, s.entries)
		for _, uid := range []fileid.UID{sampleUID, {}} {
			w, err := wreckOf(t, tb.content(t), uid)
			require.NoError(t, err)
			requireEntries(t, s.entries, rest(t, w), s.name)
			require.Empty(t, w.Damage(), s.name)
		}
	}
}

// Whichever byte is changed, every entry of the blocks that it is not in comes back, nothing
// else does, and the damage is listed where it is.
func TestEveryChangedByteCostsItsBlockAtMost(t *testing.T) {
	step := 3
	if testing.Short() {
		step = 17
	}
	for _, codec := range codecs {
		tb := wreckTable(t, codec, 60)
		content := tb.content(t)
		r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
		blocks := starts(t, r)
		for off := 0; off < len(content); off += step {
			for _, uid := range []fileid.UID{sampleUID, {}} {
				what := fmt.Sprintf("%v, byte %d, uid known: %v", codec, off, uid == sampleUID)
				changed := bytes.Clone(content)
				changed[off] ^= 0xff
				w, err := wreckOf(t, changed, uid)
				require.NoError(t, err, what)
				got := rest(t, w)
				requireSubset(t, tb.entries, got, what)
				require.NotEmpty(t, w.Damage(), what)
				hit, any := false, false
				for _, d := range w.Damage() {
					require.Error(t, d.Err)
					hit = hit || d.Offset <= int64(off) && int64(off) < d.Offset+d.Len
					any = any || d.Entries
				}
				require.True(t, hit, "%s: %+v", what, w.Damage())
				in := blockAt(blocks, int64(off))
				if in < 0 {
					requireEntries(t, tb.entries, got, what)
				} else {
					require.True(t, any, what)
					requireLostWithin(t, tb.entries, got, w.Damage(), what)
				}
			}
		}
	}
}

// starts returns where data blocks begin, and where the last one ends.
func starts(t testing.TB, r *sstable.Reader) (out []int64) {
	t.Helper()
	all := sstable.DataBlocks(t, r)
	for _, at := range all {
		out = append(out, at[0])
	}
	return append(out, all[len(all)-1][1])
}

// blockAt returns the data block that holds the byte, -1 if none does.
func blockAt(blocks []int64, off int64) int {
	for i := range blocks[:len(blocks)-1] {
		if blocks[i] <= off && off < blocks[i+1] {
			return i
		}
	}
	return -1
}

// requireSubset: got are entries of want, in order.
func requireSubset(t testing.TB, want, got []entry, what string) {
	t.Helper()
	i := 0
	for _, g := range got {
		for i < len(want) && keys.Compare(want[i].key, want[i].t, g.key, g.t) < 0 {
			i++
		}
		require.Less(t, i, len(want), what)
		require.True(t, bytes.Equal(want[i].key, g.key) && want[i].t == g.t && bytes.Equal(want[i].value, g.value), what)
		i++
	}
}

// requireLostWithin: what is missing lies within the bounds of damage.
func requireLostWithin(t testing.TB, want, got []entry, damage []sstable.Damage, what string) {
	t.Helper()
	i := 0
	for _, e := range want {
		if i < len(got) && keys.Compare(got[i].key, got[i].t, e.key, e.t) == 0 {
			i++
			continue
		}
		within := false
		for _, d := range damage {
			within = within || d.Entries && (d.After == nil || bytes.Compare(d.After, e.key) <= 0) &&
				(d.Through == nil || bytes.Compare(e.key, d.Through) <= 0)
		}
		require.True(t, within, "%s: %s is missing and not listed", what, e.key)
	}
}

// A table cut anywhere shows every block that is whole.
func TestEveryCutLeavesTheBlocksBeforeIt(t *testing.T) {
	for _, codec := range codecs {
		tb := wreckTable(t, codec, 60)
		content := tb.content(t)
		blocks := starts(t, tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20))))
		last := -1
		for n := 0; n < len(content); n += 3 {
			what := fmt.Sprintf("%v, %d bytes", codec, n)
			w, err := wreckOf(t, content[:n], sampleUID)
			require.NoError(t, err, what)
			got := rest(t, w)
			requireEntries(t, tb.entries[:len(got)], got, what)
			require.NotEmpty(t, w.Damage(), what)
			if blockAt(blocks, int64(n)) != last && n > int(blocks[1]) {
				require.NotEmpty(t, got, what)
			}
			if n >= int(blocks[len(blocks)-1]) {
				requireEntries(t, tb.entries, got, what)
			}
		}
	}
}

// Index, top index, footer and header may all be gone: blocks are found all the same.
func TestBlocksAreFoundWithoutIndexAndFooter(t *testing.T) {
	for _, codec := range codecs {
		tb := wreckTable(t, codec, 3000)
		content := tb.content(t)
		r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
		blocks := starts(t, r)
		end := blocks[len(blocks)-1]
		for i := end; i < int64(len(content)); i++ {
			content[i] ^= byte(i)
		}
		clear(content[:8])
		hole := blocks[len(blocks)/2]
		content[hole+5] ^= 1
		w, err := wreckOf(t, content, fileid.UID{})
		require.NoError(t, err)
		got := rest(t, w)
		requireSubset(t, tb.entries, got, codec.String())
		requireLostWithin(t, tb.entries, got, w.Damage(), codec.String())
		require.Greater(t, len(got), len(tb.entries)*9/10)
		found := false
		for _, d := range w.Damage() {
			found = found || d.Offset == hole && d.Offset+d.Len == blocks[len(blocks)/2+1]
		}
		require.True(t, found, "%+v", w.Damage())
	}
}

// Range tombstones come back, also where the properties that count them do not.
func TestRangeTombstonesComeBack(t *testing.T) {
	tb := wreckTable(t, block.CodecNone, 60)
	want := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20))).RangeTombstones()
	require.Len(t, want, 2)
	content := tb.content(t)
	for _, cut := range []int{0, 128, 300} { // footer, and parts before it
		w, err := wreckOf(t, content[:len(content)-cut], sampleUID)
		require.NoError(t, err)
		requireEntries(t, tb.entries, rest(t, w), "entries")
		require.Equal(t, want, w.RangeTombstones())
	}
}

func TestWhatIsNoTableOrAnotherIsRefused(t *testing.T) {
	tb := wreckTable(t, block.CodecNone, 10)
	_, err := wreckOf(t, tb.content(t), fileid.UID{1})
	require.ErrorIs(t, err, sstable.ErrForeign)
	for _, n := range []int{0, 1, 79, 80, 300, 5000} {
		_, err := wreckOf(t, bytes.Repeat([]byte{7}, n), fileid.UID{})
		require.ErrorIs(t, err, sstable.ErrCorrupt, n)
	}
	content := tb.content(t)
	content[len(content)-16]++ // the version in the footer: its checksum does not fit
	w, err := wreckOf(t, content, sampleUID)
	require.NoError(t, err)
	requireEntries(t, tb.entries, rest(t, w), "entries")
}

// Bytes that somebody has sealed anew, with keys out of order, are shown in order or not at
// all.
func TestAWreckNeverShowsDisorder(t *testing.T) {
	tb := wreckTable(t, block.CodecNone, 60)
	blocks := sstable.DataBlocks(t, tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20))))
	require.Greater(t, len(blocks), 3)
	content := tb.content(t)
	sstable.TamperBlock(content, sampleUID, blocks[2], func(p []byte) {
		at := bytes.Index(p, []byte("key/0"))
		require.Positive(t, at)
		p[at] = 'a' // of the prefix that all keys of the block share
	})
	w, err := wreckOf(t, content, sampleUID)
	require.NoError(t, err)
	got := rest(t, w)
	requireSubset(t, tb.entries, got, "disorder")
	require.Less(t, len(got), len(tb.entries))
	require.Len(t, w.Damage(), 1)
	require.ErrorContains(t, w.Damage()[0].Err, "out of order")
}

func TestReadingAWreckEndsWithItsContext(t *testing.T) {
	tb := wreckTable(t, block.CodecNone, 1000)
	f, err := tb.fs.Open("t", vfs.ReadOnly)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	w, err := sstable.OpenWreck(ctx, f, sstable.WreckOptions{Name: "t"})
	require.NoError(t, err)
	require.True(t, w.Next())
	cancel()
	for w.Next() {
	}
	require.ErrorIs(t, w.Err(), context.Canceled)
	require.NoError(t, f.Close())
}

// One sector that cannot be read costs its block, not those beside it.
func TestABadSectorCostsOneBlock(t *testing.T) {
	tb := wreckTable(t, block.CodecNone, 500)
	blocks := starts(t, tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20))))
	bad := blocks[4] + 10
	fs := vfs.NewFaults(tb.fs, vfs.Rule{Kinds: vfs.OpRead, Forever: true, When: func(c vfs.Call) bool {
		return c.Off <= bad && bad < c.Off+int64(c.Len)
	}})
	f, err := fs.Open("t", vfs.ReadOnly)
	require.NoError(t, err)
	w, err := sstable.OpenWreck(context.Background(), f, sstable.WreckOptions{UID: sampleUID, Name: "t"})
	require.NoError(t, err)
	got := rest(t, w)
	require.Len(t, w.Damage(), 1)
	require.Equal(t, blocks[4], w.Damage()[0].Offset)
	requireLostWithin(t, tb.entries, got, w.Damage(), "bad sector")
	require.NoError(t, f.Close())
}

// FuzzWreck reads any bytes as a table. What comes back is in order, and the list of damage
// stays short.
func FuzzWreck(f *testing.F) {
	for _, codec := range codecs {
		tb := wreckTable(f, codec, 20)
		content := tb.content(f)
		f.Add(content, true)
		f.Add(content[:len(content)/2], false)
		f.Add(content[:len(content)-200], true)
		o := encrypted(options())
		o.Codec = codec
		content = wreckTableWith(f, o, 20).content(f)
		f.Add(content, true)
		f.Add(content[:len(content)-200], false)
	}
	f.Fuzz(func(t *testing.T, content []byte, known bool) {
		uid := fileid.UID{}
		if known {
			uid = sampleUID
		}
		w, err := wreckWith(t, content, sstable.WreckOptions{UID: uid, OpenCipher: ring.Open})
		if err != nil {
			return
		}
		var last entry
		for n := 0; w.Next(); n++ {
			require.True(t, n == 0 || keys.Compare(last.key, last.t, w.Key(), w.Trailer()) < 0)
			last = entry{bytes.Clone(w.Key()), w.Trailer(), nil}
		}
		require.NoError(t, w.Err())
		require.LessOrEqual(t, len(w.Damage()), 10_000)
	})
}

// A file that claims to hold more than it does is read without the memory for it.
func TestAWreckTakesMemoryForWhatIsThere(t *testing.T) {
	tb := wreckTable(t, block.CodecNone, 60)
	content := tb.content(t)
	claims := bytes.Clone(content[:80])
	for i := range 200 {
		// A wide block of a billion entries, a compressed one of a gibibyte, and rubbish.
		claims = append(claims, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x3f, byte(i), 0, 0, 0, 4, 0, 0, 0)
		claims = append(claims, 0, 0, 0, 0x40, 0x80, 0x80, 0x80, 0x80, 4, 1, 2, 3)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w, err := wreckOf(t, claims, sampleUID)
	require.NoError(t, err)
	require.Empty(t, rest(t, w))
	require.NotEmpty(t, w.Damage())
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
}
