package main

// fillWorkloads write. Each operation is timed.
var fillWorkloads = []workload{
	{name: "fillseq", doc: "every key in ascending order, unsynced", writes: true, run: fillSeq},
	{name: "fillbatch", doc: "every key in random order, 100 to a batch, unsynced", writes: true, run: fillBatch},
	{name: "fillsync", doc: "keys in random order, each synced before the next", writes: true, run: fillSync},
	{name: "fillrandom", doc: "every key once in random order, unsynced", writes: true, fills: true, run: fillRandom},
	{name: "overwrite", doc: "random keys of a filled store, unsynced", writes: true, filled: true, run: overwrite},
}

func fillSeq(r *run) error {
	return r.each(pacing{total: r.p.n, sample: 1}, func(w *worker) func(int) error {
		return func(i int) error {
			w.bytes += int64(r.p.keyLen + r.p.valueLen)
			return w.Set(r.keys.present(w.key, uint64(i)), w.values.take(), false)
		}
	})
}

func fillRandom(r *run) error { return r.fillPermuted(pacing{total: r.p.n, sample: 1}, false) }

func fillSync(r *run) error {
	return r.fillPermuted(pacing{total: r.p.n, sample: 1, limited: true}, true)
}

func (r *run) fillPermuted(pace pacing, sync bool) error {
	perm := newPermutation(uint64(r.p.n), r.p.seed)
	return r.each(pace, func(w *worker) func(int) error {
		return func(i int) error {
			w.bytes += int64(r.p.keyLen + r.p.valueLen)
			return w.Set(r.keys.present(w.key, perm.at(uint64(i))), w.values.take(), sync)
		}
	})
}

// batchLen is the number of pairs in a batch of fillbatch.
const batchLen = 100

// fillBatch counts keys, not batches; its latencies are of batches.
func fillBatch(r *run) error {
	perm := newPermutation(uint64(r.p.n), r.p.seed)
	batches := (r.p.n + batchLen - 1) / batchLen
	written := r.p.n
	err := r.each(pacing{total: batches, sample: 1}, func(w *worker) func(int) error {
		pairs := make([]Pair, batchLen)
		keys := make([]byte, batchLen*r.p.keyLen)
		return func(i int) error {
			end := min((i+1)*batchLen, r.p.n)
			batch := pairs[:end-i*batchLen]
			for j := range batch {
				key := keys[j*r.p.keyLen : (j+1)*r.p.keyLen]
				batch[j].Key = r.keys.present(key, perm.at(uint64(i*batchLen+j)))
				batch[j].Value = w.values.take()
			}
			w.bytes += int64(len(batch)) * int64(r.p.keyLen+r.p.valueLen)
			return w.SetBatch(batch, false)
		}
	})
	r.ops = written
	return err
}

func overwrite(r *run) error {
	return r.each(pacing{total: r.p.n, sample: 1}, func(w *worker) func(int) error {
		return func(int) error {
			w.bytes += int64(r.p.keyLen + r.p.valueLen)
			return w.Set(r.keys.present(w.key, w.rng.Uint64N(r.keys.n)), w.values.take(), false)
		}
	})
}

func deleteRandom(r *run) error {
	return r.each(pacing{total: r.p.n, sample: 1}, func(w *worker) func(int) error {
		return func(int) error {
			w.bytes += int64(r.p.keyLen)
			return w.Delete(r.keys.present(w.key, w.rng.Uint64N(r.keys.n)))
		}
	})
}
