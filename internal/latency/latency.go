// Package latency counts how long calls take, without a lock and without garbage.
package latency

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations in buckets: below 64 ns one, then eight to each power of two
// up to 2^42 ns, 73 minutes. The zero Histogram is empty. Its methods may be called from any number of
// goroutines.
type Histogram struct {
	buckets [1 + 8*(last-first)]atomic.Uint64
}

const first, last = 6, 42 // exponents

// Add counts a duration: one atomic addition.
func (h *Histogram) Add(d time.Duration) { h.AddFor(d, 1) }

// AddFor counts a duration that stands for n of them.
func (h *Histogram) AddFor(d time.Duration, n uint64) { h.buckets[bucketOf(d)].Add(n) }

func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	exp := bits.Len64(n) - 1
	switch {
	case exp < first:
		return 0
	case exp >= last:
		return 8 * (last - first)
	}
	return 1 + 8*(exp-first) + int(n>>(exp-3)&7)
}

// bucketEnd returns the least duration above those of the bucket.
func bucketEnd(i int) time.Duration {
	if i == 0 {
		return 1 << first
	}
	exp, part := first+(i-1)/8, (i-1)%8
	return time.Duration(uint64(9+part) << (exp - 3))
}

// Quantiles returns how many durations were added, and for each part, ascending, a duration within which
// that part of them lies, rounded up by at most an eighth; 0 of no durations.
func (h *Histogram) Quantiles(parts ...float64) (total uint64, out []time.Duration) {
	var n [len(h.buckets)]uint64
	for i := range h.buckets {
		n[i] = h.buckets[i].Load()
		total += n[i]
	}
	out = make([]time.Duration, len(parts))
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
