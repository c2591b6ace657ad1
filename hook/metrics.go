package hook

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/latency"
)

// Metrics are figures of a Dispatcher since it was made.
type Metrics struct {
	// Hooks are those registered now, in the order of their names.
	Hooks []HookMetrics
	// Queued is how many events wait, of at most Capacity.
	Queued, Capacity int
	// Dropped counts events that were not handled by some hook.
	Dropped uint64
}

// HookMetrics are figures of one hook since it was registered.
type HookMetrics struct {
	// Name is the hook's name.
	Name string
	// Calls that have ended, failed ones too.
	Calls uint64
	// Failures are calls that ended in an error other than a veto, in a panic or late.
	Failures uint64
	// Timeouts are those Failures whose time was up.
	Timeouts uint64
	// Vetoes are changes that the hook has forbidden.
	Vetoes uint64
	// Refused are calls that were not made since the breaker was open.
	Refused uint64
	// Drops are events meant for the hook that were dropped.
	Drops uint64
	// Stuck are calls whose time was up and that still have not returned.
	Stuck int
	// Breaker is the breaker's state.
	Breaker BreakerState
	// P50, P95 and P99 are the durations within which this part of the calls ended, rounded up
	// by at most an eighth. Beyond the first 1,024 calls every eighth one tells, for eight.
	P50, P95, P99 time.Duration
}

// counts are the counters of a hook.
type counts struct {
	calls, failures, timeouts, vetoes, refused, drops atomic.Uint64
	latency                                           latency.Histogram
}

// Of how many calls the time is taken of each, and of how many one afterwards: to look at the clock is a sixth
// of what a before-hook that does nothing costs.
const (
	allTimed  = 1024
	timeEvery = 8
)

// timed counts a call that has ended, and returns for how many calls its time stands: 0 if it is not taken.
func (c *counts) timed() uint64 {
	switch n := c.calls.Add(1); {
	case n <= allTimed:
		return 1
	case n%timeEvery == 0:
		return timeEvery
	}
	return 0
}

// ended counts a call of the hook, and looks at the clock if its turn to be timed has come, or somebody has to know.
// It returns when the call has ended, or begun if that is not known.
func (r *registration) ended(d *Dispatcher, begun time.Duration, must bool) (end time.Duration, known bool) {
	times := r.counts.timed()
	if times == 0 && !must && r.breaker.config.SlowCalls == 0 {
		return begun, false
	}
	end = d.now()
	r.counts.latency.AddFor(end-begun, times)
	return end, true
}

// Metrics returns the figures. Those of calls that end meanwhile may be in part.
func (d *Dispatcher) Metrics() Metrics {
	m := Metrics{Dropped: d.dropped.Load()}
	for _, s := range d.shards {
		m.Queued += s.length()
		m.Capacity += s.capacity
	}
	for _, r := range d.table.Load().byName {
		m.Hooks = append(m.Hooks, r.metrics())
	}
	slices.SortFunc(m.Hooks, func(a, b HookMetrics) int { return strings.Compare(a.Name, b.Name) })
	return m
}

func (r *registration) metrics() HookMetrics {
	c := &r.counts
	m := HookMetrics{
		Name: r.Name, Calls: c.calls.Load(),
		Failures: c.failures.Load(), Timeouts: c.timeouts.Load(), Vetoes: c.vetoes.Load(),
		Refused: c.refused.Load(), Drops: c.drops.Load(),
		Stuck: int(r.stuck.Load()), Breaker: BreakerState(r.breaker.state.Load()),
	}
	var q []time.Duration
	_, q = c.latency.Quantiles(0.50, 0.95, 0.99)
	m.P50, m.P95, m.P99 = q[0], q[1], q[2]
	return m
}
