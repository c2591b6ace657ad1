package block_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable/block"
)

// row is one entry of the model: what goes into a builder and must come out.
type row struct {
	key     []byte
	trailer keys.Trailer
	value   []byte
}

func compareRows(a, b row) int { return keys.Compare(a.key, a.trailer, b.key, b.trailer) }

// sorted puts rows in internal-key order, without repetitions.
func sorted(rows []row) []row {
	slices.SortFunc(rows, compareRows)
	return slices.CompactFunc(rows, func(a, b row) bool { return compareRows(a, b) == 0 })
}

func build(b *block.Builder, rows []row) []byte {
	b.Reset()
	for _, r := range rows {
		b.Add(r.key, r.trailer, r.value)
	}
	return b.Finish()
}

// plainSearch is the oracle of Search: whole keys, compared as bytes.
func plainSearch(rows []row, key []byte, t keys.Trailer) int {
	return sort.Search(len(rows), func(i int) bool {
		return keys.Compare(rows[i].key, rows[i].trailer, key, t) >= 0
	})
}

// shape makes rows of one kind of content.
type shape struct {
	name string
	make func(r *rand.Rand, i int) row
	n    int
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// letters returns up to n bytes of few values, zeros among them, so that keys share
// beginnings, are beginnings of each other, and end in what heads are padded with.
func letters(r *rand.Rand, n int) []byte {
	p := make([]byte, r.IntN(n+1))
	for i := range p {
		p[i] = "\x00\x00ab\xff"[r.IntN(5)]
	}
	return p
}

func set(r *rand.Rand) keys.Trailer {
	return keys.MakeTrailer(keys.SeqNum(r.Uint64()>>8), keys.KindSet)
}

var prefix40 = bytes.Repeat([]byte("scope/0001"), 4)

var shapes = []shape{
	{"fixed keys and values, uniform numbers", func(r *rand.Rand, i int) row {
		return row{binary.BigEndian.AppendUint64(prefix40[:8:8], r.Uint64()), keys.MakeTrailer(7, keys.KindSet), randomBytes(r, 100)}
	}, 35},
	{"counters", func(r *rand.Rand, i int) row {
		return row{fmt.Appendf(nil, "user%012d", 4090+i), keys.MakeTrailer(keys.SeqNum(1000+r.IntN(200)), keys.KindSet), randomBytes(r, 100)}
	}, 35},
	{"prefix of 40 bytes", func(r *rand.Rand, i int) row {
		return row{append(slices.Clone(prefix40), randomBytes(r, 8)...), set(r), randomBytes(r, r.IntN(50))}
	}, 60},
	{"short keys, zeros", func(r *rand.Rand, i int) row {
		kind := keys.Kind(1 + r.IntN(10))
		return row{letters(r, 6), keys.MakeTrailer(keys.SeqNum(r.IntN(9)), kind), randomBytes(r, kind.MinValueLen()+r.IntN(4))}
	}, 150},
	{"ties of heads", func(r *rand.Rand, i int) row {
		return row{append([]byte{byte(r.IntN(2)), 1, 1, 1, 1, 1}, letters(r, 5)...), set(r), nil}
	}, 200},
	{"versions of few keys", func(r *rand.Rand, i int) row {
		return row{fmt.Appendf(nil, "key%d", r.IntN(3)), keys.MakeTrailer(keys.SeqNum(r.IntN(100000)), keys.Kind(1+r.IntN(2))), letters(r, 9)}
	}, 100},
	{"versions of one key", func(r *rand.Rand, i int) row {
		return row{[]byte("the only key"), keys.MakeTrailer(keys.SeqNum(r.IntN(300)), keys.KindMerge), append(randomBytes(r, keys.MergeHeaderLen), letters(r, 9)...)}
	}, 100},
	{"empty key and values", func(r *rand.Rand, i int) row {
		return row{nil, keys.MakeTrailer(keys.SeqNum(i), keys.KindDelete), nil}
	}, 9},
	{"keys of 300 bytes", func(r *rand.Rand, i int) row {
		return row{append(randomBytes(r, 1), bytes.Repeat([]byte{'k'}, 250+r.IntN(50))...), set(r), nil}
	}, 20},
	{"wide, fixed", func(r *rand.Rand, i int) row {
		return row{randomBytes(r, 16), keys.MakeTrailer(3, keys.KindSet), randomBytes(r, 9000)}
	}, 12},
	{"wide, long keys", func(r *rand.Rand, i int) row {
		return row{append(letters(r, 3), bytes.Repeat([]byte{'z'}, r.IntN(keys.MaxKeyLen-3))...), set(r), randomBytes(r, r.IntN(300))}
	}, 12},
	{"wide, many", func(r *rand.Rand, i int) row {
		return row{letters(r, 12), set(r), nil}
	}, 9000},
}

// eachShape runs f with rows of every shape, and of every length up to a few.
func eachShape(t *testing.T, f func(t *testing.T, r *rand.Rand, rows []row)) {
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(s.name))))
			for _, n := range []int{1, 2, 3, 7, s.n} {
				var rows []row
				for i := range n {
					rows = append(rows, s.make(r, i))
				}
				f(t, r, sorted(rows))
			}
		})
	}
}

func decode(t *testing.T, p []byte) block.Block {
	b, err := block.Decode(p)
	require.NoError(t, err)
	require.Equal(t, b, block.View(p))
	return b
}

func TestBlockReturnsWhatWasAdded(t *testing.T) {
	var builder block.Builder
	eachShape(t, func(t *testing.T, _ *rand.Rand, rows []row) {
		b := decode(t, build(&builder, rows))
		require.Equal(t, len(rows), b.Count())
		unique := true
		lo, hi := keys.MaxSeqNum, keys.SeqNum(0)
		for i, r := range rows {
			require.Equal(t, string(r.key), string(b.AppendKey(nil, i)))
			require.Equal(t, r.trailer, b.Trailer(i))
			require.Equal(t, string(r.value), string(b.Value(i)))
			unique = unique && (i == 0 || !bytes.Equal(rows[i-1].key, r.key))
			lo, hi = min(lo, r.trailer.SeqNum()), max(hi, r.trailer.SeqNum())
		}
		require.Equal(t, unique, b.Unique())
		require.Equal(t, hi, b.MaxSeqNum())
		require.Equal(t, hi, builder.MaxSeqNum())
		require.Equal(t, lo, builder.MinSeqNum())
		require.Equal(t, string(rows[0].key), string(builder.FirstKey()))
		require.Equal(t, string(rows[len(rows)-1].key), string(builder.LastKey()))
	})
}

// The builder tells before an entry is added how long the block will be with it. It once
// charged the entry alone, though a key can shorten the prefix of all the others, and
// four bytes for every key as soon as one ended within its head.
func TestSizesAreExact(t *testing.T) {
	var builder block.Builder
	require.Zero(t, builder.Size())
	eachShape(t, func(t *testing.T, _ *rand.Rand, rows []row) {
		builder.Reset()
		raw := 0
		for _, r := range rows {
			want := builder.SizeWith(r.key, r.trailer, len(r.value))
			builder.Add(r.key, r.trailer, r.value)
			raw += len(r.key) + len(r.value)
			require.Equal(t, want, builder.Size())
			require.Equal(t, raw, builder.RawSize())
			if n := builder.Len(); n&(n-1) == 0 || n%50 == 0 {
				require.Len(t, builder.Finish(), want)
			}
		}
		require.Len(t, builder.Finish(), builder.Size())
	})
}

// probes returns keys to search for: those of rows, near misses, and others.
func probes(r *rand.Rand, rows []row) [][]byte {
	out := [][]byte{nil, {0}, {0xff}, bytes.Repeat([]byte{0xff}, 50)}
	for _, i := range r.Perm(len(rows))[:min(len(rows), 60)] {
		k := rows[i].key
		out = append(out, k, append(slices.Clone(k), 0), append(slices.Clone(k), 'b'))
		if len(k) > 0 {
			out = append(out, k[:len(k)-1], k[:r.IntN(len(k))])
			near := slices.Clone(k)
			near[r.IntN(len(k))] += byte(1 + 254*r.IntN(2))
			out = append(out, near)
		}
		out = append(out, letters(r, 8))
	}
	return out
}

// moments returns trailers to search for: those around the rows' own, and extremes.
func moments(r *rand.Rand, rows []row) []keys.Trailer {
	out := []keys.Trailer{0, keys.SeekTrailer(0), keys.SeekTrailer(keys.MaxSeqNum)}
	for range 4 {
		t := rows[r.IntN(len(rows))].trailer
		out = append(out, t, t-1, t+1, keys.SeekTrailer(t.SeqNum()))
	}
	return out
}

func TestSearchAgreesWithPlainComparison(t *testing.T) {
	var builder block.Builder
	eachShape(t, func(t *testing.T, r *rand.Rand, rows []row) {
		b := decode(t, build(&builder, rows))
		for _, key := range probes(r, rows) {
			for _, at := range moments(r, rows) {
				if want := plainSearch(rows, key, at); want != b.Search(key, at) {
					require.Equal(t, want, b.Search(key, at), "key %x at %v", key, at)
				}
			}
			for _, i := range []int{0, len(rows) / 2, len(rows) - 1} {
				require.Equal(t, bytes.Compare(rows[i].key, key), b.CompareKey(i, key))
			}
		}
	})
}

func TestGetFindsTheNewestVisibleVersion(t *testing.T) {
	var builder block.Builder
	eachShape(t, func(t *testing.T, r *rand.Rand, rows []row) {
		b := decode(t, build(&builder, rows))
		for _, key := range probes(r, rows) {
			for _, at := range moments(r, rows) {
				var want row
				state := block.Absent
				switch i := plainSearch(rows, key, keys.SeekTrailer(at.SeqNum())); {
				case i < len(rows) && bytes.Equal(rows[i].key, key):
					want, state = rows[i], block.Found
				case i == len(rows) && bytes.Equal(rows[i-1].key, key):
					state = block.Beyond
				}
				value, trailer, got := b.Get(key, at.SeqNum())
				if got != state || trailer != want.trailer || !bytes.Equal(value, want.value) {
					require.Failf(t, "wrong", "key %x at %v: %v %v %x, want %v %v %x", key, at, got, trailer, value, state, want.trailer, want.value)
				}
			}
		}
	})
}

func TestIteratorWalksBothWays(t *testing.T) {
	var builder block.Builder
	var it block.Iter
	eachShape(t, func(t *testing.T, r *rand.Rand, rows []row) {
		b := decode(t, build(&builder, rows))
		it.Init(&b)
		require.False(t, it.Valid())
		i := -1
		for ok := it.Next(); ok; ok = it.Next() {
			i++
			checkAt(t, &it, rows, i)
		}
		require.Equal(t, len(rows)-1, i)
		require.False(t, it.Next())
		for ok := it.Prev(); ok; ok = it.Prev() {
			checkAt(t, &it, rows, i)
			i--
		}
		require.Equal(t, -1, i)
		require.False(t, it.Prev())
		require.True(t, it.Last())
		checkAt(t, &it, rows, len(rows)-1)
		require.True(t, it.First())
		checkAt(t, &it, rows, 0)
	})
}

func TestIteratorSeeksLikeSearch(t *testing.T) {
	var builder block.Builder
	var it block.Iter
	eachShape(t, func(t *testing.T, r *rand.Rand, rows []row) {
		b := decode(t, build(&builder, rows))
		it.Init(&b)
		for _, key := range probes(r, rows) {
			for _, at := range moments(r, rows)[:5] {
				i := plainSearch(rows, key, at)
				require.Equal(t, i < len(rows), it.SeekGE(key, at))
				if i < len(rows) {
					checkAt(t, &it, rows, i)
				}
			}
			i := plainSearch(rows, key, keys.SeekTrailer(keys.MaxSeqNum)) - 1
			require.Equal(t, i >= 0, it.SeekLT(key))
			if i >= 0 {
				checkAt(t, &it, rows, i)
			}
		}
	})
}

func checkAt(t *testing.T, it *block.Iter, rows []row, i int) {
	t.Helper()
	if !it.Valid() || it.Index() != i || !bytes.Equal(it.Key(), rows[i].key) || it.Trailer() != rows[i].trailer || !bytes.Equal(it.Value(), rows[i].value) {
		require.Failf(t, "wrong entry", "%d, want %d: %x %v %x", it.Index(), i, it.Key(), it.Trailer(), it.Value())
	}
}

func TestKeyBufferIsNotSharedWithTheBlock(t *testing.T) {
	var builder block.Builder
	p := build(&builder, []row{{[]byte("abcdefgh"), keys.MakeTrailer(1, keys.KindSet), nil}, {[]byte("abcdxyz1"), keys.MakeTrailer(1, keys.KindSet), nil}})
	before := slices.Clone(p)
	b := decode(t, p)
	var it block.Iter
	it.Init(&b)
	it.First()
	clear(it.Key())
	require.Equal(t, before, p)
}

func TestBuilderIsReusableAfterALargeBlock(t *testing.T) {
	var builder block.Builder
	large := []row{{[]byte("a"), keys.MakeTrailer(1, keys.KindSet), make([]byte, 6<<20)}}
	b := decode(t, build(&builder, large))
	require.Len(t, b.Value(0), 6<<20)
	small := []row{{[]byte("b"), keys.MakeTrailer(1, keys.KindSet), []byte("v")}}
	b = decode(t, build(&builder, small))
	require.Equal(t, "b", string(b.AppendKey(nil, 0)))
	builder.Reset()
	require.Zero(t, builder.Len())
}

func TestReadingDoesNotAllocate(t *testing.T) {
	rows := benchRows("random", true)
	var builder block.Builder
	p := build(&builder, rows)
	raw := must(block.Seal(nil, block.CodecNone, summed, 0, p))
	var it block.Iter
	require.Zero(t, testing.AllocsPerRun(20, func() {
		payload, _ := block.Open(raw, summed, 0, refuse)
		b := block.View(payload)
		it.Init(&b)
		for i := range rows {
			value, _, _ := b.Get(rows[i].key, 1<<19)
			it.SeekGE(rows[i].key, rows[i].trailer)
			sink += len(value) + len(it.Key())
		}
	}))
	require.Zero(t, testing.AllocsPerRun(20, func() { sink += len(build(&builder, rows)) }))
}
