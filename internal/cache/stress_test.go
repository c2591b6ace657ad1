package cache_test

import (
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/cache"
)

// stressFile is a file that is closed and opened anew while others are read. Its
// readers hold the lock shared, as a table's readers hold the table.
type stressFile struct {
	mu  sync.RWMutex
	f   *cache.File
	uid int
}

func sizeOf(i int) int { return []int{4096, 4000, 600, 100, 16 << 10, 64<<10 + 8}[i%6] }

// Blocks are read, inserted, discarded, evicted and dropped by several goroutines, in
// a cache that holds a fraction of them. Whatever is found must be right as long as it
// is pinned.
func TestConcurrentReadersSeeTheirBlocks(t *testing.T) {
	steps := 3_000
	if os.Getenv("LOAM_LONG") != "" {
		steps = 200_000
	}
	for _, capacity := range []int64{256 << 10, 2 << 20, 10 << 20} {
		c := newCache(t, capacity)
		const blocks = 300
		files := make([]*stressFile, 4)
		for i := range files {
			files[i] = &stressFile{f: c.NewFile(blocks), uid: i}
		}
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() { stress(t, c, files, rand.New(rand.NewPCG(uint64(g), uint64(capacity))), steps, blocks) })
		}
		wg.Wait()
		require.LessOrEqual(t, c.Metrics().SlabBytes, capacity)
		for _, f := range files {
			f.f.Close()
		}
	}
}

func stress(t *testing.T, c *cache.Cache, files []*stressFile, r *rand.Rand, steps, blocks int) {
	type held struct {
		h      cache.Handle
		uid, i int
	}
	var pinned []held
	release := func() {
		p := pinned[0]
		pinned = pinned[1:]
		if !holds(p.h.Bytes(), p.uid, p.i) {
			t.Errorf("block %d of file %d changed while it was pinned", p.i, p.uid)
		}
		p.h.Release()
	}
	for range steps {
		s := files[r.IntN(len(files))]
		if r.IntN(300) == 0 {
			s.mu.Lock()
			s.f.Close()
			s.f = c.NewFile(blocks)
			s.uid += len(files)
			s.mu.Unlock()
		}
		s.mu.RLock()
		i := min(r.IntN(blocks), r.IntN(blocks))
		h, ok := s.f.Get(i)
		if !ok {
			b, _ := c.Alloc(sizeOf(i))
			fill(b.Bytes(), s.uid, i)
			if r.IntN(10) == 0 {
				b.Discard()
				s.mu.RUnlock()
				continue
			}
			if i%5 == 0 {
				h = s.f.InsertKept(i, b)
			} else {
				h = s.f.Insert(i, b)
			}
		}
		pinned = append(pinned, held{h, s.uid, i})
		s.mu.RUnlock()
		for len(pinned) > r.IntN(8) {
			release()
		}
	}
	for len(pinned) > 0 {
		release()
	}
}
