package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// CopyDir is the directory of checkpoints.
const CopyDir = "copy"

// Copying is a history with a checkpoint in its middle, which is made while the batches
// after it are committed.
type Copying struct {
	Recording
	begin, end int // file operations before the call, and at its return
	batches    int // what the checkpoint holds
}

// noLinks makes links impossible, so that tables are copied.
var noLinks = vfs.Rule{Kinds: vfs.OpLink, Err: syscall.EXDEV, Forever: true}

// linking is a file system with links, or one without.
func linking(mem *vfs.Mem, linked bool) *vfs.Faults {
	if linked {
		return vfs.NewFaults(mem)
	}
	return vfs.NewFaults(mem, noLinks)
}

// RecordCheckpoint plays a history, which must not reopen the store, with a checkpoint.
func RecordCheckpoint(setup Setup, shape Shape, linked bool) (*Copying, error) {
	c := &Copying{Recording: Recording{Setup: setup, Mem: vfs.NewCrashMem(), Ledger: NewLedger()}}
	if err := c.play(NewHistory(setup.Seed, shape), linked); err != nil {
		return nil, fmt.Errorf("seed %d, %s: %w", setup.Seed, modeName(setup.Mode), err)
	}
	return c, nil
}

func (c *Copying) play(steps []Step, linked bool) error {
	p := &Player{Setup: c.Setup, FS: linking(c.Mem, linked), Ops: c.Mem.Ops, Ledger: c.Ledger}
	if err := p.Open(); err != nil {
		return err
	}
	defer p.Abandon()
	half := len(steps) / 2
	for _, s := range steps[:half] {
		if err := p.Do(s); err != nil {
			return err
		}
	}
	atLeast := c.Ledger.Acknowledged()
	c.begin = c.Mem.Ops()
	done := make(chan error, 1)
	go func() { done <- p.DB.Checkpoint(context.Background(), CopyDir) }()
	atMost := 0
	for i, s := range steps[half:] {
		if err := p.Do(s); err != nil {
			return err
		}
		select {
		case err := <-done:
			if err != nil {
				return err
			}
			c.end, atMost = c.Mem.Ops(), c.Ledger.Issued()
			done = nil
		default:
		}
		if i == len(steps)-half-1 && done != nil {
			if err := <-done; err != nil {
				return err
			}
			c.end, atMost = c.Mem.Ops(), c.Ledger.Issued()
		}
	}
	var err error
	c.batches, err = openCopy(c.Setup, c.Mem.Copy(), c.Ledger, atLeast)
	if err == nil && c.batches > atMost {
		err = fmt.Errorf("%w: a checkpoint holds %d batches, of which %d were issued", ErrWrong, c.batches, atMost)
	}
	return err
}

// openCopy opens the checkpoint on fs, compares it with the ledger, has it verify itself,
// and closes it.
func openCopy(setup Setup, fs vfs.FS, l *Ledger, atLeast int) (int, error) {
	o := setup.Options(fs)
	o.MustExist = true
	db, err := lsm.Open(CopyDir, o)
	if err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	n, err := l.Check(db, atLeast)
	if err == nil {
		err = db.Verify(context.Background())
	}
	if err = errors.Join(err, db.Close()); err != nil {
		err = fmt.Errorf("checkpoint: %w", err)
	}
	return n, err
}

// CutCheckpoint opens what a power cut may leave at each operation from the call of
// Checkpoint on. The store must hold what was promised. When Checkpoint had returned, the
// checkpoint must be there; before, it must be there or not at all, and then another call
// must make it.
func (c *Copying) CutCheckpoint(o Cuts) Explored {
	var x Explored
	states := func(yield func(demand) bool) {
		e := c.Mem.Explore()
		for k := range o.points(e, c.begin) {
			x.Points++
			synced, _ := c.Ledger.Promised(k)
			so := o.StateOptions
			so.Expect = uint64(synced) + 1
			if k >= c.end {
				so.Expect += 1 << 32
			}
			for s := range e.States(so) {
				if !yield(demand{s, synced}) {
					return
				}
			}
		}
	}
	c.explore(&x, states, o.Limit, func(d demand) error { return c.judge(d.state.Mem(), d.atLeast, d.state.Point() >= c.end) })
	return x
}

// judge judges one state.
func (c *Copying) judge(mem *vfs.Mem, atLeast int, finished bool) error {
	n, err := openCopy(c.Setup, mem, c.Ledger, c.batches)
	switch {
	case err == nil && n != c.batches:
		return fmt.Errorf("%w: the checkpoint holds %d batches instead of %d", ErrWrong, n, c.batches)
	case err != nil && (finished || !errors.Is(err, lsm.ErrNotExist)):
		return err
	}
	again := err != nil
	db, err := lsm.Open(Dir, c.Setup.Options(mem))
	if err != nil {
		return err
	}
	n, err = c.Ledger.Check(db, atLeast)
	if err == nil && again {
		err = copyAgain(c.Setup, db, mem, c.Ledger, n)
	}
	return errors.Join(err, db.Close())
}

// copyAgain makes the checkpoint that is not there.
func copyAgain(setup Setup, db *lsm.DB, fs vfs.FS, l *Ledger, batches int) error {
	if err := db.Checkpoint(context.Background(), CopyDir); err != nil {
		return fmt.Errorf("once more: %w", err)
	}
	n, err := openCopy(setup, fs, l, batches)
	if err == nil && n != batches {
		err = fmt.Errorf("%w: the second checkpoint holds %d batches instead of %d", ErrWrong, n, batches)
	}
	return err
}

// KillCheckpoint kills the process at each call to the file system that Checkpoint makes in
// its directory. Where the checkpoint can be opened then, it is, and a batch is committed to
// it; then the power is cut at every operation since: that batch must be there.
func KillCheckpoint(setup Setup, shape Shape, linked bool, o Cuts) (x Explored, err error) {
	var mu sync.Mutex // guards what follows
	next, done := 0, false
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				mu.Lock()
				n, stop := next, done || err != nil
				next++
				mu.Unlock()
				if stop {
					return
				}
				y, over, kerr := killCheckpoint(setup, NewHistory(setup.Seed, shape), linked, n, o)
				mu.Lock()
				if x.Add(y); kerr != nil {
					err = fmt.Errorf("seed %d, killed at call %d: %w", setup.Seed, n, kerr)
				}
				done = done || over
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return x, err
}

func killCheckpoint(setup Setup, steps []Step, linked bool, n int, o Cuts) (x Explored, over bool, err error) {
	mem := vfs.NewCrashMem()
	faults := linking(mem, linked)
	p := &Player{Setup: setup, FS: faults, Ops: mem.Ops, Ledger: NewLedger()}
	if err := p.Play(steps); err != nil {
		return x, false, err
	}
	if err := p.Open(); err != nil {
		return x, false, err
	}
	left, killed := n, false
	faults.Add(vfs.Rule{Effect: vfs.Gone, Forever: true, When: func(c vfs.Call) bool {
		if !killed && inCopy(c) {
			killed = left == 0
			left--
		}
		return killed
	}})
	over = p.DB.Checkpoint(context.Background(), CopyDir) == nil
	p.Abandon()
	mem.Kill()
	batches, err := openCopy(setup, mem.Copy(), p.Ledger, p.Ledger.Issued())
	if errors.Is(err, lsm.ErrNotExist) && !over {
		return x, over, nil
	}
	if err != nil {
		return x, over, err
	}
	x, err = writeOnCopy(setup, mem, p.Ledger, batches, o)
	return x, over, err
}

func inCopy(c vfs.Call) bool {
	return strings.HasPrefix(c.Path, CopyDir) || strings.HasPrefix(c.To, CopyDir)
}

// writeOnCopy opens a checkpoint, commits to it, and cuts the power.
func writeOnCopy(setup Setup, mem *vfs.Mem, l *Ledger, batches int, o Cuts) (x Explored, err error) {
	begin := mem.Ops()
	opts := setup.Options(mem)
	opts.MustExist = true
	db, err := lsm.Open(CopyDir, opts)
	if err != nil {
		return x, err
	}
	live, err := dump(db)
	if err != nil {
		return x, errors.Join(err, db.Close())
	}
	next := l.Resume(batches, live)
	next.acks = nil // what is there is promised only by a commit on it
	n, ops := next.Issue(nil)
	err = db.Set([]byte(ops[0].Key), []byte(ops[0].Value), nil)
	next.Acknowledge(n, mem.Ops(), true)
	if err = errors.Join(err, db.Close()); err != nil {
		return x, err
	}
	r := Recording{Setup: setup}
	r.explore(&x, cuts(mem, next, o, begin, &x.Points), 0, func(d demand) error {
		_, err := openCopy(setup, d.state.Mem(), next, d.atLeast)
		if err != nil && !(d.atLeast == 0 && errors.Is(err, lsm.ErrNotExist)) {
			return fmt.Errorf("written on: %w", err)
		}
		return nil
	})
	return x, nil
}

// CutFailedCheckpoint makes each call fail that changes something in the checkpoint's
// directory, once or for ever, so that Checkpoint fails and clears up, as far as it can. Then
// the power is cut at every operation since: what is left must be as CutCheckpoint
// demands.
func CutFailedCheckpoint(setup Setup, shape Shape, linked bool, o Cuts) (x Explored, err error) {
	steps := NewHistory(setup.Seed, shape)
	for n, met := 0, true; met; n++ {
		for _, forever := range []bool{false, true} {
			mem, p, err := beforeCheckpoint(setup, steps, linked)
			if err != nil {
				return x, err
			}
			c := Copying{Recording: Recording{Setup: setup, Mem: mem, Ledger: p.Ledger}, end: math.MaxInt}
			left := n
			p.FS.(*vfs.Faults).Add(vfs.Rule{Kinds: vfs.OpWrites &^ vfs.OpLock, Forever: forever, When: func(call vfs.Call) bool {
				if !inCopy(call) {
					return false
				}
				if left--; left == -1 {
					c.begin = mem.Ops()
				}
				return left < 0
			}})
			if err := p.DB.Checkpoint(context.Background(), CopyDir); err == nil {
				c.end = mem.Ops() // what failed did not matter
			}
			met = left < 0
			p.Abandon()
			c.batches = c.Ledger.Issued()
			x.Add(c.CutCheckpoint(o))
		}
	}
	return x, nil
}

// SweepCheckpoint makes each call to the file system go wrong that is made while a
// checkpoint is, as f says. Checkpoint must succeed, and the checkpoint then be there, after
// a power cut too, or fail with an error that has a type; then there is none, or a whole
// one, and another call makes it. The store itself loses nothing.
func SweepCheckpoint(setup Setup, shape Shape, f Faulty, linked bool) (Explored, error) {
	steps := NewHistory(setup.Seed, shape)
	counter, p, err := beforeCheckpoint(setup, steps, linked)
	if err != nil {
		return Explored{}, err
	}
	faults := p.FS.(*vfs.Faults)
	before := faults.Count(f.Kinds, f.Glob)
	if err := p.DB.Checkpoint(context.Background(), CopyDir); err != nil {
		return Explored{}, err
	}
	calls := faults.Count(f.Kinds, f.Glob) - before
	p.Abandon()
	counter.Kill()
	var x Explored
	sweep(&x, f.rules(calls), func(r vfs.Rule) (met bool, err error) {
		met, err = faultyCheckpoint(setup, steps, linked, r)
		if err != nil {
			err = fmt.Errorf("seed %d, %s, linked %v, %s call %d of %d, %s, for ever %v, %v: %w",
				setup.Seed, modeName(setup.Mode), linked, r.Kinds, r.Skip, calls, effectName(r.Effect), r.Forever, r.Err, err)
		}
		return met, err
	})
	return x, nil
}

// beforeCheckpoint plays a history to its end and leaves the store open.
func beforeCheckpoint(setup Setup, steps []Step, linked bool) (*vfs.Mem, *Player, error) {
	mem := vfs.NewCrashMem()
	p := &Player{Setup: setup, FS: linking(mem, linked), Ops: mem.Ops, Ledger: NewLedger()}
	if err := p.Open(); err != nil {
		return nil, nil, err
	}
	for _, s := range steps {
		if err := p.Do(s); err != nil {
			p.Abandon()
			return nil, nil, err
		}
	}
	return mem, p, nil
}

// faultyCheckpoint makes a checkpoint under one rule and judges what comes of it.
func faultyCheckpoint(setup Setup, steps []Step, linked bool, r vfs.Rule) (met bool, err error) {
	mem, p, err := beforeCheckpoint(setup, steps, linked)
	if err != nil {
		return false, err
	}
	defer p.Abandon()
	faults := p.FS.(*vfs.Faults)
	fired := len(faults.Fired())
	faults.Add(r)
	failure := p.DB.Checkpoint(context.Background(), CopyDir)
	for _, i := range faults.Fired()[fired:] {
		met = met || i.Err != syscall.EXDEV
	}
	faults.Clear()
	if failure != nil && !typed(failure) {
		return met, fmt.Errorf("%w: no type in: %w", ErrWrong, failure)
	}
	synced, acked := p.Ledger.Promised(math.MaxInt)
	if r.Effect == vfs.Drop {
		acked = synced
	}
	left := mem.Copy()
	n, err := openCopy(setup, left, p.Ledger, acked)
	if err == nil {
		_, err = reopen(setup, left, p.Ledger, acked)
	} else if failure != nil && errors.Is(err, lsm.ErrNotExist) {
		err = checkpointLater(setup, left, p.Ledger, acked)
	}
	if err != nil {
		return met, fmt.Errorf("after a kill (%v): %w", failure, err)
	}
	cut := mem.CrashCopy()
	if failure == nil {
		_, err = openCopy(setup, cut, p.Ledger, n)
	}
	if err == nil {
		_, err = reopen(setup, cut, p.Ledger, synced)
	}
	if err != nil {
		return met, fmt.Errorf("after a power cut: %w", err)
	}
	return met, nil
}

// checkpointLater opens the store and makes the checkpoint that is not there.
func checkpointLater(setup Setup, fs *vfs.Mem, l *Ledger, atLeast int) error {
	db, err := lsm.Open(Dir, setup.Options(fs))
	if err != nil {
		return err
	}
	n, err := l.Check(db, atLeast)
	if err == nil {
		err = copyAgain(setup, db, fs, l, n)
	}
	return errors.Join(err, db.Close())
}
