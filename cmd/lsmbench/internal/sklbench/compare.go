package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4/skl"
	"github.com/dgraph-io/badger/v4/y"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/offheap"
	"github.com/loamdb/loam/memtable"
)

var errWrongAnswer = errors.New("wrong answer to a lookup")

// operation is one row: a measurement of either list, in nanoseconds per operation.
type operation struct {
	name         string
	ours, theirs []float64 // one per round
}

func (o *operation) medians() (ours, theirs float64) { return median(o.ours), median(o.theirs) }

// keyList is a list of keys as each of the two wants them, made before the clock
// starts: Badger's carry their version in the last 8 bytes.
type keyList struct{ ours, theirs [][]byte }

func newKeyList(in [][]byte) keyList {
	var versioned [][]byte
	for _, k := range in {
		versioned = append(versioned, y.KeyWithTs(k, 7))
	}
	return keyList{compact(in), compact(versioned)}
}

// compact lays keys out in the order of their use, so that fetching a key costs neither
// list a cache miss.
func compact(in [][]byte) [][]byte {
	var flat []byte
	for _, k := range in {
		flat = append(flat, k...)
	}
	out := make([][]byte, len(in))
	for i, k := range in {
		out[i], flat = flat[:len(k):len(k)], flat[len(k):]
	}
	return out
}

// workload is what is measured for one shape.
type workload struct {
	insert, present, absent keyList
	value                   []byte
	size                    int // bytes of an arena that suffices
}

func newWorkload(s shape, n, valueLen int) *workload {
	insert, present, absent := keySets(s, n)
	bytes := 0
	for _, k := range insert {
		bytes += len(k) + valueLen
	}
	return &workload{
		newKeyList(insert), newKeyList(present), newKeyList(absent),
		make([]byte, valueLen), memtable.RegionBytes(n, bytes) + 64*n,
	}
}

// compare measures a shape, the lists alternating within each round.
func compare(s shape, n, rounds, valueLen int) ([]*operation, error) {
	w := newWorkload(s, n, valueLen)
	used, err := offheap.New(w.size)
	if err != nil {
		return nil, err
	}
	defer func() { _ = used.Free() }()
	clear(used.Bytes())
	skl.NewSkiplist(int64(w.size)) // garbage: what the next one is made of

	insert, first := &operation{name: "insert"}, &operation{name: "insert, first use of the memory"}
	present, absent := &operation{name: "lookup, present"}, &operation{name: "lookup, absent"}
	for range rounds {
		m := memtable.New(used.Bytes(), 1)
		insert.ours = append(insert.ours, w.insertOurs(m))
		if err := w.lookupOurs(m, present, absent); err != nil {
			return nil, fmt.Errorf("memtable: %w", err)
		}
		runtime.GC()
		l := skl.NewSkiplist(int64(w.size))
		insert.theirs = append(insert.theirs, w.insertTheirs(l))
		if err := w.lookupTheirs(l, present, absent); err != nil {
			return nil, fmt.Errorf("badger: %w", err)
		}
		if err := w.firstUse(first); err != nil {
			return nil, err
		}
	}
	return []*operation{insert, first, present, absent}, nil
}

// firstUse measures inserts into memory that the system has yet to provide.
func (w *workload) firstUse(o *operation) error {
	fresh, err := offheap.New(w.size)
	if err != nil {
		return err
	}
	o.ours = append(o.ours, w.insertOurs(memtable.New(fresh.Bytes(), 1)))
	if err := fresh.Free(); err != nil {
		return err
	}
	debug.FreeOSMemory()
	o.theirs = append(o.theirs, w.insertTheirs(skl.NewSkiplist(int64(w.size))))
	return nil
}

func (w *workload) insertOurs(m *memtable.Memtable) float64 {
	start := time.Now()
	for i, k := range w.insert.ours {
		m.Add(k, keys.MakeTrailer(keys.SeqNum(i+1), keys.KindSet), w.value)
	}
	return perOperation(start, len(w.insert.ours))
}

func (w *workload) insertTheirs(l *skl.Skiplist) float64 {
	start := time.Now()
	for _, k := range w.insert.theirs {
		l.Put(k, y.ValueStruct{Value: w.value})
	}
	return perOperation(start, len(w.insert.theirs))
}

func (w *workload) lookupOurs(m *memtable.Memtable, present, absent *operation) error {
	start := time.Now()
	for _, k := range w.present.ours {
		if v, _, found := m.Get(k, keys.Hash(k), keys.MaxSeqNum); !found || len(v) != len(w.value) {
			return errWrongAnswer
		}
	}
	present.ours = append(present.ours, perOperation(start, len(w.present.ours)))
	start = time.Now()
	for _, k := range w.absent.ours {
		if _, _, found := m.Get(k, keys.Hash(k), keys.MaxSeqNum); found {
			return errWrongAnswer
		}
	}
	absent.ours = append(absent.ours, perOperation(start, len(w.absent.ours)))
	return nil
}

func (w *workload) lookupTheirs(l *skl.Skiplist, present, absent *operation) error {
	start := time.Now()
	for _, k := range w.present.theirs {
		if v := l.Get(k); v.Version == 0 || len(v.Value) != len(w.value) {
			return errWrongAnswer
		}
	}
	present.theirs = append(present.theirs, perOperation(start, len(w.present.theirs)))
	start = time.Now()
	for _, k := range w.absent.theirs {
		if v := l.Get(k); v.Version != 0 {
			return errWrongAnswer
		}
	}
	absent.theirs = append(absent.theirs, perOperation(start, len(w.absent.theirs)))
	return nil
}

func perOperation(start time.Time, n int) float64 {
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return x[len(x)/2]
}
