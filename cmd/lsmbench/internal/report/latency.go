package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

// marked are the percentiles that the axis of latencies names.
var marked = []struct {
	q     float64
	label string
	of    func(*result.Latency) time.Duration
}{
	{0.5, "p50", func(l *result.Latency) time.Duration { return l.P50 }},
	{0.9, "p90", func(l *result.Latency) time.Duration { return l.P90 }},
	{0.99, "p99", func(l *result.Latency) time.Duration { return l.P99 }},
	{0.999, "p99.9", func(l *result.Latency) time.Duration { return l.P999 }},
	{0.9999, "p99.99", func(l *result.Latency) time.Duration { return l.P9999 }},
}

// quantileStep is how far apart the points of a curve are, in powers of ten of the share
// of operations that are slower.
const quantileStep = 0.05

// rarity is the place of a quantile on its axis: how many nines it has.
func rarity(q float64) float64 { return -math.Log10(1 - q) }

// latencies draws the distributions of one kind of operation of a block, or nothing when
// no engine has any.
func latencies(id string, b *block, kind string, engines []string, colours map[string]int) (lineChart, bool) {
	found := map[string]*result.Latency{}
	least, greatest := math.Inf(1), 0.0
	for _, r := range b.rows {
		if l := latencyOf(r, kind); l != nil {
			found[r.Engine] = l
			least = min(least, float64(max(l.P50, 1)))
			greatest = max(greatest, float64(atTheEnd(l)))
		}
	}
	if len(found) == 0 {
		return lineChart{}, false
	}
	c := lineChart{ID: id, Workload: b.workload, Kind: kind, Width: chartWidth, Height: lineHeight}
	c.Left, c.Right, c.Top, c.Bottom = plot(engines)
	from, to, marks := logAxis(least, max(greatest, least))
	x := scale{lo: rarity(marked[0].q), hi: rarity(marked[len(marked)-1].q), from: c.Left, to: c.Right}
	y := scale{lo: from, hi: to, from: c.Bottom, to: c.Top, log: true}
	c.YTicks = y.ticks(marks, durationTick)
	for _, m := range marked {
		c.XTicks = append(c.XTicks, tick{x.at(rarity(m.q)), m.label})
	}
	var traces []trace
	var said []string
	for _, e := range engines {
		if l := found[e]; l != nil {
			traces = append(traces, latencyTrace(e, l, x, y))
			said = append(said, latencyWords(e, l))
		}
	}
	c.drawLines(traces, colours)
	c.Title = fmt.Sprintf("%s: latency of %s by percentile", b.workload, kind)
	c.Desc = strings.Join(said, "; ") + "."
	return c, true
}

// leastTimed is how many operations make a distribution.
const leastTimed = 10

// latencyOf returns the distribution of a kind that is worth a curve, or nil.
func latencyOf(r *result.Row, kind string) *result.Latency {
	for i := range r.Latencies {
		if l := &r.Latencies[i]; l.Kind == kind && l.Count >= leastTimed && l.P50 > 0 {
			return l
		}
	}
	return nil
}

// kinds returns the kinds of operation that have latencies in a block.
func (b *block) kinds() []string {
	var kinds []string
	for _, r := range b.rows {
		for i := range r.Latencies {
			kinds = appendNew(kinds, r.Latencies[i].Kind)
		}
	}
	return kinds
}

// known is the rarity up to which a distribution says something: of a thousand
// operations the slowest is p99.9, and beyond there is nothing.
func known(l *result.Latency) float64 {
	return min(math.Log10(float64(l.Count)), rarity(marked[len(marked)-1].q))
}

func atTheEnd(l *result.Latency) time.Duration {
	if l.Histogram != nil && l.Histogram.Count() > 0 {
		return max(l.Histogram.Quantile(1-math.Pow(10, -known(l))), l.P50)
	}
	return max(l.P50, l.P90, l.P99, l.P999, l.P9999)
}

// latencyTrace is the curve of one engine, with dots at the marked percentiles. Without
// a histogram the dots are all there is to join.
func latencyTrace(engine string, l *result.Latency, x, y scale) trace {
	t := trace{engine: engine}
	place := func(rare float64, d time.Duration) point { return point{x.at(rare), y.at(float64(d))} }
	for _, m := range marked {
		if rare := rarity(m.q); rare <= known(l)+quantileStep {
			t.dots = append(t.dots, dot{place(rare, m.of(l)), fmt.Sprintf("%s %s %s", engine, m.label, units.Duration(m.of(l)))})
		}
	}
	if l.Histogram == nil || l.Histogram.Count() == 0 {
		for _, d := range t.dots {
			t.points = append(t.points, d.point)
		}
		return t
	}
	first, last := rarity(marked[0].q), known(l)
	steps := max(int(math.Round((last-first)/quantileStep)), 1)
	for i := range steps + 1 {
		rare := first + (last-first)*float64(i)/float64(steps)
		t.points = append(t.points, place(rare, l.Histogram.Quantile(1-math.Pow(10, -rare))))
	}
	return t
}

func latencyWords(engine string, l *result.Latency) string {
	words := engine
	for i, m := range marked {
		if i > 0 {
			words += ","
		}
		words += fmt.Sprintf(" %s %s", m.label, units.Duration(m.of(l)))
	}
	return words
}
