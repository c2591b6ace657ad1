package workload

import (
	"fmt"
	"sync"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// expiries write what goes by itself.
var expiries = []Workload{
	{Name: "ttlchurn", Doc: "random keys that expire after a second, unsynced", Kills: true, run: ttlChurn},
}

// churnTTL is for how long entries of ttlchurn are there.
const churnTTL = time.Second

// ttlChurn leaves the store at rest for longer than others, so that the last entries have
// expired when it begins.
func ttlChurn(r *run) error {
	r.kinds = []string{"set"}
	choose, err := r.data.chooser("uniform", r.Records)
	if err != nil {
		return err
	}
	if r.Rest > 0 {
		r.Rest += churnTTL
	}
	reader, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	var lock sync.RWMutex
	entries, how := engine.Expiry(reader.Session, &lock)
	r.use(how)
	if how != "" {
		stop, err := engine.StartSweeper(r.store, &lock)
		if err != nil {
			return err
		}
		r.closers = append(r.closers, stop)
	}
	err = r.each(r.once(), func(w *worker) (operation, error) {
		x, _ := engine.Expiry(w.Session, &lock)
		chooser := choose(w.id)
		return func(uint64) (kind, error) {
			w.key = r.data.keys.Present(w.key[:0], chooser.Next(w.rng, r.Records))
			v := w.values.Take()
			w.written += int64(len(w.key) + len(v))
			return 0, x.SetWithTTL(w.key, v, churnTTL)
		}, nil
	})
	ended := time.Now()
	r.check = func() error { return r.checkExpired(reader, entries, ended) }
	return err
}

// checkExpired looks whether an entry is there until it expires, and no longer.
func (r *run) checkExpired(w *worker, x engine.Expirer, ended time.Time) error {
	select {
	case <-time.After(time.Until(ended.Add(churnTTL + 5*time.Millisecond))):
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
	for range checks {
		w.key = r.data.keys.Present(w.key[:0], w.rng.Uint64N(r.Records))
		v, found, err := x.Get(w.dst[:0], w.key)
		if err != nil {
			return err
		}
		if found {
			return fmt.Errorf("%w: %q of %d bytes is there after it has expired", ErrWrongAnswer, w.key, len(v))
		}
	}
	if err := x.SetWithTTL(w.key, []byte("for long"), time.Hour); err != nil {
		return err
	}
	if v, found, err := x.Get(w.dst[:0], w.key); err != nil || !found || string(v) != "for long" {
		return fmt.Errorf("%w: %q is %q, found %t, before it has expired: %v", ErrWrongAnswer, w.key, v, found, err)
	}
	return nil
}
