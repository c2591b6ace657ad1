package workload

import "fmt"

// updates write to a filled store. Each operation is timed.
var updates = []Workload{
	{Name: "overwrite", Doc: "random keys of a filled store, unsynced", Start: Spare, Kills: true, run: overwrite},
	{Name: "updaterandom", Doc: "get, then set, of a random key", Start: Spare, Kills: true, run: updateRandom},
	{Name: "appendrandom", Doc: "get of a random key, then set of its value with another appended", Start: Spare, Kills: true, run: appendRandom},
	{Name: "deleteseq", Doc: "delete of every key in ascending order", Start: Spare, Kills: true, run: deleteSeq},
	{Name: "deleterandom", Doc: "delete of random keys", Start: Spare, Kills: true, run: deleteRandom},
}

func overwrite(r *run) error {
	r.kinds = []string{"set"}
	choose, err := r.data.chooser("uniform", r.Records)
	if err != nil {
		return err
	}
	r.live = r.filledBytes()
	return r.each(r.once(), func(w *worker) (operation, error) {
		chooser := choose(w.id)
		return func(uint64) (kind, error) { return 0, w.set(r, chooser.Next(w.rng, r.Records), false) }, nil
	})
}

// filledBytes is how much a filled store's keys and values are, on average.
func (r *run) filledBytes() int64 {
	return int64(float64(r.Records) * (r.data.keys.MeanLen() + r.data.value.Mean()))
}

func updateRandom(r *run) error { return r.readAndWrite(false) }
func appendRandom(r *run) error { return r.readAndWrite(true) }

func (r *run) readAndWrite(grow bool) error {
	r.kinds = []string{"update"}
	choose, err := r.data.chooser("uniform", r.Records)
	if err != nil {
		return err
	}
	if !grow {
		r.live = r.filledBytes()
	}
	return r.each(r.once(), func(w *worker) (operation, error) {
		chooser := choose(w.id)
		return func(uint64) (kind, error) {
			i := chooser.Next(w.rng, r.Records)
			old, err := w.get(r, i)
			if err != nil {
				return 0, err
			}
			v := w.values.Take()
			if grow {
				w.dst = append(old, v...)
				v = w.dst
			}
			w.written += int64(len(w.key) + len(v))
			return 0, w.Set(w.key, v, false)
		}, nil
	})
}

// get reads the present key i, leaves the key in w.key, and checks that it is there. The
// value is valid until the next one.
func (w *worker) get(r *run, i uint64) ([]byte, error) {
	w.key = r.data.keys.Present(w.key[:0], i)
	v, found, err := w.Get(w.dst[:0], w.key)
	if err != nil {
		return nil, err
	}
	if !found || len(v) < r.data.value.Min() {
		return nil, fmt.Errorf("%w: Get of %q: found %t, %d bytes", ErrWrongAnswer, w.key, found, len(v))
	}
	w.dst = v
	w.read += int64(len(w.key) + len(v))
	return v, nil
}

func deleteSeq(r *run) error {
	r.kinds = []string{"delete"}
	return r.each(r.once(), func(w *worker) (operation, error) {
		return func(i uint64) (kind, error) { return 0, w.remove(r, i) }, nil
	})
}

func deleteRandom(r *run) error {
	r.kinds = []string{"delete"}
	choose, err := r.data.chooser("uniform", r.Records)
	if err != nil {
		return err
	}
	return r.each(r.once(), func(w *worker) (operation, error) {
		chooser := choose(w.id)
		return func(uint64) (kind, error) { return 0, w.remove(r, chooser.Next(w.rng, r.Records)) }, nil
	})
}

func (w *worker) remove(r *run, i uint64) error {
	w.key = r.data.keys.Present(w.key[:0], i)
	w.written += int64(len(w.key))
	return w.Delete(w.key)
}
