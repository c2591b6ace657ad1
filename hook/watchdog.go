package hook

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/mutant"
)

// watchdog ends the contexts of calls whose time is up. It is one goroutine for all calls,
// so that none needs a timer. It sleeps until the nearest deadline it has seen, and never
// longer than the shortest timeout of any hook: a call that begins meanwhile cannot be due
// before it wakes. When no call was made for that long it waits to be poked, and costs nothing.
type watchdog struct {
	d        *Dispatcher
	kick     chan struct{}
	ended    chan struct{}
	parked   atomic.Bool
	stopping atomic.Bool
	short    atomic.Int64 // the shortest timeout that a hook ever had

	mu    sync.Mutex // of changes of calls
	calls atomic.Pointer[[]*call]
}

func (w *watchdog) init(d *Dispatcher) {
	w.d = d
	w.kick, w.ended = make(chan struct{}, 1), make(chan struct{})
	w.short.Store(int64(MaxTimeout))
	w.calls.Store(&[]*call{})
}

// limit tells of the timeout of a new hook, before it can be called.
func (w *watchdog) limit(timeout time.Duration) {
	if int64(timeout) < w.short.Load() {
		w.short.Store(int64(timeout))
		w.wake()
	}
}

// poke tells that a call has begun. The watchdog says that it is parked before it looks a
// last time, and callers enter running before they ask: one of the two sees the other.
func (w *watchdog) poke() {
	if w.parked.Load() {
		w.wake()
	}
}

func (w *watchdog) wake() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

func (w *watchdog) add(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := *w.calls.Load()
	calls := append(make([]*call, 0, len(old)+1), old...)
	calls = append(calls, c)
	w.calls.Store(&calls)
}

func (w *watchdog) remove(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var calls []*call
	for _, other := range *w.calls.Load() {
		if other != c {
			calls = append(calls, other)
		}
	}
	w.calls.Store(&calls)
	if w.stopping.Load() {
		w.wake()
	}
}

// close has the watchdog end when there are no calls left.
func (w *watchdog) close() {
	w.stopping.Store(true)
	w.wake()
}

// loop is the watchdog's goroutine.
func (w *watchdog) loop() {
	defer close(w.ended)
	timer := time.NewTimer(MaxTimeout)
	defer timer.Stop()
	var seen uint64
	for {
		if w.stopping.Load() && len(*w.calls.Load()) == 0 {
			return
		}
		due, made, busy := w.scan()
		if !busy && made == seen {
			w.park()
			continue
		}
		seen = made
		timer.Reset(due)
		select {
		case <-timer.C:
		case <-w.kick:
		}
	}
}

// park waits until a call begins, or the last one is gone.
func (w *watchdog) park() {
	w.parked.Store(true)
	defer w.parked.Store(false)
	if _, _, busy := w.scan(); !busy {
		<-w.kick
	}
}

// scan ends what is due. It returns how long nothing else can be, a number that
// each call changes, and whether one is running.
func (w *watchdog) scan() (due time.Duration, made uint64, busy bool) {
	now := w.d.now()
	due = time.Duration(w.short.Load())
	for _, c := range *w.calls.Load() {
		state := c.state.Load()
		made += state >> phaseBits
		if phase(state&phaseMask) != running {
			continue
		}
		busy = true
		if left := untilDue(state, now); left <= 0 {
			c.expire(state)
		} else {
			due = min(due, left)
		}
	}
	return due, made, busy
}

// expire ends the call that has this state, unless it has ended. If the state still holds at
// the swap, context and hook are those of this call: it does not come again in between.
func (c *call) expire(state uint64) {
	ctx, to := c.context.Load(), late
	if c.ownGoroutine() {
		to = lost
	}
	if !c.state.CompareAndSwap(state, state&^phaseMask|uint64(to)) {
		return
	}
	if !mutant.Enabled || !mutant.Is(mutant.TrustLateHooks) {
		ctx.hook.isolated.Store(true)
	}
	ctx.end(context.DeadlineExceeded)
	if to == lost {
		ctx.hook.stuck.Add(1)
		c.d.replace(c)
	}
}

// expireQueue ends the calls of workers that are running, whenever they are due.
func (w *watchdog) expireQueue() {
	for _, c := range *w.calls.Load() {
		if state := c.state.Load(); c.shard != nil && phase(state&phaseMask) == running {
			c.expire(state)
		}
	}
}
