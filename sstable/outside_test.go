package sstable_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
)

// unnumbered takes the numbers from entries, so that each kind of a key is there once.
func unnumbered(es []entry) []entry {
	out := make([]entry, len(es))
	for i, e := range es {
		out[i] = entry{e.key, keys.MakeTrailer(0, e.t.Kind()), e.value}
	}
	return sortEntries(out)
}

// numbered returns what a table of unnumbered entries holds under a number.
func numbered(es []entry, n keys.SeqNum) []entry {
	out := make([]entry, len(es))
	for i, e := range es {
		out[i] = entry{e.key, keys.MakeTrailer(n, e.t.Kind()), e.value}
	}
	return out
}

// A table without numbers, read under one, is a table whose entries have that number.
func TestATableUnderOneNumberAnswersAsTheModelDoes(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 90))
		for _, s := range shapes(rng) {
			t.Run(s.name, func(t *testing.T) {
				o := options()
				o.Codec, o.BlockBytes, o.FilterBitsPerKey = s.codec, s.block, s.bits
				es := unnumbered(s.entries)
				tb := write(t, vfs.NewMem(), "t", o, es)
				number := keys.SeqNum(1 + rng.Uint64N(1999))
				ro := readerOptions(&tb.meta, newCache(t, 1<<20))
				ro.Number = number
				r := tb.open(t, ro)
				want := numbered(es, number)
				targets := near(want, rng)
				for _, key := range targets {
					for _, seq := range []keys.SeqNum{0, number - 1, number, number + 1, keys.MaxSeqNum} {
						checkGet(t, r, want, key, seq)
					}
				}
				for _, noFill := range []bool{false, true} {
					checkIterators(t, r, want, targets, noFill, rng)
				}
				var it sstable.Iter
				it.Init(r, sstable.IterOptions{Above: number})
				require.False(t, it.First(), "no block has a newer entry")
				it.Init(r, sstable.IterOptions{Above: number - 1})
				require.True(t, it.First())
				require.NoError(t, it.Close())
				require.NoError(t, r.Verify(context.Background()))
			})
		}
	}
}

func TestATableWithNumbersTakesNoOther(t *testing.T) {
	for name, tb := range map[string]*table{
		"numbers":          write(t, vfs.NewMem(), "t", options(), []entry{set("a", 0, ""), set("b", 3, "")}),
		"range tombstones": write(t, vfs.NewMem(), "t", options(), []entry{set("a", 0, "")}, fragment("a", "b", 0)),
	} {
		ro := readerOptions(&tb.meta, newCache(t, 1<<20))
		require.False(t, tb.open(t, ro).Properties().Unnumbered(), name)
		f, err := tb.fs.Open("t", vfs.ReadOnly)
		require.NoError(t, err)
		ro.Number = 7
		_, err = sstable.Open(f, ro)
		require.ErrorIs(t, err, sstable.ErrCorrupt, name)
		require.NoError(t, f.Close())
	}
}

func fragment(lower, upper string, seq keys.SeqNum) sstable.Fragment {
	return sstable.Fragment{Lower: []byte(lower), Upper: []byte(upper), Trailer: keys.MakeTrailer(seq, keys.KindRangeDelete)}
}

// A file that no manifest names tells which table it is, and what the manifest would say.
func TestAFileDescribesItself(t *testing.T) {
	tb := write(t, vfs.NewMem(), "t", options(), []entry{set("a", 0, "1"), set("b", 0, "2")})
	f, err := tb.fs.Open("t", vfs.ReadWrite)
	require.NoError(t, err)
	uid, size, err := sstable.Identify(f, "t")
	require.NoError(t, err)
	require.Equal(t, sampleUID, uid)
	require.Equal(t, tb.meta.Size, size)
	ro := readerOptions(&tb.meta, newCache(t, 1<<20))
	ro.Digest = 0
	r := tb.open(t, ro)
	meta, err := r.Describe(context.Background())
	require.NoError(t, err)
	require.Equal(t, tb.meta, meta)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = r.Describe(ended)
	require.ErrorIs(t, err, context.Canceled)

	_, err = f.WriteAt([]byte{0xff}, size-200)
	require.NoError(t, err)
	_, err = r.Describe(context.Background())
	require.ErrorIs(t, err, sstable.ErrCorrupt)
	for _, cut := range []int64{79, 10, 0} {
		require.NoError(t, f.Truncate(cut))
		_, _, err = sstable.Identify(f, "t")
		require.ErrorIs(t, err, sstable.ErrCorrupt)
	}
	require.NoError(t, f.Truncate(100))
	_, _, err = sstable.Identify(f, "t")
	require.ErrorIs(t, err, sstable.ErrCorrupt)
	require.NoError(t, f.Close())
	_, _, err = sstable.Identify(f, "t")
	require.NotErrorIs(t, err, sstable.ErrCorrupt)
	require.Error(t, err)
	require.NotEqual(t, fileid.UID{}, uid)
}

// Whatever a file from outside holds, looking at it ends with answers or errors; what is
// described has no numbers if the properties say so.
func FuzzDescribeTable(f *testing.F) {
	o := options()
	o.FilterBitsPerKey = 0
	f.Add(write(f, vfs.NewMem(), "t", o, []entry{set("a", 0, "v"), set("b", 0, "")}).content(f), true)
	f.Add(write(f, vfs.NewMem(), "t", o, []entry{set("a", 1, "v"), set("b", 0, "")}).content(f), true)
	f.Add(small(f, block.CodecS2).content(f), false)
	f.Fuzz(func(t *testing.T, p []byte, resummed bool) {
		if resummed {
			resum(p)
		}
		fs := vfs.NewMem()
		writeFile(t, fs, "t", p)
		file, err := fs.Open("t", vfs.ReadOnly)
		require.NoError(t, err)
		uid, size, err := sstable.Identify(file, "t")
		if err != nil {
			return
		}
		r, err := sstable.Open(file, sstable.ReaderOptions{UID: uid, Size: size, Number: 7, Cache: newCache(t, 200_000), Name: "t"})
		if err != nil {
			return
		}
		meta, err := r.Describe(context.Background())
		if err == nil {
			require.Zero(t, meta.MaxSeqNum)
			var it sstable.Iter
			it.Init(r, sstable.IterOptions{NoFill: true})
			for ok := it.First(); ok; ok = it.Next() {
				require.Equal(t, keys.SeqNum(7), it.Trailer().SeqNum())
			}
			require.NoError(t, it.Close())
		}
		require.NoError(t, r.Close())
	})
}
