package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// params are what the workloads are run with.
type params struct {
	n          int // keys
	keyLen     int // bytes
	valueLen   int // bytes
	seed       uint64
	goroutines int
	limit      time.Duration // of a workload that need not go through every key
	rest       time.Duration // of a store that was written and is kept
}

// workload is one row of the table.
type workload struct {
	name string
	doc  string
	// filled: it runs on the store that holds every key, otherwise on an empty one.
	filled bool
	// fills: afterwards the store holds every key and can serve the filled ones.
	fills bool
	// deletes: afterwards the filled store must be made anew.
	deletes bool
	// writes: it has a settled figure and a write amplification.
	writes bool
	// stirs: it writes, although its figures are of reads.
	stirs bool
	run   func(*run) error
}

// workloads are all workloads, in the order they are run and shown: those on an empty
// store first, and those that read what fillrandom and overwrite have left.
var workloads = append(append([]workload{}, fillWorkloads...), readWorkloads...)

// chooseWorkloads resolves a comma-separated list of names, "all" meaning every one.
// They run in the table's order, whatever the list's.
func chooseWorkloads(list string) ([]workload, error) {
	if list == "all" {
		return workloads, nil
	}
	wanted := map[string]bool{}
	for _, name := range strings.Split(list, ",") {
		wanted[name] = true
	}
	var chosen []workload
	for _, w := range workloads {
		if wanted[w.name] {
			chosen = append(chosen, w)
			delete(wanted, w.name)
		}
	}
	for name := range wanted {
		return nil, fmt.Errorf("workload %q is unknown; lsmbench help lists them", name)
	}
	return chosen, nil
}

// run is one execution of one workload on one store.
type run struct {
	ctx    context.Context
	p      params
	store  Store
	keys   keyspace
	values *values

	ops      int // done
	bytes    int64
	elapsed  time.Duration
	hist     histogram
	progress *atomic.Int64 // operations done so far, for the live line
}

// worker is one goroutine of a run.
type worker struct {
	Session
	id       int
	rng      *rand.Rand
	values   *values
	key      []byte
	dst      []byte
	hist     histogram
	done     int
	bytes    int64
	deadline time.Duration // since clockStart; 0 is none
	chained  bool
	mask     int
}

// clockStart is the origin of clock.
var clockStart = time.Now()

// clock is the time since the process started, read from the monotonic clock alone:
// half the price of time.Now.
func clock() time.Duration { return time.Since(clockStart) }

// pacing says how a loop of operations is timed and when it ends.
type pacing struct {
	total   int  // operations, over all goroutines
	limited bool // ends at params.limit too
	// sample: every sample-th operation is timed, by two clock readings; it must be a
	// power of two. With 1 every operation is, by one reading, from the end of the one
	// before, so that a stall cannot fall between samples.
	sample int
}

// each runs op pace.total times, divided among the goroutines; newOp makes a worker's
// operation, which is given each i of the worker's share of [0, total), in order.
func (r *run) each(pace pacing, newOp func(w *worker) func(i int) error) error {
	g := min(r.p.goroutines, max(pace.total, 1))
	workers := make([]*worker, g)
	ops := make([]func(int) error, g)
	for i := range workers {
		workers[i] = r.newWorker(i)
		workers[i].mask, workers[i].chained = pace.sample-1, pace.sample == 1
		ops[i] = newOp(workers[i])
	}
	start := clock()
	errs := make([]error, g)
	var wg sync.WaitGroup
	for i, w := range workers {
		if pace.limited {
			w.deadline = start + r.p.limit
		}
		lo, hi := share(pace.total, g, i)
		if g == 1 {
			errs[i] = w.loop(r, lo, hi, ops[i])
			continue
		}
		wg.Go(func() { errs[i] = w.loop(r, lo, hi, ops[i]) })
	}
	wg.Wait()
	r.elapsed = clock() - start
	for _, w := range workers {
		r.ops += w.done
		r.bytes += w.bytes
		r.hist.merge(&w.hist)
	}
	return firstError(errs)
}

func (r *run) newWorker(id int) *worker {
	return &worker{
		Session: r.store.NewSession(),
		id:      id,
		rng:     rand.New(rand.NewPCG(r.p.seed, uint64(id)+1)),
		values:  r.values.fork(id),
		key:     make([]byte, r.p.keyLen),
		dst:     make([]byte, 0, r.p.valueLen+64),
	}
}

// share returns the part of [0, total) that worker i of g does.
func share(total, g, i int) (lo, hi int) {
	at := func(i int) int { return int(int64(total) * int64(i) / int64(g)) }
	return at(i), at(i + 1)
}

func (w *worker) loop(r *run, lo, hi int, op func(i int) error) error {
	const checkEvery = 64 // operations between looks at the deadline
	last := clock()
	for i := lo; i < hi; i++ {
		if (i-lo)%checkEvery == checkEvery-1 {
			r.progress.Add(checkEvery)
			if err := r.ctx.Err(); err != nil {
				return err
			}
			if w.deadline != 0 && clock() >= w.deadline {
				break
			}
		}
		timed := !w.chained && i&w.mask == 0
		if timed {
			last = clock()
		}
		if err := op(i); err != nil {
			return err
		}
		if timed || w.chained {
			now := clock()
			w.hist.add(now - last)
			last = now
		}
		w.done++
	}
	return nil
}

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
