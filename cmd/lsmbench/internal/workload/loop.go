package workload

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/dist"
	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/hdr"
)

// kind is which of a workload's operations one was; it picks the histogram.
type kind uint8

// maxKinds bounds the kinds of one workload.
const maxKinds = 6

// operation does the i-th operation of its worker's share.
type operation func(i uint64) (kind, error)

// worker is one goroutine of a run: its own session, randomness and counts.
type worker struct {
	engine.Session
	id     int
	rng    *rand.Rand
	values *dist.Values
	key    []byte
	dst    []byte

	hists [maxKinds]*hdr.Histogram // nil where the worker never did one
	// late: an open loop ended with operations that were due and never begun.
	late bool
	// ops is what the worker has done; others read it while it runs.
	ops           atomic.Uint64
	written, read int64 // bytes of keys and values
}

// clockStart is the origin of clock.
var clockStart = time.Now()

// clock is the time since the process started, read from the monotonic clock alone:
// half the price of time.Now.
func clock() time.Duration { return time.Since(clockStart) }

// pacing says how a loop of operations is timed and when it ends.
type pacing struct {
	total uint64        // operations, over all goroutines
	limit time.Duration // ends the loop too; 0 does not
	// sample: every sample-th operation is timed, by two clock readings; it must be a
	// power of two. With 1 every operation is, by one reading, from the end of the one
	// before, so that a stall cannot fall between samples. With 0 none is.
	sample uint64
	// weight is how many operations each counts as; 0 means 1. uncounted: the workload
	// counts itself.
	weight    uint64
	uncounted bool
}

// endless is a total that only the limit ends.
const endless = 1 << 60

// share returns the part of [0, total) that worker i of g does.
func share(total uint64, g, i int) (lo, hi uint64) {
	at := func(i uint64) uint64 { return total/uint64(g)*i + min(total%uint64(g), i) }
	return at(uint64(i)), at(uint64(i) + 1)
}

// loop is one worker's way through its share.
type loop struct {
	ctx      context.Context
	pace     pacing
	deadline time.Duration // since clockStart; 0 is none
	interval time.Duration // between intended starts of this worker; 0: closed
	first    time.Duration // intended start of the worker's first operation
	spin     time.Duration // how long before its start an operation is waited for awake
}

// checkEvery is how many operations lie between looks at the context and the deadline.
const checkEvery = 64

// closed issues each operation when the one before has ended.
func (l *loop) closed(w *worker, lo, hi uint64, op operation) error {
	mask, chained := l.pace.sample-1, l.pace.sample == 1
	last := clock()
	for i := lo; i < hi; i++ {
		if (i-lo)%checkEvery == checkEvery-1 {
			if err := l.ctx.Err(); err != nil {
				return err
			}
			if l.deadline != 0 && clock() >= l.deadline {
				return nil
			}
		}
		timed := !chained && l.pace.sample != 0 && i&mask == 0
		if timed {
			last = clock()
		}
		k, err := op(i)
		if err != nil {
			return err
		}
		if timed || chained {
			now := clock()
			w.count(k, now-last)
			last = now
		}
		w.ops.Store(w.ops.Load() + l.pace.weight) // this worker alone writes it
	}
	return nil
}

// spin is how close to its start an operation is waited for by looking at the clock: the
// system's timers are late by less.
const spin = 150 * time.Microsecond

// open issues operations at their intended starts, whether or not the earlier ones have
// ended, and times each from there: what waits behind a stall counts as slow, as users
// would see it. If the limit has long passed and the loop is still behind, it gives up, and
// the worker is late.
func (l *loop) open(w *worker, lo, hi uint64, op operation) error {
	for i := lo; i < hi; i++ {
		intended := l.first + time.Duration(i-lo)*l.interval
		if l.deadline != 0 && intended >= l.deadline {
			return nil
		}
		if (i-lo)%checkEvery == checkEvery-1 { // one that is behind does not wait below
			if err := l.ctx.Err(); err != nil {
				return err
			}
		}
		for now := clock(); now < intended; now = clock() {
			if err := l.ctx.Err(); err != nil {
				return err
			}
			if wait := intended - now; wait > l.spin {
				time.Sleep(min(wait-l.spin, 50*time.Millisecond))
			} else {
				runtime.Gosched()
			}
		}
		k, err := op(i)
		if err != nil {
			return err
		}
		now := clock()
		w.count(k, now-intended)
		w.ops.Store(w.ops.Load() + l.pace.weight)
		if l.deadline != 0 && now >= l.deadline+maxBehind {
			w.late = i+1 < hi && intended+l.interval < l.deadline
			return nil
		}
	}
	return nil
}

// maxBehind is how long after its limit an open loop may still catch up.
const maxBehind = 2 * time.Second

func (w *worker) count(k kind, d time.Duration) {
	if w.hists[k] == nil {
		w.hists[k] = &hdr.Histogram{}
	}
	w.hists[k].Add(d)
}

// each runs pace.total operations, divided among the goroutines; newOp makes a worker's
// operation, which is given each i of the worker's share of [0, total), in order.
func (r *run) each(pace pacing, newOp func(w *worker) (operation, error)) error {
	if pace.weight = max(pace.weight, 1); pace.uncounted {
		pace.weight = 0
	}
	g := int(min(uint64(r.Goroutines), max(pace.total, 1)))
	ops := make([]operation, g)
	workers := make([]*worker, g)
	for i := range workers {
		w, err := r.newWorker(i)
		if err != nil {
			return err
		}
		if ops[i], err = newOp(w); err != nil {
			return err
		}
		workers[i] = w
	}
	if r.warm > 0 {
		warm := pace
		warm.limit, warm.sample = r.warm, 0
		if err := r.pass(warm, workers, ops, 0); err != nil {
			return err
		}
		for _, w := range workers {
			w.ops.Store(0)
			w.written, w.read = 0, 0
		}
	}
	r.begin(workers)
	err := r.pass(pace, workers, ops, r.Rate)
	r.end(workers)
	return err
}

// pass runs every worker's loop once.
func (r *run) pass(pace pacing, workers []*worker, ops []operation, rate float64) error {
	start := clock()
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		l := loop{ctx: r.ctx, pace: pace, spin: spin}
		if pace.limit > 0 {
			l.deadline = start + pace.limit
		}
		lo, hi := share(pace.total, len(workers), i)
		if rate > 0 {
			l.interval = time.Duration(float64(len(workers)) / rate * float64(time.Second))
			l.first = start + l.interval*time.Duration(i)/time.Duration(len(workers))
			wg.Go(func() { errs[i] = l.open(w, lo, hi, ops[i]) })
		} else {
			wg.Go(func() { errs[i] = l.closed(w, lo, hi, ops[i]) })
		}
	}
	wg.Wait()
	return firstError(errs)
}

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
