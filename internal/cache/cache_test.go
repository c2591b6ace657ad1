package cache_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/invariants"
)

func newCache(t testing.TB, capacity int64) *cache.Cache {
	c, err := cache.New(capacity)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Zero(t, cache.Pins(c), "handles left")
		require.LessOrEqual(t, cache.RegionBytes(c), capacity)
		require.NoError(t, c.Close())
	})
	return c
}

// noise is what blocks are made of.
var noise = func() []byte {
	p := make([]byte, 256<<10)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(p)
	return p
}()

// content returns what block i of a file must hold: its name, and noise from a place
// that depends on it.
func content(file, i, n int) (name [8]byte, rest []byte) {
	binary.LittleEndian.PutUint32(name[:], uint32(file))
	binary.LittleEndian.PutUint32(name[4:], uint32(i))
	at := (file*31 + i*977) % (128 << 10)
	return name, noise[at : at+n]
}

func fill(p []byte, file, i int) {
	name, rest := content(file, i, len(p))
	copy(p, rest)
	copy(p, name[:])
}

func holds(p []byte, file, i int) bool {
	name, rest := content(file, i, len(p))
	n := min(len(p), len(name))
	return bytes.Equal(p[:n], name[:n]) && bytes.Equal(p[n:], rest[n:])
}

// put inserts block i with n bytes and releases it.
func put(c *cache.Cache, f *cache.File, file, i, n int) {
	h := insert(c, f, file, i, n)
	h.Release()
}

func insert(c *cache.Cache, f *cache.File, file, i, n int) cache.Handle {
	b, _ := c.Alloc(n)
	fill(b.Bytes(), file, i)
	return f.Insert(i, b)
}

// has reports whether block i is in the cache, and fails if it is there with bytes
// that are not its own.
func has(t testing.TB, f *cache.File, file, i, n int) bool {
	h, ok := f.Get(i)
	if !ok {
		require.Nil(t, h.Bytes())
		return false
	}
	require.Len(t, h.Bytes(), n)
	require.True(t, holds(h.Bytes(), file, i), "block %d of file %d holds something else", i, file)
	h.Release()
	return true
}

func TestInsertedBlockIsFound(t *testing.T) {
	c := newCache(t, 4<<20)
	f, g := c.NewFile(10), c.NewFile(10)
	for i, n := range []int{0, 1, 100, 4096, 4104, 16 << 10, 64<<10 + 8, 65 << 10} {
		require.False(t, has(t, f, 1, i, n))
		put(c, f, 1, i, n)
		require.True(t, has(t, f, 1, i, n), "%d bytes", n)
		require.False(t, has(t, g, 2, i, n), "another file's block")
	}
	f.Close()
	g.Close()
	require.Zero(t, c.Metrics().BlockBytes)
}

func TestBufferTooLargeForAFrameWorksUncached(t *testing.T) {
	c := newCache(t, 4<<20)
	f := c.NewFile(1)
	b, cached := c.Alloc(65<<10 + 1)
	require.False(t, cached)
	fill(b.Bytes(), 1, 0)
	h := f.Insert(0, b.Truncate(65<<10))
	require.Len(t, h.Bytes(), 65<<10)
	require.True(t, holds(h.Bytes(), 1, 0))
	h.Release()
	require.Nil(t, h.Bytes())
	h.Release() // an empty handle
	require.False(t, has(t, f, 1, 0, 0))
	require.Equal(t, uint64(1), c.Metrics().Uncached)
	f.Close()
}

func TestTruncatedBufferKeepsItsFront(t *testing.T) {
	c := newCache(t, 1<<20)
	f := c.NewFile(1)
	b, cached := c.Alloc(4104)
	require.True(t, cached)
	fill(b.Bytes(), 1, 0)
	h := f.Insert(0, b.Truncate(4096))
	require.Len(t, h.Bytes(), 4096)
	require.True(t, holds(h.Bytes(), 1, 0))
	h.Release()
	f.Close()
}

func TestCacheOfAnyCapacityWorks(t *testing.T) {
	for _, capacity := range []int64{0, 1, 64 << 10, 65 << 10, 200 << 10, 256 << 10, 3 << 20, 10 << 20} {
		c := newCache(t, capacity)
		f := c.NewFile(3000)
		r := rand.New(rand.NewPCG(1, uint64(capacity)))
		for range 3000 {
			i := r.IntN(3000)
			n := []int{300, 4096, 16 << 10, 64<<10 + 8, 66 << 10}[i%5]
			if !has(t, f, 1, i, n) {
				put(c, f, 1, i, n)
			}
		}
		m := c.Metrics()
		require.LessOrEqual(t, m.SlabBytes, capacity)
		require.LessOrEqual(t, m.BlockBytes, m.SlabBytes)
		if capacity >= 65<<10 {
			require.Positive(t, m.BlockBytes)
		}
		f.Close()
	}
	_, err := cache.New(-1)
	require.Error(t, err)
	_, err = cache.New(1 << 60)
	require.Error(t, err)
}

func TestMemoryIsTakenAsItIsNeeded(t *testing.T) {
	c := newCache(t, 256<<20)
	require.Zero(t, cache.RegionBytes(c))
	f := c.NewFile(1000)
	put(c, f, 1, 0, 4096)
	require.LessOrEqual(t, cache.RegionBytes(c), int64(300<<10))
	for i := range 1000 {
		put(c, f, 1, i, 4096)
	}
	require.LessOrEqual(t, cache.RegionBytes(c), int64(2*1000*4160+300<<10))
	f.Close()
}

func TestFramesWasteAtMostAQuarter(t *testing.T) {
	c := newCache(t, 256<<20)
	sizes := cache.ClassSizes(c)
	require.Less(t, len(sizes), 64)
	require.Equal(t, 65<<10, sizes[len(sizes)-1])
	for i := 1; i < len(sizes); i++ {
		require.LessOrEqual(t, float64(sizes[i]), 1.26*float64(sizes[i-1]))
		require.Zero(t, sizes[i]%32)
	}
	require.Contains(t, sizes, 4160)
	require.Contains(t, sizes, 16640)
	require.Equal(t, uintptr(64), cache.FrameBytes)
}

func TestClosedCacheKeepsNothing(t *testing.T) {
	c, err := cache.New(1 << 20)
	require.NoError(t, err)
	f := c.NewFile(2)
	put(c, f, 1, 0, 4096)
	require.NoError(t, c.Close())
	require.False(t, has(t, f, 1, 0, 4096))
	put(c, f, 1, 1, 4096)
	require.False(t, has(t, f, 1, 1, 4096))
	require.Zero(t, c.Metrics().SlabBytes)
	f.Close()
	require.NoError(t, c.Close())
}

func TestPinnedBlocksSurviveEviction(t *testing.T) {
	c := newCache(t, 1<<20)
	f := c.NewFile(5000)
	var pinned []cache.Handle
	for i := range 100 {
		pinned = append(pinned, insert(c, f, 1, i, 4096))
	}
	for i := 100; i < 5000; i++ {
		put(c, f, 1, i, []int{4096, 700, 16 << 10}[i%3])
	}
	for i := range pinned {
		require.True(t, holds(pinned[i].Bytes(), 1, i))
		pinned[i].Release()
	}
	require.Positive(t, c.Metrics().Evictions)
	f.Close()
}

func TestBuffersComeFromTheHeapWhileEverythingIsPinned(t *testing.T) {
	c := newCache(t, 256<<10)
	f := c.NewFile(1000)
	var pinned []cache.Handle
	for i := range 200 {
		pinned = append(pinned, insert(c, f, 1, i, 4096))
	}
	require.Positive(t, c.Metrics().Uncached)
	for i := range pinned {
		require.True(t, holds(pinned[i].Bytes(), 1, i))
		pinned[i].Release()
	}
	put(c, f, 1, 500, 4096)
	require.True(t, has(t, f, 1, 500, 4096))
	f.Close()
}

func TestSecondInsertReturnsTheFirst(t *testing.T) {
	c := newCache(t, 1<<20)
	f := c.NewFile(1)
	b1, _ := c.Alloc(4096)
	b2, _ := c.Alloc(4096)
	fill(b1.Bytes(), 1, 0)
	fill(b2.Bytes(), 1, 0)
	h1 := f.Insert(0, b1)
	h2 := f.Insert(0, b2)
	require.Same(t, &h1.Bytes()[0], &h2.Bytes()[0])
	require.Equal(t, int64(4160), c.Metrics().BlockBytes, "the second buffer is free again")
	h1.Release()
	h2.Release()
	f.Close()
}

func TestDiscardedBufferIsFree(t *testing.T) {
	c := newCache(t, 1<<20)
	b, cached := c.Alloc(4096)
	require.True(t, cached)
	require.Equal(t, int64(4160), c.Metrics().BlockBytes)
	b.Discard()
	require.Zero(t, c.Metrics().BlockBytes)
	cache.Buf{}.Discard()
}

func TestClosedFilesGiveTheirMemoryBack(t *testing.T) {
	c := newCache(t, 4<<20)
	f := c.NewFile(100)
	for i := range 100 {
		put(c, f, 1, i, 4096)
	}
	h, ok := f.Get(7)
	require.True(t, ok)
	f.Close()
	require.Equal(t, int64(4160), c.Metrics().BlockBytes)
	require.True(t, holds(h.Bytes(), 1, 7), "pinned blocks outlive their file")
	h.Release()
	g := c.NewFile(4000)
	for i := range 4000 {
		put(c, g, 2, i, 4096)
	}
	g.Close()
	require.Zero(t, c.Metrics().BlockBytes, "the hand found what was pinned at Close")
	require.Zero(t, c.Metrics().Files)
}

func TestBlocksInUseStayAndOthersGo(t *testing.T) {
	c := newCache(t, 2<<20)
	f := c.NewFile(20_000)
	hot := 100
	for i := range 20_000 {
		put(c, f, 1, i, 4096)
		if i >= hot {
			require.True(t, has(t, f, 1, i%hot, 4096), "block %d, used every %d insertions, is gone after %d", i%hot, hot, i)
		}
	}
	require.False(t, has(t, f, 1, hot+5, 4096))
	f.Close()
}

func TestKeptBlocksStayLonger(t *testing.T) {
	c := newCache(t, 2<<20)
	f := c.NewFile(20_000)
	b, _ := c.Alloc(4096)
	fill(b.Bytes(), 1, 0)
	h := f.InsertKept(0, b)
	h.Release()
	put(c, f, 1, 1, 4096)
	capacity := 2 << 20 / 4160
	at := 2
	turns := func(n int) {
		for range n * capacity {
			put(c, f, 1, at, 4096)
			at++
		}
	}
	turns(3)
	_, ok := f.Get(1)
	require.False(t, ok)
	require.True(t, has(t, f, 1, 0, 4096))
	turns(7)
	_, ok = f.Get(0)
	require.False(t, ok, "a kept block that nobody uses goes in the end")
	f.Close()
}

// Memory that one size of blocks took must not stay with it for ever.
func TestMemoryFollowsTheWorkload(t *testing.T) {
	for _, capacity := range []int64{1 << 20, 16 << 20} {
		c := newCache(t, capacity)
		sizes := []int{4096, 600, 16 << 10, 64 << 10, 4096}
		for phase, n := range sizes {
			f := c.NewFile(1 << 16)
			fits := int(capacity) / (n + n/4 + 64) * 3 / 4
			for range 6 {
				for i := range fits {
					if h, ok := f.Get(i); ok {
						h.Release()
					} else {
						put(c, f, phase, i, n)
					}
				}
			}
			held := 0
			for i := range fits {
				if has(t, f, phase, i, n) {
					held++
				}
			}
			require.GreaterOrEqual(t, held, fits*9/10, "of blocks of %d bytes, %d would fit in %d", n, fits, capacity)
			if phase%2 == 0 { // else its blocks stay, and must be evicted by those of the next
				f.Close()
			} else {
				defer f.Close()
			}
		}
		require.Positive(t, c.Metrics().Steals)
	}
}

func TestReleasedHandlesAreCaught(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("needs the build tag invariants or the race detector")
	}
	c := newCache(t, 1<<20)
	f := c.NewFile(1)
	h := insert(c, f, 1, 0, 4096)
	stale := h
	old := h.Bytes()
	h.Release()
	require.Panics(t, func() { stale.Bytes() })
	require.Panics(t, func() { stale.Release() })
	f.Close()
	require.Equal(t, bytes.Repeat([]byte{0xDB}, 4096), old, "freed memory is poisoned")
}

func TestHitsAndMissesDoNotAllocate(t *testing.T) {
	c := newCache(t, 256<<10)
	f := c.NewFile(1000)
	for i := range 100 {
		put(c, f, 1, i, 4096)
	}
	at := 100
	require.Zero(t, testing.AllocsPerRun(500, func() {
		h, _ := f.Get(at - 1)
		h.Release()
		b, _ := c.Alloc(4096)
		h = f.Insert(at, b)
		h.Release()
		at++
	}))
	f.Close()
}
