package realdata

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// expected is what a store must hold after a source was loaded: its records sorted by
// key, of equal keys the last, in a file that is read in either direction. Making it
// takes one sort run of memory, however large the source, and the keys that occur more
// than once.
type expected struct {
	path  string
	total uint64 // records of the source
	count uint64 // distinct keys
	bytes int64  // of the distinct keys and their values
	// duplicates has the number of the last record of each key that occurs more than once.
	duplicates map[string]uint64
}

// everything is the limit of buildExpected that is none.
const everything = math.MaxUint64

// sortRunBytes is how much is sorted in memory at a time.
const sortRunBytes = 64 << 20

// buildExpected sorts the source's first limit records into a file in dir.
func buildExpected(ctx context.Context, src *Source, limit uint64, dir string, runBytes int) (*expected, error) {
	s := &sorter{runBytes: runBytes, dir: dir, duplicates: map[string]uint64{}}
	defer s.cleanUp()
	total := uint64(0)
	err := src.each(ctx, 0, func(n uint64, r engine.Pair) error {
		if n >= limit {
			return errStop
		}
		total = n + 1
		return s.add(sortedRecord{n: n, Pair: r})
	})
	if err != nil {
		return nil, err
	}
	e, err := s.finish(ctx)
	if err != nil {
		return nil, err
	}
	e.total = total
	return e, nil
}

func (e *expected) remove() error { return os.Remove(e.path) }

// sorter is an external merge sort.
type sorter struct {
	runBytes   int
	dir        string
	arena      []byte
	entries    []arenaEntry
	runs       []string
	duplicates map[string]uint64
}

// arenaEntry is a record in the arena: key, then value.
type arenaEntry struct {
	n          uint64
	off        int
	keyLen, to int
}

func (s *sorter) key(e arenaEntry) []byte { return s.arena[e.off : e.off+e.keyLen] }

func (s *sorter) add(r sortedRecord) error {
	const perEntry = 32
	used := len(s.arena) + perEntry*len(s.entries)
	if used > 0 && used+len(r.Key)+len(r.Value)+perEntry > s.runBytes {
		if err := s.spill(); err != nil {
			return err
		}
	}
	e := arenaEntry{n: r.n, off: len(s.arena), keyLen: len(r.Key)}
	s.arena = append(append(s.arena, r.Key...), r.Value...)
	e.to = len(s.arena)
	s.entries = append(s.entries, e)
	return nil
}

// spill sorts what is in memory and writes it as a run.
func (s *sorter) spill() error {
	slices.SortFunc(s.entries, func(a, b arenaEntry) int {
		if c := bytes.Compare(s.key(a), s.key(b)); c != 0 {
			return c
		}
		return cmp.Compare(a.n, b.n)
	})
	w, err := createSorted(filepath.Join(s.dir, fmt.Sprintf("run-%d", len(s.runs))))
	if err != nil {
		return err
	}
	s.runs = append(s.runs, w.path)
	for i, e := range s.entries {
		if i+1 < len(s.entries) && bytes.Equal(s.key(e), s.key(s.entries[i+1])) {
			s.duplicates[string(s.key(e))] = s.entries[i+1].n
			continue
		}
		if err := w.add(sortedRecord{n: e.n, Pair: engine.Pair{Key: s.key(e), Value: s.arena[e.off+e.keyLen : e.to]}}); err != nil {
			return w.abandon(err)
		}
	}
	s.arena, s.entries = s.arena[:0], s.entries[:0]
	return w.close()
}

// finish merges the runs; each has a key once, so that equal keys are of different runs.
func (s *sorter) finish(ctx context.Context) (*expected, error) {
	if err := s.spill(); err != nil {
		return nil, err
	}
	s.arena, s.entries = nil, nil
	out, err := os.CreateTemp(s.dir, "expected-")
	if err != nil {
		return nil, err
	}
	w := newSortedWriter(out)
	e := &expected{path: w.path, duplicates: s.duplicates}
	if err := s.merge(ctx, w, e); err != nil {
		return nil, w.abandon(err)
	}
	return e, w.close()
}

func (s *sorter) merge(ctx context.Context, w *sortedWriter, e *expected) error {
	heads, err := s.openRuns()
	defer func() {
		for _, r := range heads {
			r.close()
		}
	}()
	if err != nil {
		return err
	}
	heap.Init(&heads)
	var last []byte
	lastN := uint64(0)
	for i := 0; len(heads) > 0; i++ {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		// The latest record of a key comes first; those that follow it are older.
		rec := heads[0].rec
		if e.count > 0 && bytes.Equal(rec.Key, last) {
			s.duplicates[string(last)] = lastN
		} else {
			if err := w.add(rec); err != nil {
				return err
			}
			e.count++
			e.bytes += int64(len(rec.Key) + len(rec.Value))
			last, lastN = append(last[:0], rec.Key...), rec.n
		}
		if err := heads.advance(); err != nil {
			return err
		}
	}
	return nil
}

// openRuns opens every run that has a record and reads its first. What it returns is
// open, with an error too.
func (s *sorter) openRuns() (runHeap, error) {
	var heads runHeap
	for _, run := range s.runs {
		r, err := openSorted(run)
		if err != nil {
			return heads, err
		}
		ok, err := r.next()
		if ok {
			heads = append(heads, r)
			continue
		}
		r.close()
		if err != nil {
			return heads, err
		}
	}
	return heads, nil
}

func (s *sorter) cleanUp() {
	for _, run := range s.runs {
		os.Remove(run)
	}
}

// runHeap orders readers by the key of their records, and the later record first.
type runHeap []*sortedReader

func (h runHeap) Len() int      { return len(h) }
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)   { *h = append(*h, x.(*sortedReader)) }

func (h runHeap) Less(i, j int) bool {
	if c := bytes.Compare(h[i].rec.Key, h[j].rec.Key); c != 0 {
		return c < 0
	}
	return h[i].rec.n > h[j].rec.n
}

func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// advance reads the first reader's next record and restores the order.
func (h *runHeap) advance() error {
	r := (*h)[0]
	ok, err := r.next()
	if err != nil {
		return err
	}
	if ok {
		heap.Fix(h, 0)
		return nil
	}
	heap.Pop(h)
	return r.close()
}
