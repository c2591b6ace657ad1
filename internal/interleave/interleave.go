// Package interleave measures several ways of doing a thing beside each other, in one process: rounds of
// calls of each take turns, so that whatever else the machine does meets all of them alike. It is for
// benchmarks alone.
package interleave

import (
	"slices"
	"testing"
	"time"
)

// Side is one way of doing a thing.
type Side struct {
	// Name is what its figures are called.
	Name string
	// Call does the thing once.
	Call func() error
	// Rest, if not nil, is called behind each of its rounds, and not timed.
	Rest func() error
}

// Run makes a round of calls of each side in each iteration of the benchmark, every other time
// in the opposite order, and reports for each the median of the nanoseconds that a call takes, as
// NAME-ns; and for each but the first the median of how many times the first's that is, as
// NAME/FIRST, and of the difference, as NAME-added-ns, of the two rounds that belong together.
func Run(b *testing.B, calls int, sides ...Side) {
	b.Helper()
	times := make([][]float64, len(sides))
	for turn := 0; b.Loop(); turn++ {
		for i := range sides {
			if turn%2 == 1 {
				i = len(sides) - 1 - i
			}
			times[i] = append(times[i], round(b, calls, &sides[i]))
		}
	}
	first := &sides[0]
	for i := range sides {
		b.ReportMetric(median(times[i]), sides[i].Name+"-ns")
		if i == 0 {
			continue
		}
		var ratios, added []float64
		for turn, t := range times[i] {
			ratios = append(ratios, t/times[0][turn])
			added = append(added, t-times[0][turn])
		}
		b.ReportMetric(median(ratios), sides[i].Name+"/"+first.Name)
		b.ReportMetric(median(added), sides[i].Name+"-added-ns")
	}
	b.ReportMetric(0, "ns/op") // of a turn of all: nobody's
}

// round returns how many nanoseconds each of some calls took.
func round(b *testing.B, calls int, s *Side) float64 {
	begun := time.Now()
	for range calls {
		if err := s.Call(); err != nil {
			b.Fatal(err)
		}
	}
	took := float64(time.Since(begun)) / float64(calls)
	if s.Rest != nil {
		if err := s.Rest(); err != nil {
			b.Fatal(err)
		}
	}
	return took
}

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}
