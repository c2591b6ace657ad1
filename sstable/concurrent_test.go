package sstable_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// Many readers of two tables over a cache that holds a fraction of them, so that
// blocks, partitions and chunks come and go under each other's hands.
func TestConcurrentReadersShareATinyCache(t *testing.T) {
	var es []entry
	for i := range 6000 {
		es = append(es, set(fmt.Sprintf("%08d", i), keys.SeqNum(1+i%7), fmt.Sprintf("%040d", i)))
	}
	for _, size := range []int64{0, 70_000, 300_000} {
		c := newCache(t, size)
		var readers []*sstable.Reader
		for _, codec := range []block.Codec{block.CodecNone, block.CodecS2} {
			o := options()
			o.Codec, o.BlockBytes = codec, 300
			tb := write(t, vfs.NewMem(), "t", o, es)
			readers = append(readers, tb.open(t, readerOptions(&tb.meta, c)))
		}
		var wg sync.WaitGroup
		errs := make(chan error, 8)
		for g := range 4 {
			wg.Go(func() { errs <- readConcurrently(readers, es, rand.New(rand.NewPCG(16, uint64(g)))) })
		}
		wg.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
	}
}

func readConcurrently(readers []*sstable.Reader, es []entry, rng *rand.Rand) error {
	var dst []byte
	var it sstable.Iter
	for i := range 800 {
		r, e := readers[rng.IntN(len(readers))], &es[rng.IntN(len(es))]
		out, trailer, found, err := r.Get(dst[:0], e.key, filter.Hash(e.key), keys.MaxSeqNum)
		if err != nil || !found || trailer != e.t || !bytes.Equal(out, e.value) {
			return fmt.Errorf("get %s: %q %v %v %w", e.key, out, trailer, found, err)
		}
		dst = out
		if i%20 > 0 {
			continue
		}
		it.Init(r, sstable.IterOptions{NoFill: rng.IntN(4) == 0})
		at := rng.IntN(len(es) - 50)
		for n, ok := 0, it.SeekGE(es[at].key, seekAll); n < 50; n++ {
			if !ok || !bytes.Equal(it.Key(), es[at+n].key) || !bytes.Equal(it.Value(), es[at+n].value) {
				return fmt.Errorf("scan at %s: %w", es[at+n].key, it.Err())
			}
			ok = it.Next()
		}
	}
	return it.Close()
}

func TestGetDoesNotAllocate(t *testing.T) {
	var es []entry
	for i := range 5000 {
		es = append(es, set(fmt.Sprintf("%08d", i), 1, fmt.Sprintf("%040d", i)))
	}
	tb := write(t, vfs.NewMem(), "t", options(), es)
	for _, size := range []int64{8 << 20, 600_000} { // with and without room to keep the index
		r := tb.open(t, readerOptions(&tb.meta, newCache(t, size)))
		dst := make([]byte, 0, 100)
		hit, miss := es[2500].key, []byte("00002500x")
		hitHash, missHash := filter.Hash(hit), filter.Hash(miss)
		allocs := testing.AllocsPerRun(100, func() {
			_, _, found, err := r.Get(dst, hit, hitHash, keys.MaxSeqNum)
			_, _, absent, err2 := r.Get(dst, miss, missHash, keys.MaxSeqNum)
			if !found || absent || err != nil || err2 != nil {
				panic("wrong answer")
			}
		})
		require.Zero(t, allocs)
	}
}
