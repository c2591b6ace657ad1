package workload

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// reads read a filled store. Every answer is checked for what can be checked at no cost:
// that a key is there or absent, and the counts.
var reads = []Workload{
	{Name: "readrandom", Doc: "Get of random keys that exist", Start: Filled, Reads: true, run: readRandom},
	{Name: "readhot", Doc: "Get of random keys among a hundredth of them", Start: Filled, Reads: true, run: readHot},
	{Name: "readmissing", Doc: "Get of keys that do not exist, within the range of those that do", Start: Filled, Reads: true, run: readMissing},
	{Name: "multireadrandom", Doc: "Get of 16 random keys at once; counts keys", Start: Filled, Reads: true, run: multiReadRandom},
	{Name: "readseq", Doc: "one iterator over everything, forward; counts entries", Start: Filled, Reads: true, run: readSeq},
	{Name: "readreverse", Doc: "one iterator over everything, backward; counts entries", Start: Filled, Reads: true, run: readReverse},
	{Name: "seekrandom", Doc: "seek to a random key and read 10 entries; counts seeks", Start: Filled, Reads: true, run: seekRandom},
	{Name: "readwhilewriting", Doc: "readrandom while one more goroutine overwrites 20,000 keys a second", Start: Spare, Reads: true, run: readWhileWriting},
	{Name: "readwhilescanning", Doc: "readrandom while one more goroutine scans everything", Start: Filled, Reads: true, run: readWhileScanning},
}

// ErrWrongAnswer: an engine returned what was not written. The run ends: its figures
// would mean nothing.
var ErrWrongAnswer = errors.New("wrong answer")

// readSample is the share of reads that is timed, one in 8: two clock readings are a
// tenth of a fast read.
const readSample = 8

func (r *run) limited() pacing { return pacing{total: endless, limit: r.Limit, sample: readSample} }

func readRandom(r *run) error { return r.readChosen("uniform", r.Records) }

// readHot reads the first hundredth of the records as they are numbered before they are
// permuted, so that the hot ones lie scattered over the store.
func readHot(r *run) error { return r.readChosen("hotspot:0.01,1", r.Records) }

func (r *run) readChosen(own string, n uint64) error {
	r.kinds = []string{"get"}
	choose, err := r.data.chooser(own, n)
	if err != nil {
		return err
	}
	r.live = r.filledBytes()
	return r.each(r.limited(), func(w *worker) (operation, error) {
		chooser := choose(w.id)
		return func(uint64) (kind, error) {
			_, err := w.get(r, chooser.Next(w.rng, n))
			return 0, err
		}, nil
	})
}

func readMissing(r *run) error {
	r.kinds = []string{"get"}
	choose, err := r.data.chooser("uniform", r.Records)
	if err != nil {
		return err
	}
	r.live = r.filledBytes()
	return r.each(r.limited(), func(w *worker) (operation, error) {
		chooser := choose(w.id)
		return func(uint64) (kind, error) {
			w.key = r.data.keys.Missing(w.key[:0], chooser.Next(w.rng, r.Records))
			_, found, err := w.Get(w.dst[:0], w.key)
			if err == nil && found {
				err = fmt.Errorf("%w: Get found %q, which was never written", ErrWrongAnswer, w.key)
			}
			w.read += int64(len(w.key))
			return 0, err
		}, nil
	})
}

// multiLen is how many keys multireadrandom asks for at once.
const multiLen = 16

func multiReadRandom(r *run) error {
	r.kinds = []string{"get of 16"}
	choose, err := r.data.chooser("uniform", r.Records)
	if err != nil {
		return err
	}
	r.live = r.filledBytes()
	pace := r.limited()
	pace.weight, pace.sample = multiLen, 1
	return r.each(pace, func(w *worker) (operation, error) {
		chooser := choose(w.id)
		keys := make([][]byte, multiLen)
		got := 0
		visit := func(i int, value []byte, found bool) {
			if found && len(value) >= r.data.value.Min() {
				got++
			}
			w.read += int64(len(keys[i]) + len(value))
		}
		return func(uint64) (kind, error) {
			for i := range keys {
				keys[i] = r.data.keys.Present(keys[i][:0], chooser.Next(w.rng, r.Records))
			}
			got = 0
			err := w.MultiGet(keys, visit)
			if err == nil && got != multiLen {
				err = fmt.Errorf("%w: %d of %d keys found", ErrWrongAnswer, got, multiLen)
			}
			return 0, err
		}, nil
	})
}

func readSeq(r *run) error     { return r.readAll(false) }
func readReverse(r *run) error { return r.readAll(true) }

// readAll scans the whole store again and again until the limit has passed, after once
// to warm up. An entry takes too little time to be timed by itself.
func (r *run) readAll(reverse bool) error {
	r.kinds = []string{"scan"}
	r.live = r.filledBytes()
	warm := r.warm > 0
	r.warm = 0
	err := r.each(pacing{total: endless, uncounted: true}, func(w *worker) (operation, error) {
		if warm {
			if _, err := r.scanAll(w, reverse); err != nil {
				return nil, err
			}
			w.read = 0
		}
		return func(uint64) (kind, error) {
			for begun := clock(); clock()-begun < r.Limit; {
				n, err := r.scanAll(w, reverse)
				if err != nil {
					return 0, err
				}
				w.ops.Add(n)
			}
			return 0, errDone
		}, nil
	})
	if errors.Is(err, errDone) {
		err = nil
	}
	return err
}

// errDone ends a loop that would go on.
var errDone = errors.New("done")

func (r *run) scanAll(w *worker, reverse bool) (uint64, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	sc, err := w.NewScanner()
	if err != nil {
		return 0, err
	}
	bytes := int64(0)
	count, err := sc.Scan(nil, reverse, int(r.Records)+1, func(key, value []byte) bool {
		bytes += int64(len(key) + len(value))
		return true
	})
	if err = errors.Join(err, sc.Close()); err != nil {
		return 0, err
	}
	if uint64(count) != r.Records {
		return 0, fmt.Errorf("%w: a scan of %d keys gave %d", ErrWrongAnswer, r.Records, count)
	}
	w.read += bytes
	return uint64(count), nil
}

// seekLen is the number of entries read after each seek.
const seekLen = 10

func seekRandom(r *run) error {
	r.kinds = []string{"seek"}
	choose, err := r.data.chooser("uniform", r.Records)
	if err != nil {
		return err
	}
	r.live = r.filledBytes()
	return r.each(r.limited(), func(w *worker) (operation, error) {
		sc, err := w.NewScanner()
		if err != nil {
			return nil, err
		}
		r.closers = append(r.closers, sc.Close)
		chooser := choose(w.id)
		s := newSeeker(w, sc)
		return func(uint64) (kind, error) {
			i := chooser.Next(w.rng, r.Records)
			w.key = r.data.keys.Present(w.key[:0], i)
			least := min(seekLen, r.Records-i)
			if r.Key == HashedKeys {
				least = 1 // how many follow is not known
			}
			return 0, s.seek(seekLen, least)
		}, nil
	})
}

// seeker scans a few entries from the worker's key.
type seeker struct {
	w     *worker
	sc    engine.Scanner
	first []byte
	begun bool
	visit func(key, value []byte) bool
}

func newSeeker(w *worker, sc engine.Scanner) *seeker {
	s := &seeker{w: w, sc: sc}
	s.visit = func(key, value []byte) bool {
		if !s.begun {
			s.first, s.begun = append(s.first[:0], key...), true
		}
		w.read += int64(len(key) + len(value))
		return true
	}
	return s
}

// seek reads up to n entries from w.key on, of which at least least must be there, that
// of the key the first.
func (s *seeker) seek(n int, least uint64) error {
	s.begun = false
	count, err := s.sc.Scan(s.w.key, false, n, s.visit)
	if err == nil && (uint64(count) < least || !bytes.Equal(s.first, s.w.key)) {
		err = fmt.Errorf("%w: seek to %q gave %d entries from %q", ErrWrongAnswer, s.w.key, count, s.first)
	}
	return err
}

// The writer of readwhilewriting: the same load for every engine, so that a faster one
// does not disturb its own readers more.
const (
	writeTick    = 5 * time.Millisecond
	writesATick  = 100
	besideWorker = 1 << 16 // id of the goroutine beside the workload's
)

func readWhileWriting(r *run) error {
	tick := time.NewTicker(writeTick)
	defer tick.Stop()
	beside, err := r.beside(func(w *worker) error {
		<-tick.C
		for range writesATick {
			if err := w.set(r, w.rng.Uint64N(r.Records), false); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(readRandom(r), beside())
}

func readWhileScanning(r *run) error {
	beside, err := r.beside(func(w *worker) error {
		_, err := r.scanAll(w, false)
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(readRandom(r), beside())
}

// beside does work again and again in a goroutine of its own, which is not measured,
// until the function that it returns is called.
func (r *run) beside(work func(w *worker) error) (stop func() error, err error) {
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return nil, err
	}
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		for failed == nil {
			failed = work(w)
			select {
			case <-stopped:
				return
			default:
			}
		}
	})
	return func() error {
		close(stopped)
		wg.Wait()
		return failed
	}, nil
}
