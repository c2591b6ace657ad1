package wal

import (
	"runtime"
	"sync/atomic"
	"time"
)

// gather lets a sync carry what is about to come. Writers that sync one batch after the other
// return at the moment at which a sync has ended, which is when the next one would begin, for
// those that came meanwhile: two halves of them take turns then, each waiting for the other's
// sync. So a sync first waits a little until as many batches are there as the last one carried
// together with those that it left behind. Measured beside Pebble: 4 writers from 1.3 to 2.2 times
// its rate, 16 from 1.28 to 1.44; docs/adr/0033-syncs-gather-writers.md has the rest.
type gather struct {
	now func() time.Time // nil: nobody is waited for
	// pending counts the batches, appended for a sync, that no sync has begun to carry.
	pending atomic.Int64
	// expected is what pending is expected to become.
	expected atomic.Int64
	// until is when waiting ends, whoever has come. Belongs to whoever syncs.
	until time.Time
}

// longestGather bounds the wait, which is also at most half of what the last sync took.
const longestGather = 100 * time.Microsecond

// mostYields bounds it by other means, for a clock that stands still.
const mostYields = 1000

// alone reports whether a writer is likely to be the only one.
func (g *gather) alone() bool { return g.expected.Load() <= 1 }

// wait is for whoever is about to sync. Waiting yields the processor to those waited for: a
// timer's shortest time is longer than most of these waits.
func (g *gather) wait() {
	for i := 0; i < mostYields && g.pending.Load() < g.expected.Load() && g.now().Before(g.until); i++ {
		runtime.Gosched()
	}
}

// begin returns how many batches a sync that begins now carries, and the time.
func (g *gather) begin() (carried int64, began time.Time) {
	if g.now == nil {
		return 0, began
	}
	return g.pending.Swap(0), g.now()
}

// end notes that a sync of so many batches began at a time and ends now.
func (g *gather) end(carried int64, began time.Time) {
	if g.now == nil {
		return
	}
	now := g.now()
	g.expected.Store(carried + g.pending.Load())
	g.until = now.Add(min(now.Sub(began)/2, longestGather))
}
