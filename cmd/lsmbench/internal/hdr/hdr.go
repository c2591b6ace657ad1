// Package hdr counts durations in log-linear buckets, so that the far percentiles of a
// long run are known to one part in 128 from a few kilobytes of counts. The idea is Gil
// Tene's HdrHistogram.
package hdr

import (
	"encoding/json"
	"errors"
	"math/bits"
	"time"
)

// subBuckets is how many buckets each power of two is divided into.
const (
	subBits    = 7
	subBuckets = 1 << subBits
	buckets    = (64 - subBits + 1) * subBuckets
)

// Histogram counts durations: exactly below 128 ns, then in 128 buckets for each power
// of two. It is for one goroutine; workers merge theirs at the end. The zero value is
// empty and ready.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
	sum    time.Duration
}

// bucketOf returns the bucket of v nanoseconds: the position of the highest bit picks
// the row, the bits below it the column.
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

// Add counts one duration. Negative ones count as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.sum += d
	h.max = max(h.max, d)
}

// Merge adds the counts of other.
func (h *Histogram) Merge(other *Histogram) {
	for i, c := range other.counts {
		h.counts[i] += c
	}
	h.total += other.total
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// Count returns how many durations were counted.
func (h *Histogram) Count() uint64 { return h.total }

// Max returns the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean returns the mean duration, or 0 of none.
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return h.sum / time.Duration(h.total)
}

// Quantile returns the duration that a share q of all counted ones does not exceed, to
// the bucket's upper end and never above the maximum; zero when nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
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

// Above returns how many durations were longer than d, to the bucket.
func (h *Histogram) Above(d time.Duration) uint64 {
	n := uint64(0)
	for i := bucketOf(uint64(max(d, 0))) + 1; i < buckets; i++ {
		n += h.counts[i]
	}
	return n
}

// encoded is the form in JSON: pairs of bucket and count, ascending.
type encoded struct {
	Max    time.Duration `json:"max_ns"`
	Sum    time.Duration `json:"sum_ns"`
	Counts [][2]uint64   `json:"counts"`
}

// MarshalJSON encodes the buckets that hold something.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	e := encoded{Max: h.max, Sum: h.sum, Counts: [][2]uint64{}}
	for i, c := range h.counts {
		if c > 0 {
			e.Counts = append(e.Counts, [2]uint64{uint64(i), c})
		}
	}
	return json.Marshal(e)
}

// UnmarshalJSON replaces the histogram by the encoded one.
func (h *Histogram) UnmarshalJSON(p []byte) error {
	var e encoded
	if err := json.Unmarshal(p, &e); err != nil {
		return err
	}
	*h = Histogram{max: e.Max, sum: e.Sum}
	for _, pair := range e.Counts {
		if pair[0] >= buckets {
			return errors.New("hdr: a bucket that does not exist")
		}
		h.counts[pair[0]] += pair[1]
		h.total += pair[1]
	}
	return nil
}
