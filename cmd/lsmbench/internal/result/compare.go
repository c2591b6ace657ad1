package result

import (
	"math"
	"slices"
)

// Judgement says what the change of a figure amounts to.
type Judgement int

// The judgements. None: neither side has the figure. Gone, Added: only the old side, only
// the new side has it. Alike: the change does not exceed the threshold. Noise: it does,
// but not the spread of the repeats. Slower and Faster exceed both.
const (
	None Judgement = iota
	Gone
	Added
	Alike
	Noise
	Slower
	Faster
)

// String names the judgement in a word.
func (j Judgement) String() string {
	return [...]string{"none", "gone", "added", "alike", "noise", "slower", "faster"}[j]
}

// Sample is one figure over the repeats of a row that have it.
type Sample struct {
	Repeats int
	// Median is the figure in the middle, the lower of two.
	Median           float64
	Slowest, Fastest float64
}

// spread is how far the ends are apart.
func (s Sample) spread() float64 { return s.Fastest - s.Slowest }

// Change is one figure before and after.
type Change struct {
	Old, New Sample
	// Relative is how much the median has grown, over the old one: -0.1 is 10% slower.
	// It is 0 where a side is missing.
	Relative  float64
	Judgement Judgement
}

// Spread is the greater spread of the two sides, over the old median: changes below it
// are noise.
func (c Change) Spread() float64 {
	if c.Old.Median <= 0 {
		return 0
	}
	return max(c.Old.spread(), c.New.spread()) / c.Old.Median
}

// ComparedRow is what has become of one row.
type ComparedRow struct {
	Group, Workload, Engine string
	Rate, Settled           Change
}

// Slower reports whether the row is a regression by either of its figures.
func (r ComparedRow) Slower() bool {
	return r.Rate.Judgement == Slower || r.Settled.Judgement == Slower
}

// Comparison is what has become of every row of two sets.
type Comparison struct {
	// Threshold is the share of the old figure that a change must exceed to count.
	Threshold float64
	// Rows stand in the order of the old set; those that only the new set has follow.
	Rows []ComparedRow
}

// Count returns how many rows have a rate with the judgement.
func (c *Comparison) Count(j Judgement) int {
	n := 0
	for _, r := range c.Rows {
		if r.Rate.Judgement == j {
			n++
		}
	}
	return n
}

// Slower returns the rows that are regressions.
func (c *Comparison) Slower() []ComparedRow {
	var slower []ComparedRow
	for _, r := range c.Rows {
		if r.Slower() {
			slower = append(slower, r)
		}
	}
	return slower
}

// Compare judges every row of two sets. A change counts when it exceeds the threshold, a
// share of the old figure, and also what the repeats of either side differ by, so that
// noise fails no check. A single repeat has no spread: then the threshold alone counts.
func Compare(old, new *Set, threshold float64) *Comparison {
	before, order := byRow(old.Runs, nil)
	after, order := byRow(new.Runs, order)
	c := &Comparison{Threshold: threshold, Rows: make([]ComparedRow, 0, len(order))}
	for _, k := range order {
		c.Rows = append(c.Rows, ComparedRow{
			Group: k.group, Workload: k.workload, Engine: k.engine,
			Rate:    changeOf(before[k], after[k], threshold, func(r *Run) float64 { return r.Rate }),
			Settled: changeOf(before[k], after[k], threshold, func(r *Run) float64 { return r.Settled }),
		})
	}
	return c
}

// rowKey is what the repeats of a row have in common.
type rowKey struct{ group, workload, engine string }

// byRow collects the runs of each row, and appends to order the rows not in it yet.
func byRow(runs []Run, order []rowKey) (map[rowKey][]Run, []rowKey) {
	known := map[rowKey]bool{}
	for _, k := range order {
		known[k] = true
	}
	rows := map[rowKey][]Run{}
	for _, r := range runs {
		k := rowKey{r.Group, r.Workload, r.Engine}
		rows[k] = append(rows[k], r)
		if !known[k] {
			known[k] = true
			order = append(order, k)
		}
	}
	return rows, order
}

func changeOf(old, new []Run, threshold float64, figure func(*Run) float64) Change {
	c := Change{Old: sampleOf(old, figure), New: sampleOf(new, figure)}
	switch {
	case c.Old.Repeats == 0 && c.New.Repeats == 0:
		c.Judgement = None
	case c.New.Repeats == 0:
		c.Judgement = Gone
	case c.Old.Repeats == 0:
		c.Judgement = Added
	default:
		grown := c.New.Median - c.Old.Median
		c.Relative = grown / c.Old.Median
		c.Judgement = judge(c, grown, threshold)
	}
	return c
}

func judge(c Change, grown, threshold float64) Judgement {
	switch {
	case math.Abs(c.Relative) <= threshold:
		return Alike
	case math.Abs(grown) <= max(c.Old.spread(), c.New.spread()):
		return Noise
	case grown < 0:
		return Slower
	}
	return Faster
}

// sampleOf takes the figure of the runs that have it.
func sampleOf(runs []Run, figure func(*Run) float64) Sample {
	var values []float64
	for i := range runs {
		if v := figure(&runs[i]); v > 0 {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return Sample{}
	}
	slices.Sort(values)
	return Sample{
		Repeats: len(values), Median: values[(len(values)-1)/2],
		Slowest: values[0], Fastest: values[len(values)-1],
	}
}
