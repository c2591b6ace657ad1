package workload

import (
	"errors"

	"github.com/loamdb/loam/cmd/lsmbench/internal/dist"
	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// fills write to an empty store. Each operation is timed.
var fills = []Workload{
	{Name: "fillseq", Doc: "every key in ascending order, unsynced", run: fillSeq},
	{Name: "fillrandom", Doc: "every key once in random order, unsynced", Fills: true, run: fillRandom},
	{Name: "fillbatch", Doc: "every key once in random order, 100 to a batch, unsynced", run: fillBatch},
	{Name: "fillsync", Doc: "keys in random order, each synced before the next", run: fillSync},
	{Name: "setwhilesyncing", Doc: "unsynced sets while one more goroutine does synced ones", Kills: true, run: setWhileSyncing},
	{Name: Prepare, Hidden: true, Fills: true, run: prepareStore},
}

// Prepare is the workload that makes a filled store for others, unmeasured.
const Prepare = "prepare"

// set writes the present key i.
func (w *worker) set(r *run, i uint64, sync bool) error {
	w.key = r.data.keys.Present(w.key[:0], i)
	v := w.values.Take()
	w.written += int64(len(w.key) + len(v))
	return w.Set(w.key, v, sync)
}

// once is the pacing of a workload that writes every key.
func (r *run) once() pacing {
	return pacing{total: r.Records, limit: r.WriteLimit, sample: 1}
}

// filled notes what an empty store holds after each key was written at most once.
func (r *run) filled(err error) error {
	r.live = r.result.UserWritten
	return err
}

func fillSeq(r *run) error {
	r.kinds = []string{"set"}
	return r.filled(r.each(r.once(), func(w *worker) (operation, error) {
		return func(i uint64) (kind, error) { return 0, w.set(r, i, false) }, nil
	}))
}

func fillRandom(r *run) error { return r.fillPermuted(r.once(), false) }

func fillSync(r *run) error {
	pace := r.once()
	pace.limit = r.Limit
	return r.fillPermuted(pace, true)
}

func (r *run) fillPermuted(pace pacing, sync bool) error {
	r.kinds = []string{"set"}
	perm := dist.NewPermutation(r.Records, r.Seed)
	return r.filled(r.each(pace, func(w *worker) (operation, error) {
		return func(i uint64) (kind, error) { return 0, w.set(r, perm.At(i), sync) }, nil
	}))
}

// batchLen is the number of pairs in a batch of fillbatch, preparedBatch the most in one of
// what is written unmeasured.
const (
	batchLen      = 100
	preparedBatch = 1000
)

// preparedLen is the number of pairs in a batch that is written unmeasured: as many as a
// tenth of a memtable holds. Badger has no transaction of more than 15% of one.
func (r *run) preparedLen() uint64 {
	size := r.data.keys.MeanLen() + r.data.value.Mean()
	return min(max(uint64(float64(r.Config.MemtableBytes)/10/size), 1), preparedBatch)
}

// fillBatch counts keys; its latencies are of batches.
func fillBatch(r *run) error {
	r.kinds = []string{"batch"}
	return r.filled(r.fillBatches(batchLen, pacing{limit: r.WriteLimit, sample: 1}))
}

func (r *run) fillBatches(length uint64, pace pacing) error {
	perm := dist.NewPermutation(r.Records, r.Seed)
	pace.total, pace.weight = (r.Records+length-1)/length, 1
	err := r.each(pace, func(w *worker) (operation, error) {
		pairs := make([]engine.Pair, length)
		return func(i uint64) (kind, error) {
			end := min((i+1)*length, r.Records)
			batch := pairs[:end-i*length]
			for j := range batch {
				p := &batch[j]
				p.Key = r.data.keys.Present(p.Key[:0], perm.At(i*length+uint64(j)))
				p.Value = w.values.Take()
				w.written += int64(len(p.Key) + len(p.Value))
			}
			return 0, w.SetBatch(batch, false)
		}, nil
	})
	// Keys are what is counted; the last batch may be shorter.
	r.result.Ops = min(r.result.Ops*length, r.Records)
	return err
}

func prepareStore(r *run) error {
	r.Goroutines, r.Rate = 1, 0
	r.kinds = []string{"batch"}
	if err := r.fillBatches(r.preparedLen(), pacing{sample: 1}); err != nil {
		return err
	}
	if _, err := r.store.Settle(r.ctx); err != nil {
		return err
	}
	return r.rest()
}

// setWhileSyncing shows whether writers that need no sync wait for those that do.
func setWhileSyncing(r *run) error {
	r.kinds = []string{"set"}
	pace := r.once()
	pace.limit = r.Limit
	synced := int64(0) // bytes of the other goroutine
	beside, err := r.beside(func(w *worker) error {
		err := w.set(r, w.rng.Uint64N(r.Records), true)
		synced = w.written
		return err
	})
	if err != nil {
		return err
	}
	pace.total = endless
	err = r.each(pace, func(w *worker) (operation, error) {
		return func(uint64) (kind, error) { return 0, w.set(r, w.rng.Uint64N(r.Records), false) }, nil
	})
	err = errors.Join(err, beside())
	r.result.UserWritten += synced // the device was given these too
	return err
}
