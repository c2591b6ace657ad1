package sstable_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable"
)

// indexShapes are sets of separators: random, with a long shared prefix, grouped under
// many prefixes, of one repeated key, and short ones that are prefixes of each other.
func indexShapes(rng *rand.Rand) map[string][][]byte {
	shapes := map[string][][]byte{"one": {[]byte("only")}, "empty": {{}}}
	for range 500 {
		k := fmt.Appendf(nil, "%016x", rng.Uint64())
		shapes["random"] = append(shapes["random"], k)
		shapes["prefix"] = append(shapes["prefix"], append(bytes.Repeat([]byte("p"), 40), k...))
		shapes["scopes"] = append(shapes["scopes"], fmt.Appendf(nil, "%c%s%s", byte(rng.IntN(20)), "agents/sessions/memory", k))
		shapes["short"] = append(shapes["short"], bytes.Repeat([]byte{0}, rng.IntN(12)))
		shapes["same"] = append(shapes["same"], []byte("always the same key"))
	}
	for _, s := range shapes {
		slices.SortFunc(s, bytes.Compare)
	}
	return shapes
}

func indexEntries(seps [][]byte, rng *rand.Rand) []sstable.IndexEntry {
	entries := make([]sstable.IndexEntry, len(seps))
	off := int64(80)
	for i, s := range seps {
		entries[i] = sstable.IndexEntry{Separator: s, Off: off, Len: 8 + rng.Int64N(5000), MaxSeq: keys.SeqNum(rng.Uint64N(1 << 40))}
		off += entries[i].Len
	}
	return entries
}

func TestPartitionsFindTheFirstSeparatorNotBelowAKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for name, seps := range indexShapes(rng) {
		for _, limit := range []int{1, 500, 5000, 64 << 10} {
			entries := indexEntries(seps, rng)
			at := 0
			for _, payload := range sstable.BuildPartitions(entries, limit) {
				p, err := sstable.DecodePartition(payload)
				require.NoError(t, err, name)
				part := entries[at : at+p.Len()]
				at += p.Len()
				checkPartition(t, &p, part, rng)
			}
			require.Equal(t, len(entries), at, name)
		}
	}
}

func checkPartition(t *testing.T, p *sstable.Partition, part []sstable.IndexEntry, rng *rand.Rand) {
	t.Helper()
	for i, e := range part {
		sep, err := p.Separator(i)
		require.NoError(t, err)
		require.True(t, bytes.Equal(e.Separator, sep))
		off, n, err := p.Block(i, 1<<40)
		require.NoError(t, err)
		require.Equal(t, [2]int64{e.Off, e.Len}, [2]int64{off, n})
		require.Equal(t, e.MaxSeq, p.MaxSeq(i))
		_, _, err = p.Block(i, off+n-1)
		require.Error(t, err, "a block beyond the end of the data")
	}
	for range 20 + 2*len(part) {
		key := bytes.Clone(part[rng.IntN(len(part))].Separator)
		switch rng.IntN(4) {
		case 0:
			key = append(key, byte(rng.IntN(2)))
		case 1:
			key = key[:rng.IntN(len(key)+1)]
		case 2:
			if len(key) > 0 {
				key[rng.IntN(len(key))] += byte(rng.IntN(3)) - 1
			}
		}
		want := sort.Search(len(part), func(i int) bool { return bytes.Compare(part[i].Separator, key) >= 0 })
		got, equal, err := p.Search(key)
		require.NoError(t, err)
		require.Equal(t, want, got, "%q", key)
		require.Equal(t, want < len(part) && bytes.Equal(part[want].Separator, key), equal, "%q", key)
	}
}

// partitionOfHeads returns a partition whose separators are these heads, ascending.
func partitionOfHeads(t testing.TB, heads []uint64) sstable.Partition {
	entries := make([]sstable.IndexEntry, len(heads))
	for i, h := range heads {
		entries[i] = sstable.IndexEntry{Separator: binary.BigEndian.AppendUint64(nil, h), Off: 80 + 100*int64(i), Len: 100}
	}
	p, err := sstable.DecodePartition(sstable.BuildPartitions(entries, 1<<30)[0])
	require.NoError(t, err)
	require.Equal(t, len(heads), p.Len())
	return p
}

func TestSearchWithoutConditionsFindsWhatOneWithThemDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for n := 1; n < 300; n += 1 + n/20 {
		heads := []uint64{0, math.MaxUint64, 1 << 63, 1<<63 - 1}[:min(n, 4)]
		for len(heads) < n {
			heads = append(heads, rng.Uint64()>>(rng.Uint64N(8)*8))
		}
		slices.Sort(heads)
		p := partitionOfHeads(t, heads)
		for _, h := range append(heads, rng.Uint64(), rng.Uint64()>>32, 0, math.MaxUint64) {
			for _, h := range []uint64{h - 1, h, h + 1} {
				require.Equal(t, p.PlainLowerBound(h), p.LowerBound(h), "%x of %d", h, n)
			}
		}
	}
}

func BenchmarkIndexSearch(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 7))
	heads := make([]uint64, 2048)
	for i := range heads {
		heads[i] = rng.Uint64()
	}
	slices.Sort(heads)
	p := partitionOfHeads(b, heads)
	for name, search := range map[string]func(uint64) int{"mask": p.LowerBound, "plain": p.PlainLowerBound} {
		b.Run(name, func(b *testing.B) {
			x, sum := uint64(1), 0
			for b.Loop() {
				x = x*6364136223846793005 + 1442695040888963407
				sum += search(x)
			}
			require.NotZero(b, sum)
		})
	}
}

func TestPartitionOfBlocksFarApart(t *testing.T) {
	entries := []sstable.IndexEntry{
		{Separator: []byte("a"), Off: 80, Len: 5 << 32, MaxSeq: 1},
		{Separator: []byte("b"), Off: 80 + 5<<32, Len: 100, MaxSeq: keys.MaxSeqNum},
	}
	p, err := sstable.DecodePartition(sstable.BuildPartitions(entries, 1<<20)[0])
	require.NoError(t, err)
	checkPartition(t, &p, entries, rand.New(rand.NewPCG(2, 2)))
}

// Each bound of a block's place is checked for itself: whatever the offsets are, a place
// lies within [80, end) and has room for a trailer.
func TestPlacesOfBlocksAreChecked(t *testing.T) {
	le := binary.LittleEndian
	const end = 1 << 40
	offsets := func(base, lo, hi int64) []byte { // one block, offsets of eight bytes
		p := sstable.BuildPartitions([]sstable.IndexEntry{{Separator: []byte("s"), Off: 80, Len: 5 << 32}}, 1<<20)[0]
		le.PutUint64(p[16:], uint64(base))
		le.PutUint64(p[32+8:], uint64(lo))
		le.PutUint64(p[32+16:], uint64(hi))
		return p
	}
	for _, c := range []struct {
		base, lo, hi int64
		ok           bool
	}{
		{80, 0, 8, true}, {80, 100, 1000, true}, {80, 0, end - 80, true}, {end - 8, 0, 8, true},
		{79, 0, 100, false}, {79, 1, 100, false}, {-80, 160, 200, false}, {math.MinInt64, 0, 100, false},
		{80, -1, 100, false}, {200, -100, 100, false}, {80, math.MinInt64, 100, false},
		{80, 100, 99, false}, {80, 100, -100, false}, {80, 1, math.MinInt64, false},
		{80, 0, 0, false}, {80, 0, 7, false}, {80, 100, 107, false},
		{80, 0, end - 79, false}, {80, end, end + 8, false}, {end, 0, 8, false}, {80, 0, math.MaxInt64, false},
		{math.MaxInt64, 0, 8, false},
	} {
		p, err := sstable.DecodePartition(offsets(c.base, c.lo, c.hi))
		require.NoError(t, err)
		off, n, err := p.Block(0, end)
		if c.ok {
			require.NoError(t, err, "%+v", c)
			require.Equal(t, [2]int64{c.base + c.lo, c.hi - c.lo}, [2]int64{off, n})
		} else {
			require.Error(t, err, "%+v", c)
		}
	}
}

func TestSeparatorsLieBetweenTheirKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 20_000 {
		a, b := make([]byte, rng.IntN(5)), make([]byte, rng.IntN(5))
		for _, k := range [][]byte{a, b} {
			for i := range k {
				k[i] = []byte{0, 1, 2, 0xfe, 0xff}[rng.IntN(5)]
			}
		}
		if bytes.Compare(a, b) > 0 {
			a, b = b, a
		}
		s := sstable.Separator(a, b)
		require.LessOrEqual(t, bytes.Compare(a, s), 0, "%x %x %x", a, s, b)
		require.LessOrEqual(t, len(s), max(len(a), len(b)))
		if bytes.Equal(a, b) {
			require.True(t, bytes.Equal(a, s))
		} else {
			require.Negative(t, bytes.Compare(s, b), "%x %x %x", a, s, b)
		}
	}
	require.Equal(t, "b", string(sstable.Separator([]byte("axxxx"), []byte("czzz"))))
}

func TestIndexGolden(t *testing.T) {
	var seps [][]byte
	for _, s := range []string{"scope/a", "scope/apple", "scope/applepie/1", "scope/applepie/2", "scope/b"} {
		seps = append(seps, []byte(s))
	}
	b := sstable.BuildPartitions(indexEntries(seps, rand.New(rand.NewPCG(4, 4))), 64<<10)
	require.Len(t, b, 1)
	golden.Assert(t, "testdata/partition.hex", []byte(hex.Dump(b[0])))
	golden.Assert(t, "testdata/top.hex", []byte(hex.Dump(sstable.SampleTop())))
	require.NoError(t, sstable.DecodeTop(sstable.SampleTop()))
}

func TestTopIndexMustAddUp(t *testing.T) {
	b := sstable.SampleTop()
	for i := range b {
		if b[i] == 'm' || b[i] == 'z' {
			continue // separators
		}
		b[i]++
		require.Error(t, sstable.DecodeTop(b), "byte %d", i)
		b[i]--
		require.Error(t, sstable.DecodeTop(b[:i]), "length %d", i)
	}
	require.Error(t, sstable.DecodeTop(append(b, 0)))
}

func FuzzIndex(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, seps := range indexShapes(rng) {
		f.Add(sstable.BuildPartitions(indexEntries(seps[:min(len(seps), 20)], rng), 64<<10)[0], []byte("probe"))
	}
	f.Add(sstable.SampleTop(), []byte{})
	f.Fuzz(func(t *testing.T, b, key []byte) {
		_ = sstable.DecodeTop(b)
		p, err := sstable.DecodePartition(b)
		if err != nil {
			return
		}
		i, _, err := p.Search(key)
		require.True(t, err != nil || i >= 0 && i <= p.Len())
		for i := range p.Len() {
			_, _ = p.Separator(i)
			if off, n, err := p.Block(i, 1<<30); err == nil {
				require.True(t, off >= 80 && n >= 8 && off+n <= 1<<30)
			}
			_ = p.MaxSeq(i)
		}
	})
}
