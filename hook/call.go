package hook

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/mutant"
)

// call runs the hooks of one operation, one after another, on some goroutine, and is what
// the watchdog looks at. Its state is a number of the hook's call, counted up, and a phase:
//
//	idle ─▶ running ─▶ idle      the hook returned in time
//	           ├─────▶ lost      its time was up: whoever waits for it goes on without it
//	           ├─────▶ late      its time was up, and the goroutine is the caller's own
//	           └─────▶ exited    it ended its goroutine
//
//	free ─▶ running ─▶ free      the same in the call of one hook, which whoever needs it takes
//
// Only the goroutine that runs the hooks enters running and leaves for idle or exited, only
// the watchdog makes a call lost or late. A call that is lost or exited belongs to its goroutine
// and is not used again, but for what whoever takes over reads: the fields below "so far",
// which nobody writes any more.
//
// The state is one word, so that a hook that does nothing costs two atomic operations on it: the
// deadline, in nanoseconds after Dispatcher.base, of which the lowest 53 bits are kept, eight bits that
// count the hooks that the call has run, and the phase. It comes again only after 256 hooks that were due
// at the same nanosecond.
type call struct {
	d     *Dispatcher
	shard *shard        // that of a queue's worker, else nil
	start chan struct{} // has a runner begin; nil for one without goroutine
	wake  chan struct{} // tells the caller that the runner has finished, or is lost

	// Set for each operation.
	mode   mode
	point  Point
	hooks  []*registration
	parent context.Context
	trace  Trace
	event  Event    // after
	only   []string // of a replay: the names of the hooks; nil is all

	// So far.
	good     Change // what the hooks that succeeded have made of the change; where a runner runs them
	next     int    // hooks before this one have been looked at
	err      error  // why the operation is refused
	failures []error
	running  *registration
	begun    time.Duration

	given Change        // what the hook that runs is given
	clock time.Duration // the present, if the last hook has just ended; negative if not known
	count uint8
	word  uint64 // the state but for the phase

	state   atomic.Uint64
	context atomic.Pointer[callContext]
}

// mode says which hooks of a list a call runs.
type mode uint8

const (
	modeBefore mode = iota // before-hooks
	modeInline             // inline after-hooks
	modeQueue              // the other after-hooks
	modeReplay             // all
)

type phase uint64

const (
	idle phase = iota
	running
	lost
	late
	exited
	free

	phaseBits   = 3
	phaseMask   = 1<<phaseBits - 1
	deadlineBit = phaseBits + 8
)

// wordOf returns a state but for the phase.
func wordOf(deadline time.Duration, count uint8) uint64 {
	return uint64(deadline)<<deadlineBit | uint64(count)<<phaseBits
}

func (c *call) phase() phase { return phase(c.state.Load() & phaseMask) }

// untilDue returns how long it is from now to the deadline of a state.
func untilDue(state uint64, now time.Duration) time.Duration {
	return time.Duration(int64(state&^(1<<deadlineBit-1)-uint64(now)<<deadlineBit) >> deadlineBit)
}

// wants reports whether the call runs the hook. good is what the change is so far, of a point before it.
func (c *call) wants(r *registration, good *Change) bool {
	switch {
	case r.removed.Load(), c.mode == modeInline && !r.Inline, c.mode == modeQueue && r.Inline:
		return false
	case c.only != nil && !slices.Contains(c.only, r.Name):
		return false
	case c.point.IsBefore():
		return r.matches(good.Scope, good.To, good.Key)
	}
	return r.matches(c.event.Scope, c.event.To, c.event.Key)
}

// ownGoroutine reports whether the goroutine that runs the hooks is ours to lose.
func (c *call) ownGoroutine() bool { return c.start != nil || c.shard != nil }

// run runs the hooks that are left, on good, the change as it is so far, if they are before one. It reports
// false when another goroutine has taken over, and then the call must be left alone.
func (c *call) run(good *Change) bool {
	for c.err == nil && c.next < len(c.hooks) {
		r := c.hooks[c.next]
		c.next++
		if c.wants(r, good) && !c.runOne(r, good) {
			return false
		}
	}
	return true
}

func (c *call) runOne(r *registration, good *Change) bool {
	begun := c.clock
	if begun < 0 {
		begun = c.d.now()
	}
	if r.stuck.Load() >= maxStuck || !r.breaker.allow(begun) {
		r.counts.refused.Add(1)
		c.fail(r, ErrUnavailable)
		return true
	}
	c.begin(r, good, begun)
	err := c.invoke(r)
	if !c.finish() {
		if c.ownGoroutine() {
			r.stuck.Add(-1)
			return false
		}
		err = ErrTimeout
	}
	c.settle(r, good, err, begun)
	return true
}

// begin enters running.
func (c *call) begin(r *registration, good *Change, begun time.Duration) {
	c.running, c.begun = r, begun
	ctx := c.context.Load()
	if ctx == nil {
		ctx = &callContext{call: c}
		c.context.Store(ctx)
	}
	ctx.hook = r
	if c.point.IsBefore() {
		c.given = *good
	}
	c.count++
	c.word = wordOf(begun+r.Timeout, c.count)
	c.state.Store(c.word | uint64(running))
	c.d.watch.poke()
}

// invoke calls the hook.
func (c *call) invoke(r *registration) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
			return
		}
		c.exit(r)
	}()
	ctx := c.context.Load()
	if c.point.IsBefore() {
		err = r.Before(ctx, &c.given)
	} else {
		ev := c.event
		if !r.Values {
			ev.Values = nil
		}
		err = r.After(ctx, ev)
	}
	returned = true
	return err
}

// finish leaves running, and reports false when the watchdog has done so.
func (c *call) finish() bool {
	ctx := c.context.Load()
	ok := c.state.CompareAndSwap(c.word|uint64(running), c.word|uint64(idle))
	if !ok || ctx.used.Load() {
		ctx.touch() // what is the hook's for ever no longer asks this call
		ctx.end(context.Canceled)
		c.context.Store(nil)
	}
	return ok
}

// exit is called by a hook's goroutine that ends instead of returning.
func (c *call) exit(r *registration) {
	c.context.Load().end(context.Canceled)
	inTime := c.state.CompareAndSwap(c.word|uint64(running), c.word|uint64(exited))
	switch {
	case !c.ownGoroutine(): // it is the caller that ends: nobody waits
		c.settle(r, nil, ErrExited, c.begun)
		c.d.watch.remove(c)
	case inTime:
		c.d.replace(c)
	default:
		r.stuck.Add(-1)
	}
}

// settle counts a call of a hook that has ended, and keeps in good what one has done that succeeded.
func (c *call) settle(r *registration, good *Change, err error, begun time.Duration) {
	end, known := r.ended(c.d, begun, err != nil)
	if c.clock = -1; known {
		c.clock = end
	}
	if err == nil {
		r.breaker.record(succeeded, begun, end)
		if c.point.IsBefore() {
			good.take(&c.given)
		}
		return
	}
	var veto *VetoError
	if c.point.IsBefore() && errors.As(err, &veto) && veto.Hook == "" {
		r.breaker.record(succeeded, begun, end)
		r.counts.vetoes.Add(1)
		if !mutant.Enabled || !mutant.Is(mutant.SwallowVeto) {
			c.err = &VetoError{Hook: r.Name, Reason: veto.Reason}
		}
		return
	}
	r.counts.failures.Add(1)
	switch cause := c.parent.Err(); {
	case errors.Is(err, ErrTimeout):
		r.counts.timeouts.Add(1)
		r.breaker.record(failed, begun, end)
	case cause != nil && errors.Is(err, cause):
		r.breaker.record(calledOff, begun, end)
	default:
		r.breaker.record(failed, begun, end)
	}
	c.fail(r, err)
}

// fail makes of a failure what it means to the operation.
func (c *call) fail(r *registration, err error) {
	failure := &CallError{Hook: r.Name, Point: c.point, Err: err}
	switch {
	case c.point.IsBefore() && !r.Advisory && !(mutant.Enabled && mutant.Is(mutant.FailOpen)):
		c.err = failure
	case c.mode == modeReplay:
		c.failures = append(c.failures, failure)
	}
	c.d.report(failure)
}

// resume returns a call that goes on where one that is lost or has exited stopped, on
// another goroutine, and counts the hook's failure.
func (c *call) resume(n *call) {
	n.mode, n.point, n.hooks, n.parent, n.trace, n.event, n.only = c.mode, c.point, c.hooks, c.parent, c.trace, c.event, c.only
	n.good, n.next, n.err, n.failures = c.good, c.next, c.err, c.failures
	why := ErrTimeout
	if c.phase() == exited {
		why = ErrExited
	}
	n.settle(c.running, &n.good, why, c.begun)
}

// clear forgets an operation, so that nothing of it stays in memory.
func (c *call) clear() {
	if c.mode != modeBefore {
		c.event, c.only, c.failures = Event{}, nil, nil
	}
	if c.point.IsBefore() || c.mode == modeReplay {
		c.given = Change{}
		if c.start != nil {
			c.good = Change{}
		}
	}
	c.hooks, c.parent, c.trace, c.next, c.err, c.running = nil, nil, Trace{}, 0, nil, nil
	if ctx := c.context.Load(); ctx != nil {
		ctx.hook = nil
	}
}
