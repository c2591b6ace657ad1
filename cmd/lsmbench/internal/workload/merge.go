package workload

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// merges change values without reading them.
var merges = []Workload{
	{Name: "mergerandom", Doc: "1 added to a random one of a tenth as many counters as there are keys, unsynced", Kills: true, Conflicts: true, run: mergeRandom},
}

// mergesEach is how often each counter is added to on average.
const mergesEach = 10

func counterKey(dst []byte, i uint64) []byte { return fmt.Appendf(dst, "counter/%010d", i) }

func mergeRandom(r *run) error {
	r.kinds = []string{"add"}
	counters := max(r.Records/mergesEach, 1)
	choose, err := r.data.chooser("uniform", counters)
	if err != nil {
		return err
	}
	var lock sync.Mutex
	counts := make([]atomic.Uint64, counters)
	err = r.each(r.once(), func(w *worker) (operation, error) {
		adder, how := engine.Adding(w.Session, &lock)
		r.use(how)
		chooser := choose(w.id)
		return func(uint64) (kind, error) {
			i := chooser.Next(w.rng, counters)
			w.key = counterKey(w.key[:0], i)
			w.written += int64(len(w.key) + 8)
			counts[i].Add(1)
			return 0, adder.Add(w.key, 1)
		}, nil
	})
	size := int64(len(counterKey(nil, 0)) + 8)
	for i := range counts {
		if counts[i].Load() > 0 {
			r.live += size
		}
	}
	r.check = func() error { return r.checkCounters(counts) }
	return err
}

// checkCounters compares every counter with what was added to it.
func (r *run) checkCounters(counts []atomic.Uint64) error {
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	for i := range counts {
		want := counts[i].Load()
		w.key = counterKey(w.key[:0], uint64(i))
		v, found, err := w.Get(w.dst[:0], w.key)
		if err != nil {
			return err
		}
		w.dst = v
		if found != (want > 0) || found && (len(v) != 8 || binary.LittleEndian.Uint64(v) != want) {
			return fmt.Errorf("%w: %q is %x, found %t, after %d additions", ErrWrongAnswer, w.key, v, found, want)
		}
	}
	return nil
}
