package fuzz

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync"
	"syscall"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Faulty is a kind of sweep: which calls go wrong, and how.
type Faulty struct {
	// Kinds and Glob choose the calls, as in vfs.Rule.
	Kinds vfs.OpKind
	Glob  string
	// Effects are tried in turn from call to call, once and for ever in turn, and with
	// Fail and FailAfter the errors of vfs.FaultErrors in turn: one run for each call.
	Effects []vfs.Effect
	// Product instead makes a run for each call with each effect, each error, once and
	// for ever.
	Product bool
	// Every makes only each so many-th call go wrong; 0 and 1 mean each.
	Every int
	// Limit ends the sweep after so many runs; 0 means no limit.
	Limit int
}

// The sweeps.
var (
	// EveryError fails every call with every error, once and for ever.
	EveryError = Faulty{Kinds: vfs.OpAll &^ vfs.OpClose, Effects: []vfs.Effect{vfs.Fail}, Product: true}
	// AnyCall fails every call in one way, which changes from call to call.
	AnyCall = Faulty{Kinds: vfs.OpAll &^ vfs.OpClose, Effects: []vfs.Effect{vfs.Fail, vfs.Short, vfs.FailAfter}}
	// AnySync fails every sync, and drops what it was for.
	AnySync = Faulty{Kinds: vfs.OpSync | vfs.OpSyncDir, Effects: []vfs.Effect{vfs.Drop, vfs.Fail, vfs.FailAfter}}
	// AnyRead fails every read. Bits are flipped in tables only: in the log's tail, a
	// flipped bit is what a torn write looks like.
	AnyRead = Faulty{Kinds: vfs.OpReads, Effects: []vfs.Effect{vfs.Fail, vfs.Short}}
	// AnyFlip flips a bit in every read of a table.
	AnyFlip = Faulty{Kinds: vfs.OpReads, Glob: "*.sst", Effects: []vfs.Effect{vfs.Flip}}
)

// SweepFaults plays the history once to count the calls, then again for each call with
// that one going wrong, as f says. Every step must succeed, or fail with
// an error that says what failed; no answer may be wrong; and a store opened afterwards
// on the same files must hold what was promised: everything acknowledged when the
// process is killed, what was acknowledged as synced when the power is cut. No goroutine
// of a store may be left at the end, so nothing else may run in the process meanwhile.
//
// Explored.Points counts the faults that were met, States the runs.
func SweepFaults(setup Setup, shape Shape, f Faulty) (Explored, error) {
	goroutines := runtime.NumGoroutine()
	steps := NewHistory(setup.Seed, shape)
	counter := vfs.NewFaults(vfs.NewMem())
	p := &Player{Setup: setup, FS: counter, Ledger: NewLedger()}
	if err := p.Play(steps); err != nil {
		return Explored{}, err
	}
	return f.sweep(setup, counter, goroutines, func(r vfs.Rule) (bool, error) { return runFaulty(setup, steps, r) }), nil
}

// sweep plays a history again for each of the calls that counter has seen. goroutines is how
// many there were before the first time.
func (f Faulty) sweep(setup Setup, counter *vfs.Faults, goroutines int, run func(vfs.Rule) (met bool, err error)) Explored {
	calls := counter.Count(f.Kinds, f.Glob)
	var x Explored
	sweep(&x, f.rules(calls), func(r vfs.Rule) (met bool, err error) {
		met, err = run(r)
		if err != nil {
			err = fmt.Errorf("seed %d, %s, %s call %d of %d, %s, for ever %v, %v: %w",
				setup.Seed, modeName(setup.Mode), r.Kinds, r.Skip, calls, effectName(r.Effect), r.Forever, r.Err, err)
		}
		return met, err
	})
	if err := noneLeft(goroutines); err != nil {
		x.fail(fmt.Errorf("seed %d, %s: %w", setup.Seed, modeName(setup.Mode), err))
	}
	return x
}

// patience is how often noneLeft lets others run. A goroutine that has been waited for
// may have its last instructions to run, and a busy machine may be late with them.
const patience = 5_000_000

// noneLeft reports goroutines beyond those that were there before.
func noneLeft(before int) error {
	for range patience {
		if runtime.NumGoroutine() <= before {
			return nil
		}
		runtime.Gosched()
	}
	stacks := make([]byte, 64<<10)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return fmt.Errorf("%w: %d goroutines instead of %d:\n%s", ErrWrong, runtime.NumGoroutine(), before, stacks)
}

// rules yields the rules for each call that shall go wrong.
func (f Faulty) rules(calls int) iter.Seq[vfs.Rule] {
	return func(yield func(vfs.Rule) bool) {
		runs := 0
		for i, n := 0, 0; n < calls; i, n = i+1, n+max(f.Every, 1) {
			ways := []vfs.Rule{f.inTurn(i)}
			if f.Product {
				ways = f.product()
			}
			for _, r := range ways {
				r.Kinds, r.Glob, r.Skip, r.Bit = f.Kinds, f.Glob, n, 7*i
				if f.Limit > 0 && runs >= f.Limit || !yield(r) {
					return
				}
				runs++
			}
		}
	}
}

// inTurn is the way in which the i-th call goes wrong.
func (f Faulty) inTurn(i int) vfs.Rule {
	r := vfs.Rule{Forever: i%2 == 1, Effect: f.Effects[i/2%len(f.Effects)]}
	if errs := vfs.FaultErrors(); r.Effect == vfs.Fail || r.Effect == vfs.FailAfter {
		r.Err = errs[i%len(errs)]
	}
	return r
}

// product is every way in which a call can go wrong.
func (f Faulty) product() (ways []vfs.Rule) {
	for _, effect := range f.Effects {
		for _, err := range vfs.FaultErrors() {
			for _, forever := range []bool{false, true} {
				ways = append(ways, vfs.Rule{Effect: effect, Err: err, Forever: forever})
			}
		}
	}
	return ways
}

func effectName(e vfs.Effect) string {
	return [...]string{"fail", "fail after", "short", "flip", "drop", "gone"}[e]
}

// sweep runs the rules, many at a time, and counts.
func sweep(x *Explored, rules iter.Seq[vfs.Rule], run func(vfs.Rule) (bool, error)) {
	var mu sync.Mutex // guards x
	work := make(chan vfs.Rule)
	var wg sync.WaitGroup
	for range workers() {
		wg.Go(func() {
			for r := range work {
				met, err := run(r)
				mu.Lock()
				x.States++
				if met {
					x.Points++
				}
				if err != nil {
					x.fail(err)
				}
				mu.Unlock()
			}
		})
	}
	for r := range rules {
		if x.hopeless(&mu) {
			break
		}
		work <- r
	}
	close(work)
	wg.Wait()
}

// runFaulty plays the steps under one rule and judges what comes of it.
func runFaulty(setup Setup, steps []Step, r vfs.Rule) (met bool, err error) {
	mem := vfs.NewCrashMem()
	faults := vfs.NewFaults(mem, r)
	p := &Player{
		Setup: setup, FS: faults, Ops: mem.Ops, Ledger: NewLedger(), LosesCache: r.Effect == vfs.Drop,
	}
	if err := p.PlayThrough(steps); err != nil && !errors.Is(err, errEnded) {
		p.Abandon()
		return true, err
	}
	p.Abandon()
	met = len(faults.Fired()) > 0
	synced, acked := p.Ledger.Promised(mem.Ops())
	if r.Effect == vfs.Drop {
		acked = synced // what the failed sync dropped is gone from the page cache too
	}
	if _, err := reopen(setup, mem.Copy(), p.Ledger, acked); err != nil {
		return met, fmt.Errorf("after a kill: %w", err)
	}
	if _, err := reopen(setup, mem.CrashCopy(), p.Ledger, synced); err != nil {
		return met, fmt.Errorf("after a power cut: %w", err)
	}
	return met, nil
}

// PlayThrough plays the steps as far as the store goes on, whatever fails. The error is
// a wrong answer, an acknowledgement after the store said that it would give none, or
// an error without a type.
func (p *Player) PlayThrough(steps []Step) error {
	if err := p.openTyped(); err != nil || p.DB == nil {
		return err
	}
	poisoned := false
	for i, s := range steps {
		if poisoned && s.Kind == Apply {
			if p.DB.Set([]byte("probe"), nil, lsm.NoSync) == nil {
				return fmt.Errorf("%w: step %d: a store that had failed acknowledged a write", ErrWrong, i)
			}
			continue
		}
		err := p.Do(s)
		switch {
		case err == nil:
			poisoned = poisoned && s.Kind != Reopen
			continue
		case errors.Is(err, ErrWrong), errors.Is(err, ErrLost), errors.Is(err, errEnded):
			return fmt.Errorf("step %d, %s: %w", i, s.Kind, err)
		case !typed(err):
			return fmt.Errorf("%w: step %d, %s: no type in: %w", ErrWrong, i, s.Kind, err)
		}
		switch {
		case errors.Is(err, lsm.ErrPoisoned):
			poisoned = true
		case s.Kind == Apply:
			p.Ledger.Withdraw() // refused: it must not be there
		}
		if p.DB == nil {
			if err := p.openTyped(); err != nil || p.DB == nil {
				return err
			}
			poisoned = false
		}
	}
	return nil
}

// openTyped opens the store, trying again a few times. Without an error the store is
// open, or could not be opened for a reason that has a type.
func (p *Player) openTyped() error {
	for range 3 {
		err := p.Open()
		if err == nil {
			err = p.checkReopened()
			if errors.Is(err, ErrWrong) || errors.Is(err, ErrLost) || errors.Is(err, errEnded) {
				return fmt.Errorf("after opening: %w", err)
			}
			return nil
		}
		if !typed(err) {
			return fmt.Errorf("%w: open: no type in: %w", ErrWrong, err)
		}
	}
	return nil
}

// typed reports whether a caller can tell what the error is: one of the engine's, or
// the very one that was injected.
func typed(err error) bool {
	var injected *vfs.Injected
	if errors.As(err, &injected) {
		return true
	}
	for _, known := range []error{
		lsm.ErrCorrupt, lsm.ErrPoisoned, lsm.ErrNoSpace, lsm.ErrClosed, lsm.ErrLocked, lsm.ErrTooNew,
		lsm.ErrInUse, syscall.EIO, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// FillAndFree lets the device be full and have space again, rounds times: while it is
// full, reads must go on and writes fail as lack of space or succeed; with space again,
// writes must succeed without reopening, and nothing may be lost.
func FillAndFree(setup Setup, rounds int) (Explored, error) {
	mem := vfs.NewMem()
	faults := vfs.NewFaults(mem)
	p := &Player{Setup: setup, FS: faults, Ledger: NewLedger()}
	if err := p.Open(); err != nil {
		return Explored{}, err
	}
	steps := NewHistory(setup.Seed, Shape{Batches: 30 * rounds, SyncOneIn: 4, FlushEvery: 10})
	var x Explored
	for round := range rounds {
		x.States++
		if err := p.fillRound(faults, steps[30*round:30*round+30], &x); err != nil {
			x.fail(fmt.Errorf("seed %d, round %d: %w", setup.Seed, round, err))
			break
		}
	}
	return x, p.Close()
}

func (p *Player) fillRound(faults *vfs.Faults, steps []Step, x *Explored) error {
	faults.Add(vfs.Rule{
		Kinds: vfs.OpWrite | vfs.OpCreate | vfs.OpPreallocate, When: growing, Forever: true, Err: syscall.ENOSPC,
	})
	for i, s := range steps {
		if i == len(steps)/2 {
			faults.Clear()
		}
		err := p.Do(s)
		full := i < len(steps)/2
		switch {
		case err == nil:
		case full && errors.Is(err, lsm.ErrNoSpace) && !errors.Is(err, lsm.ErrPoisoned):
			x.Points++
			if s.Kind == Apply {
				p.Ledger.Withdraw()
			}
		default:
			return fmt.Errorf("step %d, full %v: %w", i, full, err)
		}
	}
	_, err := p.Ledger.Check(p.DB, p.Ledger.Issued())
	return err
}

// growing reports whether a call asks for space. The log's segments have theirs: they
// were written before they are used.
func growing(c vfs.Call) bool {
	return c.Kind != vfs.OpWrite || !isSlot(lastElement(c.Path))
}

func lastElement(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}
