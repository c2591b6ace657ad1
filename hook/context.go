package hook

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// callContext is the context of one call of a hook. It needs no timer: the watchdog ends it.
// Whoever asks it anything makes it its own for ever; one that nobody has asked is used for
// the next call. So a hook that does not look at its context costs no garbage, nor what it takes to fill the
// context in, and one that passes it on can rely on it, except one that keeps it for later without any use.
type callContext struct {
	call *call         // constant; read while its hook runs
	hook *registration // constant while the context may be used

	used atomic.Bool // what follows is set, and constant

	parent   context.Context
	trace    Trace // its correlation, where an event has none, is made when it is asked for
	event    bool  // the hook handles an event, trace.Cause
	deadline time.Time

	mu   sync.Mutex
	err  error
	done chan struct{}
	stop func() bool // takes back the interest in the parent's end
}

// touch makes the context that of the hook which has asked, for ever.
func (c *callContext) touch() {
	if !c.used.Load() {
		c.fill()
	}
}

func (c *callContext) fill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used.Load() {
		return
	}
	of := c.call
	c.parent, c.trace, c.deadline = of.parent, of.trace, of.d.base.Add(of.begun+c.hook.Timeout)
	c.trace.depth++
	if c.event = !of.point.IsBefore(); c.event {
		c.trace.Cause, c.trace.Actor, c.trace.Correlation = of.event.ID, of.event.Actor, of.event.Correlation
	}
	c.used.Store(true)
}

// Deadline returns the parent's, or when the hook's time is up, whichever is sooner.
func (c *callContext) Deadline() (time.Time, bool) {
	c.touch()
	if t, ok := c.parent.Deadline(); ok && t.Before(c.deadline) {
		return t, true
	}
	return c.deadline, true
}

// Done returns a channel that is closed when the parent ends, the time is up, or the hook
// has returned.
func (c *callContext) Done() <-chan struct{} {
	c.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil {
		return c.done
	}
	c.done = make(chan struct{})
	if c.err != nil {
		close(c.done)
	} else if c.parent.Done() != nil {
		c.stop = context.AfterFunc(c.parent, func() { c.end(c.parent.Err()) })
	}
	return c.done
}

// Err returns why the context has ended, nil if it has not.
func (c *callContext) Err() error {
	c.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = c.parent.Err()
		if c.err != nil && c.done != nil {
			close(c.done)
		}
	}
	return c.err
}

// Value returns the parent's value, except the trace, which is the call's own.
func (c *callContext) Value(key any) any {
	c.touch()
	if key != (traceKey{}) {
		return c.parent.Value(key)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.event && c.trace.Correlation == "" {
		c.trace.Correlation = c.trace.Cause.String() // as Event.CorrelationID
	}
	return &c.trace
}

// end ends the context for this reason, unless it has ended.
func (c *callContext) end(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
		if c.done != nil {
			close(c.done)
		}
	}
	stop := c.stop
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
}
