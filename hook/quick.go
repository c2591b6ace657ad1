package hook

import (
	"context"
	"time"
)

// Most changes meet one before-hook or none, and the hook returns at once. So each hook that is not isolated has a
// call of its own, whose context has always been the hook's: it is taken and enters running in one atomic operation, and
// leaves it and is free again in another. That takes 100 ns where a call that is taken from a list takes 130. Whoever
// finds it taken, or has more to do than this, goes the long way.

// ownCall gives a hook its call.
func (d *Dispatcher) ownCall(r *registration) {
	if r.Before == nil || r.Isolated {
		return
	}
	r.own = &call{d: d}
	r.own.context.Store(&callContext{call: r.own, hook: r})
	r.own.state.Store(uint64(free))
	d.watch.add(r.own)
}

// quick runs the one before-hook that a change meets in the hook's own call, and reports whether it could.
func (d *Dispatcher) quick(ctx context.Context, ch *Change, p Point, r *registration, trace Trace) (ok bool, err error) {
	c := r.own
	if c == nil || BreakerState(r.breaker.state.Load()) != Closed || r.stuck.Load() >= maxStuck {
		return false, nil
	}
	was := c.state.Load()
	if phase(was&phaseMask) != free {
		return false, nil
	}
	begun := d.begins(ch)
	word := wordOf(begun+r.Timeout, uint8(was>>phaseBits)+1)
	if !c.state.CompareAndSwap(was, word|uint64(running)) {
		return false, nil
	}
	d.watch.poke()
	c.word, c.begun, c.point, c.parent, c.trace, c.given = word, begun, p, ctx, trace, *ch
	if err = c.invoke(r); err != nil || c.context.Load().used.Load() || !c.leave(r, ch, begun) {
		c.parent, c.trace = ctx, trace // leave has forgotten them
		err = c.leaveSlowly(r, ch, err, begun)
	}
	if r.removed.Load() || d.closed.Load() {
		d.retire(r)
	}
	return true, err
}

// begins returns when the first hook of a change begins.
func (d *Dispatcher) begins(ch *Change) time.Duration {
	if ch.Time.IsZero() {
		return d.now()
	}
	return ch.Time.Sub(d.base)
}

// leave frees the call of a hook that has succeeded and asked its context nothing, and reports whether it was in time.
func (c *call) leave(r *registration, ch *Change, begun time.Duration) bool {
	value, known, replaced := c.given.value, c.given.known, c.given.replaced
	d, word := c.d, c.word
	c.parent, c.trace, c.given = nil, Trace{}, Change{}
	if !c.state.CompareAndSwap(word|uint64(running), word|uint64(free)) {
		return false
	}
	// The call may be another's now.
	ch.value, ch.known, ch.replaced = value, known, replaced
	end, _ := r.ended(d, begun, false)
	r.breaker.record(succeeded, begun, end)
	return true
}

// leaveSlowly does what call.run does with a hook that has returned, and frees the call.
func (c *call) leaveSlowly(r *registration, ch *Change, err error, begun time.Duration) error {
	if !c.finish() {
		err = ErrTimeout
	}
	c.settle(r, ch, err, begun)
	err = c.err
	c.clear()
	if unasked := c.context.Load(); unasked != nil {
		unasked.hook = r // clear has taken it out
	} else {
		c.context.Store(&callContext{call: c, hook: r})
	}
	c.state.Store(c.word | uint64(free))
	return err
}

// retire ends the call of a hook that is not to be called any more, if it is free; whoever has it does so when it is.
func (d *Dispatcher) retire(r *registration) {
	c := r.own
	if c == nil {
		return
	}
	state := c.state.Load()
	if phase(state&phaseMask) == free && c.state.CompareAndSwap(state, state&^phaseMask|uint64(exited)) {
		d.watch.remove(c)
	}
}
