package main

import (
	"math/bits"
	"time"
)

// subBuckets is how many buckets each power of two is divided into: a value is known
// to 1/32, three per cent.
const (
	subBits    = 5
	subBuckets = 1 << subBits
)

// histogram counts durations in log-linear buckets: exact below 32 ns, then 32
// buckets for each power of two. It is for one goroutine; workers merge theirs at the
// end. The zero value is empty and ready.
type histogram struct {
	counts [(64 - subBits + 1) * subBuckets]uint64
	total  uint64
	max    time.Duration
	sum    time.Duration
}

// bucketOf returns the bucket of v nanoseconds: the position of the highest bit picks
// the row, the five bits below it the column.
func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return (shift+1)*subBuckets + int(v>>shift) - subBuckets
}

// bucketTop returns the greatest value of bucket i.
func bucketTop(i int) uint64 {
	if i < subBuckets {
		return uint64(i)
	}
	shift := i/subBuckets - 1
	return (uint64(i%subBuckets+subBuckets+1) << shift) - 1
}

// add counts one duration. Negative ones, from a clock set back, count as zero.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.sum += d
	h.max = max(h.max, d)
}

// merge adds the counts of other.
func (h *histogram) merge(other *histogram) {
	for i, c := range other.counts {
		h.counts[i] += c
	}
	h.total += other.total
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// quantile returns the duration that a share q of all counted ones does not exceed, to
// the bucket's upper end and never above the maximum; zero when nothing was counted.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(uint64(q*float64(h.total)+0.999999), 1)
	seen := uint64(0)
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return min(time.Duration(bucketTop(i)), h.max)
		}
	}
	return h.max
}
