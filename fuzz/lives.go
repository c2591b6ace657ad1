package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"sync"

	"github.com/loamdb/loam/internal/vfs"
)

// End says how a process ends whose machine goes on, before another one opens the store
// there and the power is cut at last. What the first one never synced the second one
// reads, builds on, and may lose.
type End uint8

// Ends.
const (
	// KilledAnywhere: before any call to the file system.
	KilledAnywhere End = iota
	// KilledInManifest: before a sync of a manifest, or just before or after CURRENT is
	// switched.
	KilledInManifest
	// KilledInRecovery: as KilledInManifest, and the process after it in its recovery.
	KilledInRecovery
	// SyncFailed: a sync fails, with or without effect, and the process is closed. That it
	// loses what it was for is not tried: the explorer lets a power cut bring that back,
	// while a device that is read again shows what it has.
	SyncFailed
)

// Ends are all of them.
var Ends = []End{KilledAnywhere, KilledInManifest, KilledInRecovery, SyncFailed}

// String returns the end's name.
func (e End) String() string {
	return [...]string{"killed anywhere", "killed in the manifest", "killed in recovery", "sync failed"}[e]
}

// CutAfterReopening plays the history so many times, ends its process each time at another
// place, opens the store again on the same machine, commits a few batches, synced and
// not, with a flush between, and cuts the power at every operation since the end: the
// store must hold a prefix of all that was written, with everything that was promised as
// synced by either process, and what the second one found is promised once it has opened.
func CutAfterReopening(setup Setup, shape Shape, end End, lives int, c Cuts) (Explored, error) {
	steps := NewHistory(setup.Seed, shape)
	total := &countdown{end: end, n: math.MaxInt}
	counter := vfs.NewFaults(vfs.NewMem(), total.rule(vfs.Fail))
	p := &Player{Setup: setup, FS: counter, Ledger: NewLedger()}
	if err := p.Play(steps); err != nil {
		return Explored{}, err
	}
	calls := math.MaxInt - total.n
	var x Explored
	var mu sync.Mutex // guards x
	work := make(chan int)
	var wg sync.WaitGroup
	for range workers() {
		wg.Go(func() {
			for i := range work {
				l := life{setup: setup, steps: steps, end: end, index: i, at: i * calls / lives}
				y, err := l.run(c)
				mu.Lock()
				x.Add(y)
				if err != nil {
					x.fail(fmt.Errorf("seed %d, %s, %s, call %d of %d: %w", setup.Seed, modeName(setup.Mode), end, l.at, calls, err))
				}
				mu.Unlock()
			}
		})
	}
	for i := range lives {
		work <- i
	}
	close(work)
	wg.Wait()
	return x, nil
}

// countdown ends a process at its n-th call of those that count: that one goes wrong, and
// after a kill every later one.
type countdown struct {
	end      End
	n        int
	switched bool // the directory was not synced since CURRENT was renamed
	over     bool
}

// counts reports whether the process may end before a call.
func (d *countdown) counts(c vfs.Call) bool {
	switch d.end {
	case KilledAnywhere:
		return true
	case SyncFailed:
		return c.Kind&(vfs.OpSync|vfs.OpSyncDir) != 0
	}
	switch c.Kind {
	case vfs.OpRename:
		d.switched = true
		return true
	case vfs.OpSyncDir:
		was := d.switched
		d.switched = false
		return was
	}
	return c.Kind == vfs.OpSync && strings.HasPrefix(path.Base(c.Path), manifestPrefix)
}

// rule is the countdown as a rule, which the file system asks one call at a time.
func (d *countdown) rule(effect vfs.Effect) vfs.Rule {
	return vfs.Rule{Effect: effect, Forever: effect == vfs.Gone, When: func(c vfs.Call) bool {
		if d.over || !d.counts(c) {
			return d.over
		}
		d.over = d.n == 0
		d.n--
		return d.over
	}}
}

// life is one history whose process ends, and what comes after.
type life struct {
	setup Setup
	steps []Step
	end   End
	index int // of all lives tried; what varies from one to the next follows from it
	at    int // the call at which the process ends

	mem    *vfs.Mem
	ledger *Ledger // of the processes that ended
	// The points at which the process had ended and the last one had opened the store.
	ended, opened int
	next          *Ledger // of the last process
}

// run plays the history to its end and beyond, and cuts the power.
func (l *life) run(c Cuts) (Explored, error) {
	l.mem, l.ledger = vfs.NewCrashMem(), NewLedger()
	effect := vfs.Gone
	if l.end == SyncFailed {
		effect = [...]vfs.Effect{vfs.Fail, vfs.FailAfter}[l.index%2]
	}
	ends := countdown{end: l.end, n: l.at}
	if err := l.play(ends.rule(effect), l.steps); err != nil {
		return Explored{}, err
	}
	if l.end == KilledInRecovery {
		again := countdown{end: KilledAnywhere, n: l.index * 7 % 60}
		if err := l.play(again.rule(vfs.Gone), nil); err != nil {
			return Explored{}, err
		}
	}
	l.ended = l.mem.Ops()
	if err := l.goOn(); err != nil {
		return Explored{}, fmt.Errorf("reopened: %w", err)
	}
	return l.cut(c), nil
}

// play lets a process with one rule play steps until it ends. Whatever it says then is
// right, unless it is a wrong answer.
func (l *life) play(r vfs.Rule, steps []Step) error {
	p := &Player{Setup: l.setup, FS: vfs.NewFaults(l.mem, r), Ops: l.mem.Ops, Ledger: l.ledger}
	err := p.Play(steps)
	p.Abandon()
	l.mem.Kill()
	if errors.Is(err, ErrWrong) || errors.Is(err, ErrLost) || err != nil && !typed(err) {
		return err
	}
	return nil
}

// goOn opens the store that the ended process left, which must hold all that it
// acknowledged, and writes on.
func (l *life) goOn() error {
	p := &Player{Setup: l.setup, FS: l.mem, Ops: l.mem.Ops, Ledger: l.ledger}
	if err := p.Open(); err != nil {
		return err
	}
	defer p.Abandon()
	l.opened = l.mem.Ops()
	n, err := l.ledger.Check(p.DB, l.ledger.Acknowledged())
	if err != nil {
		return err
	}
	live, err := dump(p.DB)
	if err != nil {
		return err
	}
	l.next = l.ledger.Resume(n, live)
	p.Ledger = l.next
	for i := range 6 {
		step := Step{Kind: Apply, Sync: (l.index+i)%2 == 0, Ops: []Op{{Key: "new", Value: fmt.Sprint(l.index, i)}}}
		if err := p.Do(step); err != nil {
			return err
		}
		if i == 3 {
			if err := p.DB.Flush(context.Background()); err != nil {
				return err
			}
		}
	}
	return p.Close()
}

// cut cuts the power at every operation since the end of the process.
func (l *life) cut(c Cuts) (x Explored) {
	e := l.mem.Explore()
	for k := range c.points(e, l.ended) {
		x.Points++
		ledger := l.ledger
		if k >= l.opened {
			ledger = l.next
		}
		synced, _ := ledger.Promised(k)
		o := c.StateOptions
		if o.Expect = uint64(synced) + 1; k >= l.opened {
			o.Expect += 1 << 32
		}
		for s := range e.States(o) {
			if x.States++; c.Limit > 0 && x.States > c.Limit {
				x.States--
				return x
			}
			if _, err := reopen(l.setup, s.Mem(), ledger, synced); err != nil {
				x.fail(fmt.Errorf("seed %d, %s, %s at call %d, opened again, %s: %w",
					l.setup.Seed, modeName(l.setup.Mode), l.end, l.at, s, err))
			}
		}
	}
	return x
}
