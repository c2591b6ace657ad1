package workload

import (
	"fmt"
	"math/rand/v2"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/hdr"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

// upkeep is what engines do for themselves. Each is one operation: the rate is its
// reciprocal.
var upkeep = []Workload{
	{Name: "compact", Doc: "a store with half of its keys overwritten, merged as far as it goes", Start: Spare, run: compact},
	{Name: "recover", Doc: "opening a store that was killed with half a write buffer in its log", Start: Crashed, Reads: true, open: true, run: recoverStore},
	{Name: "verifychecksum", Doc: "every checksum of a filled store", Start: Filled, Reads: true, run: verifyChecksum},
	{Name: Crash, Hidden: true, run: crashStore},
}

// Crash is the workload that makes a store for recover. Its process ends without a word.
const Crash = "crash"

// onlyOnce measures one call.
func (r *run) onlyOnce(name string, call func() error) error {
	r.kinds = []string{name}
	r.Goroutines, r.Rate, r.warm = 1, 0, 0
	return r.each(pacing{total: 1, sample: 1}, func(*worker) (operation, error) {
		return func(uint64) (kind, error) { return 0, call() }, nil
	})
}

func compact(r *run) error {
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	// In batches: it is not what is measured, and engines of one transaction a write would
	// take minutes.
	pairs := make([]engine.Pair, r.preparedLen())
	for i := uint64(0); i < r.Records/2; i += uint64(len(pairs)) {
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		batch := pairs[:min(uint64(len(pairs)), r.Records/2-i)]
		for j := range batch {
			p := &batch[j]
			p.Key = r.data.keys.Present(p.Key[:0], w.rng.Uint64N(r.Records))
			p.Value = w.values.Take()
		}
		if err := w.SetBatch(batch, false); err != nil {
			return err
		}
	}
	if _, err := r.store.Settle(r.ctx); err != nil {
		return err
	}
	r.live = r.filledBytes()
	return r.onlyOnce("compact", func() error { return r.store.Compact(r.ctx) })
}

func verifyChecksum(r *run) error {
	r.live = r.filledBytes()
	return r.onlyOnce("verify", func() error { return r.store.Verify(r.ctx) })
}

// crashRecords is how many records fill half a write buffer.
func (r *run) crashRecords() uint64 {
	size := r.data.keys.MeanLen() + r.data.value.Mean()
	return min(r.Records, max(uint64(float64(r.Config.MemtableBytes)/2/size), 1))
}

// crashStore writes records of which only the log knows, the last one synced: whatever
// an engine promises of unsynced writes, all of them are durable then.
func crashStore(r *run) error {
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	n := r.crashRecords()
	for i := range n {
		if i%checkEvery == 0 && r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		if err := w.set(r, i, i == n-1); err != nil {
			return err
		}
	}
	endAsIfKilled()
	return nil
}

// recoverStore opens what crashStore has left, and afterwards looks whether it is there.
func recoverStore(r *run) error {
	r.begin(nil)
	start := clock()
	var err error
	r.store, err = r.engine.Open(r.Dir, r.Config)
	elapsed := clock() - start
	r.end(nil)
	if err != nil {
		return err
	}
	var h hdr.Histogram
	h.Add(elapsed)
	r.result.Ops, r.result.Elapsed = 1, elapsed
	r.result.Latencies = []result.Latency{result.NewLatency("open", &h)}
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	n := r.crashRecords()
	for range 1000 {
		if _, err := w.get(r, rand.Uint64N(n)); err != nil {
			return fmt.Errorf("after recovery: %w", err)
		}
	}
	return nil
}
