package hook

import (
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
	"time"
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
	// by at most an eighth.
	P50, P95, P99 time.Duration
}

// counts are the counters of a hook.
type counts struct {
	failures, timeouts, vetoes, refused, drops atomic.Uint64
	latency                                    histogram
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
		Name:     r.Name,
		Failures: c.failures.Load(), Timeouts: c.timeouts.Load(), Vetoes: c.vetoes.Load(),
		Refused: c.refused.Load(), Drops: c.drops.Load(),
		Stuck: int(r.stuck.Load()), Breaker: BreakerState(r.breaker.state.Load()),
	}
	var q [3]time.Duration
	m.Calls, q = c.latency.quantiles([3]float64{0.50, 0.95, 0.99})
	m.P50, m.P95, m.P99 = q[0], q[1], q[2]
	return m
}

// A histogram counts durations in buckets: below 64 ns one, then eight to each power of two
// up to 2^42 ns, 73 minutes. Each add is one atomic addition.
type histogram struct {
	buckets [1 + 8*(histogramLast-histogramFirst)]atomic.Uint64
}

const histogramFirst, histogramLast = 6, 42 // exponents

func (h *histogram) add(d time.Duration) { h.buckets[bucketOf(d)].Add(1) }

func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	exp := bits.Len64(n) - 1
	switch {
	case exp < histogramFirst:
		return 0
	case exp >= histogramLast:
		return 8 * (histogramLast - histogramFirst)
	}
	return 1 + 8*(exp-histogramFirst) + int(n>>(exp-3)&7)
}

// bucketEnd returns the least duration above those of the bucket.
func bucketEnd(i int) time.Duration {
	if i == 0 {
		return 1 << histogramFirst
	}
	exp, part := histogramFirst+(i-1)/8, (i-1)%8
	return time.Duration(uint64(9+part) << (exp - 3))
}

// quantiles returns how many durations were added, and for each part the end of the bucket
// in which it is reached, 0 of no durations.
func (h *histogram) quantiles(parts [3]float64) (total uint64, out [3]time.Duration) {
	var n [len(h.buckets)]uint64
	for i := range h.buckets {
		n[i] = h.buckets[i].Load()
		total += n[i]
	}
	for p, part := range parts {
		var seen uint64
		for i := range n {
			seen += n[i]
			if total > 0 && float64(seen) >= part*float64(total) {
				out[p] = bucketEnd(i)
				break
			}
		}
	}
	return total, out
}
