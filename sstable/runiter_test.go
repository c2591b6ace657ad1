package sstable_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// writeRun cuts entries into tables where the user key changes.
func writeRun(t testing.TB, es []entry, tables int, rng *rand.Rand) (run []sstable.RunTable, opened []int) {
	fs, c := vfs.NewMem(), newCache(t, 1<<20)
	opened = make([]int, tables)
	for i := range tables {
		n := len(es)
		if i < tables-1 {
			for n = 1 + rng.IntN(2*len(es)/(tables-i)); n < len(es) && bytes.Equal(es[n].key, es[n-1].key); {
				n++
			}
			n = min(n, len(es)-2*(tables-i))
		}
		tb := write(t, fs, fmt.Sprint(i), options(), es[:n])
		es = es[n:]
		var r *sstable.Reader
		run = append(run, sstable.RunTable{Smallest: tb.meta.Smallest, Largest: tb.meta.Largest, Open: func() (*sstable.Reader, error) {
			if opened[i]++; r == nil {
				r = tb.open(t, readerOptions(&tb.meta, c))
			}
			return r, nil
		}})
	}
	return run, opened
}

func runEntries() []entry {
	var es []entry
	for i := range 1000 {
		es = append(es, set(fmt.Sprintf("key%05d", i*2), 7, fmt.Sprint(i)))
	}
	return es
}

func TestRunsReadAsOneTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	es := runEntries()
	targets := near(es[:50], rng)
	for range 200 {
		targets = append(targets, fmt.Appendf(nil, "key%05d", rng.IntN(2010)))
	}
	for _, tables := range []int{1, 2, 7} {
		run, _ := writeRun(t, es, tables, rng)
		var it sstable.RunIter
		for round := range 20 {
			o := sstable.IterOptions{NoFill: round%2 == 0}
			if round > 2 {
				o.Lower, o.Upper = targets[rng.IntN(len(targets))], targets[rng.IntN(len(targets))]
			}
			if o.Lower != nil && o.Upper != nil && bytes.Compare(o.Lower, o.Upper) > 0 {
				o.Lower, o.Upper = o.Upper, o.Lower
			}
			it.Init(run, o)
			checkWalk(t, &it, within(es, o.Lower, o.Upper), targets, 300, rng)
		}
		require.NoError(t, it.Close())
		require.NoError(t, it.Close())
		require.False(t, it.First())
		require.ErrorIs(t, it.Err(), sstable.ErrClosed)
	}
}

func TestRunsOpenTablesWhenTheyAreReached(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 12))
	es := runEntries()
	run, opened := writeRun(t, es, 5, rng)
	var it sstable.RunIter
	it.Init(run, sstable.IterOptions{})
	require.True(t, it.SeekGE(run[2].Smallest, seekAll))
	require.True(t, it.SeekGE(run[2].Largest, seekAll))
	require.Equal(t, []int{0, 0, 1, 0, 0}, opened)
	require.True(t, it.Next())
	require.Equal(t, []int{0, 0, 1, 1, 0}, opened)
	require.NoError(t, it.Close())
	it.Init(run, sstable.IterOptions{Lower: run[1].Smallest, Upper: run[2].Smallest})
	for ok := it.First(); ok; ok = it.Next() {
	}
	require.NoError(t, it.Err())
	require.Equal(t, []int{0, 1, 1, 1, 0}, opened)
	require.NoError(t, it.Close())
}

func TestATableThatDoesNotOpenEndsARunWithItsError(t *testing.T) {
	run, _ := writeRun(t, runEntries(), 3, rand.New(rand.NewPCG(13, 13)))
	broken := errors.New("no such file")
	run[1].Open = func() (*sstable.Reader, error) { return nil, broken }
	for _, move := range []func(*sstable.RunIter) bool{(*sstable.RunIter).First, (*sstable.RunIter).Last} {
		var it sstable.RunIter
		it.Init(run, sstable.IterOptions{})
		ok := move(&it)
		require.True(t, ok)
		for it.Next() {
		}
		for it.Err() == nil && it.Last() {
			for it.Prev() {
			}
		}
		require.ErrorIs(t, it.Err(), broken)
		require.False(t, it.First() || it.Valid(), "the error sticks")
		require.ErrorIs(t, it.Close(), broken)
	}
}

// A step that is not made leaves the current key as it is, where callers have it: the key behind the bound, which may
// be longer than the memory for keys, is not built.
func TestAStepThatIsNotMadeLeavesTheKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 14))
	for n := range 100 {
		run, _ := writeRun(t, []entry{set("aaaa", 7, "v"), set("aabb", 7, "v"), set("b"+strings.Repeat("x", 5*n), 7, "v")}, 1, rng)
		var it sstable.RunIter
		it.Init(run, sstable.IterOptions{Upper: []byte("b")})
		require.True(t, it.First())
		require.Equal(t, "aaaa", string(it.Key()))
		require.True(t, it.NextDistinct())
		key := it.Key()
		require.False(t, it.NextDistinct())
		require.Equal(t, "aabb", string(key))
		require.Equal(t, "aabb", string(it.Key()))
		require.False(t, it.Next())
		require.NoError(t, it.Close())
	}
}
