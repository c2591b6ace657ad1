package memtable_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/memtable"
)

// stressKey is the key of operation i: a few thousand keys, so that versions pile up,
// with shared prefixes of all lengths.
func stressKey(i uint64) []byte {
	x := i * 0x9e3779b97f4a7c15 >> 52
	return binary.BigEndian.AppendUint16(make([]byte, x%11, 16), uint16(x))
}

// stress lets readers check, while one writer adds, that whatever was published before
// is seen and that the order holds. It returns the first thing that was wrong.
func stress(ops, readers int) error {
	m := memtable.New(make([]byte, memtable.RegionBytes(ops, 24*ops)), 5)
	var visible atomic.Uint64
	var done atomic.Bool
	failures := make([]error, readers)
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for last := false; !last && failures[i] == nil; {
				last = done.Load()
				failures[i] = readSome(m, r, visible.Load())
			}
		})
	}
	for i := uint64(1); i <= uint64(ops); i++ {
		add := m.AddBy
		if i%4 == 0 {
			add = m.AddAgain
		}
		add(int(i%3), stressKey(i), keys.MakeTrailer(keys.SeqNum(i), keys.KindSet), binary.LittleEndian.AppendUint64(nil, i))
		visible.Store(i)
	}
	done.Store(true)
	wg.Wait()
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return memtable.Check(m)
}

// readSome checks a lookup, and a walk each way, at a moment when operations up to
// visible are published.
func readSome(m *memtable.Memtable, r *rand.Rand, visible uint64) error {
	if visible == 0 {
		return nil
	}
	i := 1 + r.Uint64N(visible)
	key := stressKey(i)
	value, t, found := m.Get(key, keys.Hash(key), keys.SeqNum(visible))
	if !found || uint64(t.SeqNum()) < i || uint64(t.SeqNum()) > visible {
		return fmt.Errorf("operation %d of %d: found %v at %v", i, visible, found, t)
	}
	if binary.LittleEndian.Uint64(value) != uint64(t.SeqNum()) {
		return fmt.Errorf("operation %d: value %x", i, value)
	}
	at := keys.MakeTrailer(keys.SeqNum(i), keys.KindSet)
	it := m.Iter()
	if !it.SeekGE(key, at) || it.Trailer() != at || string(it.Key()) != string(key) {
		return fmt.Errorf("operation %d of %d is not where it belongs", i, visible)
	}
	step, sign := it.Next, -1
	if r.IntN(2) == 0 {
		step, sign = it.Prev, 1
	}
	for range 20 {
		k, t := it.Key(), it.Trailer()
		if !step() {
			break
		}
		if c := keys.Compare(k, t, it.Key(), it.Trailer()); c != sign {
			return fmt.Errorf("%x %v beside %x %v", k, t, it.Key(), it.Trailer())
		}
		if binary.LittleEndian.Uint64(it.Value()) != uint64(it.Trailer().SeqNum()) {
			return fmt.Errorf("value %x of %v", it.Value(), it.Trailer())
		}
	}
	if i%64 == 0 {
		n := 0
		for ok := it.First(); ok; ok = it.Next() {
			n++
		}
		if uint64(n) < visible {
			return fmt.Errorf("%d entries of %d", n, visible)
		}
	}
	return nil
}

// M7 on real threads. Under the race detector it also shows that every word a reader
// may see change is atomic, and all others are written before they can be reached.
func TestReadersSeeWhatWasPublishedBefore(t *testing.T) {
	t.Parallel()
	ops := 40_000
	if raceEnabled {
		ops = 6000
	}
	if err := stress(ops, 3); err != nil {
		t.Fatal(err)
	}
}
