package hook

import "sync"

// Runners are goroutines that run before-hooks which are not inline, while their caller
// waits; so the caller can go on when a hook does not return. A runner serves one caller at a
// time and waits in a list between them.

// maxIdle is how many calls wait in a list to be used again; more than that end.
const maxIdle = 256

// noCall stands for no call, and for no room for one.
var noCall = &call{}

// idleCalls are calls that wait to be used again.
type idleCalls struct {
	mu     sync.Mutex
	calls  []*call
	closed bool
}

// getCall returns a call that is clear, with a goroutine or without, or nil when the
// dispatcher is closed.
func (d *Dispatcher) getCall(runner bool) *call {
	if !runner {
		if c := d.spare.Load(); c != nil && c != noCall && d.spare.CompareAndSwap(c, nil) {
			return c
		}
	}
	list := &d.idle[bit(runner)]
	list.mu.Lock()
	n, closed := len(list.calls), list.closed
	var c *call
	if n > 0 {
		c = list.calls[n-1]
		list.calls = list.calls[:n-1]
	} else if !closed {
		c = d.newCall(runner)
	}
	list.mu.Unlock()
	return c
}

func (d *Dispatcher) newCall(runner bool) *call {
	c := &call{d: d}
	if runner {
		c.start, c.wake = make(chan struct{}, 1), make(chan struct{}, 1)
		go c.serve()
	}
	d.watch.add(c)
	return c
}

// putCall takes back a call that is neither lost nor has exited.
func (d *Dispatcher) putCall(c *call) {
	c.clear()
	if c.start == nil && d.spare.CompareAndSwap(nil, c) {
		return
	}
	list := &d.idle[bit(c.start != nil)]
	list.mu.Lock()
	keep := len(list.calls) < maxIdle && !list.closed
	if keep {
		list.calls = append(list.calls, c)
	}
	list.mu.Unlock()
	if !keep {
		d.endCall(c)
	}
}

func (d *Dispatcher) endCall(c *call) {
	d.watch.remove(c)
	if c.start != nil {
		close(c.start)
	}
}

// closeCalls ends the calls that wait, and those in use when they are put back.
func (d *Dispatcher) closeCalls() {
	if c := d.spare.Swap(noCall); c != nil {
		d.endCall(c)
	}
	for _, r := range d.table.Load().byName {
		d.retire(r)
	}
	for i := range d.idle {
		list := &d.idle[i]
		list.mu.Lock()
		calls := list.calls
		list.calls, list.closed = nil, true
		list.mu.Unlock()
		for _, c := range calls {
			d.endCall(c)
		}
	}
}

// serve is the goroutine of a runner.
func (c *call) serve() {
	for range c.start {
		if !c.run(&c.good) {
			return
		}
		c.wake <- struct{}{}
	}
}

// drive has the hooks run and returns the call in which they have ended, which is another
// one if hooks got lost. ch is the change that before-hooks look at, which becomes what they make of it.
func (d *Dispatcher) drive(c *call, ch *Change) *call {
	if c.start == nil {
		c.run(ch)
		return c
	}
	if ch != nil {
		c.good = *ch // the runner cannot be given what lies on its caller's stack
	}
	for {
		c.start <- struct{}{}
		<-c.wake
		if c.phase() == idle {
			if ch != nil {
				ch.take(&c.good)
			}
			return c
		}
		n := d.newCall(true)
		c.resume(n)
		c = n
	}
}

// replace is called when the goroutine of a call is lost, or ends: whoever waits for it
// goes on, or another worker takes its place.
func (d *Dispatcher) replace(c *call) {
	if c.shard == nil {
		d.watch.remove(c)
		c.wake <- struct{}{}
		return
	}
	n := &call{d: d, shard: c.shard}
	d.watch.add(n)
	d.watch.remove(c)
	go func() {
		c.resume(n)
		if c.shard.discarded() {
			d.drop(modeQueue, n.hooks[n.next:], &n.event, n.trace.depth)
			n.next = len(n.hooks)
		}
		n.work()
	}()
}
