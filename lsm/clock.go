package lsm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Clock is where a store takes its time from. Both methods may be called on any goroutine,
// and must not wait. The machine's clock is the default; another one is for tests, and for
// programs that simulate time.
type Clock interface {
	// Wall returns the time of day. It may jump, either way.
	Wall() time.Time
	// Elapsed returns how long it is since some moment before the store was opened. It never
	// goes back. While the machine is suspended it may stand still.
	Elapsed() time.Duration
}

// ErrClock: opening would move the store's time ahead by more than 366 days. Nothing was
// changed. Either the machine's clock is wrong, or Options.AcceptClock is to be set.
var ErrClock = errors.New("lsm: the clock is far ahead of the store")

// machineClock is the clock behind a time.Now and its time.Since, which looks at the monotonic clock
// alone and takes half as long: each commit asks for the time, and most reads.
type machineClock struct {
	now    func() time.Time
	since  func(time.Time) time.Duration
	origin time.Time
}

func (c *machineClock) Wall() time.Time        { return c.now() }
func (c *machineClock) Elapsed() time.Duration { return c.since(c.origin) }

// standingClock is a clock that does not move: milliseconds since 1970.
type standingClock int64

func (c standingClock) Wall() time.Time      { return time.UnixMilli(int64(c)) }
func (standingClock) Elapsed() time.Duration { return 0 }

// clock is engine time, by which commits are stamped and entries expire: the later of the
// last commit's time and the wall clock at open, plus what has elapsed since. So it never
// goes back, whatever the wall clock does, and whoever looks at it after a commit became
// visible sees no time before the commit's.
//
// A machine that was suspended wakes up with a wall clock that has gone on, and a monotonic
// one that has not. When the wall clock has been ahead for so long that nobody is just
// setting it, engine time catches up with it. It is looked at once a second, by whoever
// asks for the time, so that a store at rest does not wake up for it.
type clock struct {
	// Constant after begin.
	source Clock
	opened time.Duration // Elapsed at open
	accept bool

	base     atomic.Int64 // milliseconds since 1970 at opened; grows when time catches up
	looked   atomic.Int64 // when the wall clock was last looked at, nanoseconds after opened
	caughtUp atomic.Int64 // how often

	mu         sync.Mutex
	ahead      bool          // mu: the wall clock was ahead when last looked at
	aheadSince time.Duration // mu: after opened
}

const (
	lookEvery    = time.Second
	catchUpFrom  = 2 * time.Second
	catchUpAfter = time.Minute
	maxClockJump = 366 * 24 * time.Hour
)

// begin starts the clock of a store whose last commit, as far as anything shows, was at
// lastTime, zero for a new one.
func (c *clock) begin(source Clock, lastTime int64, accept bool) error {
	wall := source.Wall().UnixMilli()
	c.source, c.opened, c.accept = source, source.Elapsed(), accept
	if lastTime > 0 && wall-lastTime > maxClockJump.Milliseconds() && !accept {
		return fmt.Errorf("%w: its time is %v, the clock says %v", ErrClock, time.UnixMilli(lastTime).UTC(), time.UnixMilli(wall).UTC())
	}
	c.base.Store(max(lastTime, wall))
	return nil
}

// millis returns engine time in milliseconds since 1970.
func (c *clock) millis() int64 {
	now, _ := c.read()
	return now
}

// read returns engine time in milliseconds since 1970, and what the source's Elapsed was then.
func (c *clock) read() (now int64, source time.Duration) {
	source = c.source.Elapsed()
	elapsed := max(source-c.opened, 0)
	if int64(elapsed)-c.looked.Load() >= int64(lookEvery) {
		c.look(elapsed)
	}
	return c.base.Load() + elapsed.Milliseconds(), source
}

// look compares engine time with the wall clock, and catches up if that is due. A wall clock
// that is ahead by more than a year is none to catch up with.
func (c *clock) look(elapsed time.Duration) {
	if !c.mu.TryLock() {
		return // somebody looks
	}
	defer c.mu.Unlock()
	c.looked.Store(int64(elapsed))
	by := c.source.Wall().UnixMilli() - c.base.Load() - elapsed.Milliseconds()
	switch {
	case by <= catchUpFrom.Milliseconds(), by > maxClockJump.Milliseconds() && !c.accept:
		c.ahead = false
	case !c.ahead:
		c.ahead, c.aheadSince = true, elapsed
	case elapsed-c.aheadSince >= catchUpAfter:
		c.base.Add(by)
		c.caughtUp.Add(1)
		c.ahead = false
	}
}

// Now returns the store's own time, by which entries expire. It begins with the machine's
// clock, or with the last commit if that is later, and never goes back: docs/ttl.md.
func (d *DB) Now() time.Time { return time.UnixMilli(d.clock.millis()) }

// NowSince returns Now, and what its Clock's Elapsed was then, since ClockOrigin if that is the machine's: for
// those who would else look at the clock again.
func (d *DB) NowSince() (now time.Time, since time.Duration) {
	millis, since := d.clock.read()
	return time.UnixMilli(millis), since
}

// ClockOrigin returns the instant of the machine's clock from which NowSince counts, the zero Time if
// Options.Clock is set.
func (d *DB) ClockOrigin() time.Time {
	if c, ok := d.clock.source.(*machineClock); ok {
		return c.origin
	}
	return time.Time{}
}

// clock returns where a store with these options takes its time from.
func (o *Options) clock() Clock {
	if o.Clock != nil {
		return o.Clock
	}
	return &machineClock{o.seams.Now, o.seams.Since, o.seams.Now()}
}
