package cache_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/cache"
)

const mebi = 1 << 20

// fillAndCount inserts blocks of size bytes into f until n are in, and returns how many the cache
// still has.
func fillAndCount(f *cache.File, c *cache.Cache, n, size int) (kept int) {
	for i := range n {
		b, _ := c.Alloc(size)
		for j := range b.Bytes() {
			b.Bytes()[j] = byte(i)
		}
		h := f.Insert(i, b)
		h.Release()
	}
	for i := range n {
		if h, ok := f.Get(i); ok {
			kept++
			h.Release()
		}
	}
	return kept
}

func TestLimitTakesMemoryAwayAndGivesItBack(t *testing.T) {
	c, err := cache.NewElastic(4*mebi, 32*mebi)
	require.NoError(t, err)
	f := c.NewFile(8000)
	full := fillAndCount(f, c, 8000, 4096)
	require.Greater(t, full, 7000)
	require.Greater(t, c.Metrics().SlabBytes, int64(31*mebi))

	c.SetLimit(10 * mebi)
	require.LessOrEqual(t, c.Metrics().SlabBytes, int64(10*mebi))
	less := fillAndCount(f, c, 8000, 4096)
	require.LessOrEqual(t, c.Metrics().SlabBytes, int64(10*mebi))
	require.Less(t, less, 2600)
	require.Greater(t, less, 2000)

	c.SetLimit(0) // the floor holds
	require.Greater(t, c.Metrics().SlabBytes, int64(3*mebi))
	require.LessOrEqual(t, c.Metrics().SlabBytes, int64(4*mebi))

	c.SetLimit(1 << 40) // and so does the capacity
	require.Greater(t, fillAndCount(f, c, 8000, 4096), 7000)
	require.LessOrEqual(t, c.Metrics().SlabBytes, int64(32*mebi))
	require.Zero(t, c.Metrics().Uncached)
	f.Close()
	require.NoError(t, c.Close())
	c.SetLimit(8 * mebi) // after Close nothing happens
}

// A pinned block stays where it is, whatever the limit; its slab goes with the next call.
func TestLimitLeavesPinnedBlocks(t *testing.T) {
	c, err := cache.NewElastic(0, 16*mebi)
	require.NoError(t, err)
	f := c.NewFile(4000)
	fillAndCount(f, c, 4000, 4096)
	h, ok := f.Get(3999)
	require.True(t, ok)
	c.SetLimit(0)
	require.Positive(t, c.Metrics().SlabBytes)
	require.Less(t, c.Metrics().SlabBytes, int64(mebi))
	for _, b := range h.Bytes() {
		require.Equal(t, byte(3999%256), b)
	}
	h.Release()
	c.SetLimit(0)
	require.Zero(t, c.Metrics().SlabBytes)
	_, cached := c.Alloc(4096)
	require.False(t, cached)
	f.Close()
	require.NoError(t, c.Close())
}

// Readers check every byte that they get while the limit moves.
func TestReadersBesideAMovingLimit(t *testing.T) {
	c, err := cache.NewElastic(mebi, 16*mebi)
	require.NoError(t, err)
	const blocks = 3000
	f := c.NewFile(blocks)
	var wrong, hits atomic.Int64
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for k := range 30_000 {
				i := (k*7919 + g*101) % blocks
				h, ok := f.Get(i)
				if ok {
					hits.Add(1)
				} else {
					b, _ := c.Alloc(2000 + i%3000)
					for j := range b.Bytes() {
						b.Bytes()[j] = byte(i)
					}
					h = f.Insert(i, b)
				}
				p := h.Bytes()
				if p[0] != byte(i) || p[len(p)-1] != byte(i) || p[len(p)/2] != byte(i) {
					wrong.Add(1)
				}
				h.Release()
			}
		})
	}
	for k := range 300 {
		c.SetLimit(int64(k%17) * mebi)
	}
	wg.Wait()
	require.Zero(t, wrong.Load())
	require.Positive(t, hits.Load())
	f.Close()
	require.NoError(t, c.Close())
}
