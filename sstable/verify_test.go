package sstable_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// verifyChanged opens changed bytes of a table, which must succeed, and verifies them.
func verifyChanged(t *testing.T, tb *table, content []byte) error {
	t.Helper()
	r, err := openContent(t, tb, content, newCache(t, 256<<10))
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	return r.Verify(context.Background())
}

// Verify compared a third of the properties: times, scopes, raw bytes and the size of
// the filter could say anything.
func TestVerifyRecomputesTimesScopesAndSizes(t *testing.T) {
	var es []entry
	for i := range 60 {
		es = append(es, set(fmt.Sprintf("a/%03d", i), keys.SeqNum(100+i), fmt.Sprintf("%030d", i)))
		es = append(es, set(fmt.Sprintf("b/%03d", i), keys.SeqNum(300+i), fmt.Sprintf("%030d", i)))
	}
	es = append(es, set("c/small", 7, "not listed"),
		entry{[]byte("zm"), keys.MakeTrailer(4, keys.KindMerge), []byte("\x09\x00\x00\x00\x00\x00\x00\x00op__stmp")},
		entry{[]byte("zx"), keys.MakeTrailer(5, keys.KindSetWithExpiry), []byte("\x05\x00\x00\x00\x00\x00\x00\x00v")},
		entry{[]byte("zy"), keys.MakeTrailer(5, keys.KindExpiryMarker), []byte("\x08\x00\x00\x00\x00\x00\x00\x00")})
	o := options()
	o.Scope = func([]byte) int { return 1 }
	tb := write(t, vfs.NewMem(), "t", o, sortEntries(es))
	require.Len(t, tb.meta.Props.Scopes, 2)
	require.NoError(t, verifyChanged(t, tb, tb.content(t)))
	for name, change := range map[string]func(*sstable.Properties){
		"oldest merge":   func(p *sstable.Properties) { p.OldestMerge++ },
		"first expiry":   func(p *sstable.Properties) { p.Expiry.Min-- },
		"last expiry":    func(p *sstable.Properties) { p.Expiry.Max++ },
		"raw bytes":      func(p *sstable.Properties) { p.RawBytes++ },
		"scope bytes":    func(p *sstable.Properties) { p.Scopes[0].Bytes++ },
		"scope entries":  func(p *sstable.Properties) { p.Scopes[1].Entries-- },
		"scope prefix":   func(p *sstable.Properties) { p.Scopes[1].Prefix[0]++ },
		"scopes exact":   func(p *sstable.Properties) { p.ScopesExact = true },
		"bits per key":   func(p *sstable.Properties) { p.Filter.BitsPerKey += 10 },
		"very many bits": func(p *sstable.Properties) { p.Filter.BitsPerKey = 127 },
	} {
		content := tb.content(t)
		require.True(t, sstable.Tamper(content, sampleUID, change), name)
		require.ErrorIs(t, verifyChanged(t, tb, content), sstable.ErrCorrupt, name)
	}
	// A table whose scopes are all listed says so, and must not say the opposite.
	tb = write(t, vfs.NewMem(), "t", o, within(tb.entries, nil, []byte("c")))
	require.True(t, tb.meta.Props.ScopesExact)
	require.NoError(t, verifyChanged(t, tb, tb.content(t)))
	content := tb.content(t)
	require.True(t, sstable.Tamper(content, sampleUID, func(p *sstable.Properties) { p.ScopesExact = false }))
	require.ErrorIs(t, verifyChanged(t, tb, content), sstable.ErrCorrupt)
}

// What a block says of itself is compared with its entries: that a key occurs twice, or
// does not, and its greatest number.
func TestVerifyComparesTheHeadersOfBlocks(t *testing.T) {
	es := []entry{set("a", 10, "v"), set("b", 20, "v"), set("c", 15, "v")}
	tb := write(t, vfs.NewMem(), "t", options(), es)
	at := sstable.DataBlocks(t, tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20))))[0]
	for name, change := range map[string]func(p []byte){
		"flag 3": func(p []byte) { p[8] ^= 8 },
		"greatest number": func(p []byte) { // every number stays what it is
			p[1]++
			for i := range 3 {
				p[16+3*4+2+i]++ // distances of one byte, behind heads and the length of rows
			}
		},
	} {
		content := tb.content(t)
		sstable.TamperBlock(content, sampleUID, at, func(p []byte) {
			change(p)
			b, err := block.Decode(p)
			require.NoError(t, err, name)
			for i, e := range es {
				require.Equal(t, e.t, b.Trailer(i), name)
			}
		})
		require.ErrorIs(t, verifyChanged(t, tb, content), sstable.ErrCorrupt, name)
	}
}

// A filter that denies a key of the table hides it from Get: only Verify can tell.
func TestVerifyAsksTheFilterForEveryKey(t *testing.T) {
	tb := small(t, block.CodecNone)
	r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
	chunk := sstable.MetaBlocks(r)[sstable.Partitions(r)]
	lines := int(tb.meta.Props.Filter.Lines)
	_, line := filter.Locate(filter.Hash([]byte("key/030")), lines)
	content := tb.content(t)
	sstable.TamperBlock(content, sampleUID, chunk, func(p []byte) { clear(p[line : line+filter.LineBytes]) })
	require.ErrorIs(t, verifyChanged(t, tb, content), sstable.ErrCorrupt)
}

// swapCounts returns the bytes of a table with several partitions whose top index gives
// the first partition one block more, and the second one less, than they have.
func swapCounts(t *testing.T, tb *table, r *sstable.Reader) []byte {
	content := tb.content(t)
	sstable.TamperBlock(content, sampleUID, sstable.TopBlock(r), func(p []byte) {
		n, w := binary.Uvarint(p)
		require.Equal(t, sstable.Partitions(r), int(n))
		step := func(d uint64) { // changes a count, and passes one partition
			count, cw := binary.Uvarint(p[w:])
			require.Equal(t, cw, binary.PutUvarint(p[w:], count+d))
			w += cw
			_, lw := binary.Uvarint(p[w:])
			w += lw
			sep, sw := binary.Uvarint(p[w:])
			w += sw + int(sep)
		}
		step(1)
		step(math.MaxUint64)
	})
	return content
}

// A partition with another number of blocks than the top index says would put blocks
// into the slots of others. It, and a filter chunk of a wrong length, is let go: a
// cache whose frames stay pinned would shrink with every attempt.
func TestPartitionsAndChunksThatDoNotFitAreRefusedAndReleased(t *testing.T) {
	tb, es := hotTable(t)
	r := tb.open(t, readerOptions(&tb.meta, newCache(t, 1<<20)))
	counts := swapCounts(t, tb, r)
	chunks := tb.content(t)
	require.True(t, sstable.Tamper(chunks, sampleUID, func(p *sstable.Properties) { p.Filter.Lines++ }))
	for name, content := range map[string][]byte{"counts": counts, "chunks": chunks} {
		c := newCache(t, 1<<20)
		changed, err := openContent(t, tb, content, c)
		require.NoError(t, err, name)
		for range 3 {
			key := es[1].key
			_, _, _, err = changed.Get(nil, key, filter.Hash(key), keys.MaxSeqNum)
			require.ErrorIs(t, err, sstable.ErrCorrupt, name)
		}
		if name == "counts" {
			for _, noFill := range []bool{false, true} {
				var it sstable.Iter
				it.Init(changed, sstable.IterOptions{NoFill: noFill})
				require.False(t, it.First())
				require.ErrorIs(t, it.Close(), sstable.ErrCorrupt)
			}
		}
		require.ErrorIs(t, changed.Verify(context.Background()), sstable.ErrCorrupt, name)
		require.NoError(t, changed.Close())
		require.Zero(t, c.Metrics().BlockBytes, "%s: a block is still pinned", name)
	}
}
