package fuzz

import (
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Recording is a history that was played on a file system which logged every operation.
type Recording struct {
	Setup  Setup
	Mem    *vfs.Mem
	Ledger *Ledger
	Reached
}

// Reached says what a history got to.
type Reached struct {
	Stats
	Operations int   // changes of the file system
	Rolls      int64 // manifest files begun after the first
	Recycles   int64 // segments of the log that took over a file of an earlier one
	Tables     int64 // table files made
	Blobs      int64 // blob files made
}

// Record plays a history. An error is a failure of the store: nothing was injected.
func Record(setup Setup, shape Shape) (*Recording, error) {
	r := &Recording{Setup: setup, Mem: vfs.NewCrashMem(), Ledger: NewLedger()}
	seen := &census{FS: r.Mem}
	p := &Player{Setup: setup, FS: seen, Ops: r.Mem.Ops, Ledger: r.Ledger}
	if err := p.Play(NewHistory(setup.Seed, shape)); err != nil {
		return nil, fmt.Errorf("seed %d, %s: %w", setup.Seed, modeName(setup.Mode), err)
	}
	r.Reached = Reached{
		Stats: p.Stats(), Operations: r.Mem.Ops(), Tables: seen.tables.Load(), Blobs: seen.blobs.Load(),
		Rolls: seen.manifests.Load() - 1, Recycles: seen.segments.Load() - seen.slots.Load(),
	}
	return r, nil
}

func modeName(m lsm.LogMode) string {
	return map[lsm.LogMode]string{lsm.LogAuto: "auto", lsm.LogMapped: "mapped", lsm.LogWritten: "written"}[m]
}

// Explored says how much an exploration has tried and what failed.
type Explored struct {
	// Points are operations at which the power was cut, States the distinct contents
	// that were opened, each with what it had to hold.
	Points, States int
	// Failed is the number of states that failed, Failures the first of them.
	Failed   int
	Failures []error
}

// maxFailures bounds Failures. An exploration ends after so many.
const maxFailures = 10

// Add adds what another exploration has found.
func (x *Explored) Add(y Explored) {
	x.Points += y.Points
	x.States += y.States
	x.Failed += y.Failed
	x.Failures = append(x.Failures, y.Failures[:min(len(y.Failures), maxFailures-len(x.Failures))]...)
}

// Err returns nil when nothing failed.
func (x *Explored) Err() error {
	if x.Failed == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d failed, such as: %w", x.Failed, x.States, errors.Join(x.Failures...))
}

// Cuts bounds an exploration. The zero value is the least that reaches every kind of
// state; StateOptions.Expect is not used.
type Cuts struct {
	vfs.StateOptions
	// Every explores only each so many-th point; 0 and 1 mean all.
	Every int
	// Limit ends the exploration after so many states; 0 means that there is no limit.
	Limit int
}

// points yields the points of an explorer from the given one on.
func (c Cuts) points(e *vfs.Explorer, from int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for k := from; k <= e.Len(); k += max(c.Every, 1) {
			if e.AdvanceTo(k); !yield(k) {
				return
			}
		}
	}
}

// demand is a state and the number of batches that it must hold at least.
type demand struct {
	state   vfs.State
	atLeast int
}

// cuts yields what power cuts leave of a history, with what was promised as synced.
func cuts(mem *vfs.Mem, l *Ledger, c Cuts, from int, points *int) iter.Seq[demand] {
	return func(yield func(demand) bool) {
		e := mem.Explore()
		for k := range c.points(e, from) {
			*points++
			synced, _ := l.Promised(k)
			o := c.StateOptions
			o.Expect = uint64(synced) + 1
			for s := range e.States(o) {
				if !yield(demand{s, synced}) {
					return
				}
			}
		}
	}
}

// CutEverywhere opens what a power cut may leave at each operation of the history: the
// store must open, and hold a prefix of the history with everything that was promised
// as synced.
func (r *Recording) CutEverywhere(c Cuts) Explored {
	var x Explored
	states := cuts(r.Mem, r.Ledger, c, 0, &x.Points)
	r.explore(&x, states, c.Limit, func(d demand) error {
		_, err := r.reopen(d.state.Mem(), d.atLeast)
		return err
	})
	return x
}

// KillEverywhere opens what a killed process leaves at each operation of the history:
// all that was written. The store must hold everything acknowledged in any way.
func (r *Recording) KillEverywhere(c Cuts) Explored {
	var x Explored
	r.explore(&x, r.kills(c, &x.Points), c.Limit, func(d demand) error {
		_, err := r.reopen(d.state.Mem(), d.atLeast)
		return err
	})
	return x
}

// kills yields what a killed process leaves, with what was acknowledged.
func (r *Recording) kills(c Cuts, points *int) iter.Seq[demand] {
	return func(yield func(demand) bool) {
		e := r.Mem.Explore()
		for k := range c.points(e, 0) {
			*points++
			_, acked := r.Ledger.Promised(k)
			if !yield(demand{e.Live(), acked}) {
				return
			}
		}
	}
}

// reopen opens a store on files left by a crash, compares it with the ledger and closes
// it. It returns the number of batches there.
func (r *Recording) reopen(fs vfs.FS, atLeast int) (int, error) {
	return reopen(r.Setup, fs, r.Ledger, atLeast)
}

func reopen(setup Setup, fs vfs.FS, l *Ledger, atLeast int) (int, error) {
	db, err := lsm.Open(Dir, setup.Options(fs))
	if err != nil {
		return 0, err
	}
	n, err := l.Check(db, atLeast)
	if cerr := db.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close: %w", cerr)
	}
	return n, err
}

// workers is how many stores are tried at a time: two for each processor, since each now and
// then waits for its work in the background, and after many faults for a tenth of a second
// before that is tried again. More would cost more than they gain.
func workers() int { return 2 * runtime.GOMAXPROCS(0) }

// explore runs check on every state, many at a time, and counts.
func (r *Recording) explore(x *Explored, states iter.Seq[demand], limit int, check func(demand) error) {
	var mu sync.Mutex // guards x.Failed and x.Failures
	work := make(chan demand, 64)
	var wg sync.WaitGroup
	for range workers() {
		wg.Go(func() {
			for d := range work {
				if err := check(d); err != nil {
					mu.Lock()
					x.fail(r.describe(d, err))
					mu.Unlock()
				}
			}
		})
	}
	for d := range states {
		if x.States++; limit > 0 && x.States > limit || x.hopeless(&mu) {
			x.States--
			break
		}
		work <- d
	}
	close(work)
	wg.Wait()
}

// hopeless reports whether so much has failed that nobody needs to know of more. mu guards
// what has failed.
func (x *Explored) hopeless(mu *sync.Mutex) bool {
	mu.Lock()
	defer mu.Unlock()
	return x.Failed >= maxFailures
}

func (x *Explored) fail(err error) {
	if x.Failed++; len(x.Failures) < maxFailures {
		x.Failures = append(x.Failures, err)
	}
}

func (r *Recording) describe(d demand, err error) error {
	return fmt.Errorf("seed %d, %s, %s: %w", r.Setup.Seed, modeName(r.Setup.Mode), d.state, err)
}
