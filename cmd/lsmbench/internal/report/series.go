package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

const (
	// worthSeeing is the number of seconds from which a run has a course.
	worthSeeing = 3
	// leastPart is the part of a second from which an unfinished one says how fast it was.
	leastPart = 0.25
	// mostPoints of a line; longer runs are drawn in means of several seconds.
	mostPoints = 480
)

// moment is the rate around a time, in seconds since the start.
type moment struct{ at, rate float64 }

// course is the rates of one run: one for each second, the last for what remains.
type course []moment

func (c course) fastest() float64 {
	return slices.MaxFunc(c, compareRates).rate
}

func (c course) slowest() float64 {
	return slices.MinFunc(c, compareRates).rate
}

func compareRates(a, b moment) int { return cmp.Compare(a.rate, b.rate) }

// overTime draws the rates of a block second by second, or nothing when all runs were
// too short.
func overTime(id string, b *block, engines []string, colours map[string]int) (lineChart, bool) {
	longest, fastest := 0, 0.0
	courses := map[string]course{}
	for _, r := range b.rows {
		longest = max(longest, len(r.PerSecond))
		if c := courseOf(r); len(c) > 0 {
			courses[r.Engine] = c
			fastest = max(fastest, c.fastest())
		}
	}
	if longest < worthSeeing {
		return lineChart{}, false
	}
	c := lineChart{ID: id, Workload: b.workload, Width: chartWidth, Height: lineHeight}
	c.Left, c.Right, c.Top, c.Bottom = plot(engines)
	shown := secondsShown(courses)
	step := (shown + mostPoints - 1) / mostPoints
	tops := linearTicks(fastest, 4)
	x := scale{lo: 0, hi: float64(shown), from: c.Left, to: c.Right}
	y := scale{lo: 0, hi: tops[len(tops)-1], from: c.Bottom, to: c.Top}
	c.YTicks = y.ticks(tops, rateTick)
	seconds := slices.DeleteFunc(linearTicks(float64(shown), 5), func(s float64) bool { return s > float64(shown) || s != float64(int(s)) })
	c.XTicks = x.ticks(seconds, secondsTick)
	var traces []trace
	var said []string
	for _, e := range engines {
		all, ok := courses[e]
		if !ok {
			continue
		}
		traces = append(traces, rateTrace(e, all[:min(len(all), shown)], step, x, y))
		said = append(said, fmt.Sprintf("%s from %s to %s in %s", e, rateWord(all.slowest()), rateWord(all.fastest()), plural(len(all), "second")))
		if len(all) > shown {
			c.Kind = fmt.Sprintf("%s goes on to %d s", e, len(all))
		}
	}
	c.drawLines(traces, colours)
	c.Title = b.workload + ": operations per second over time"
	if step > 1 {
		c.Title += fmt.Sprintf(", in means of %d seconds", step)
	}
	c.Desc = strings.Join(said, "; ") + "."
	return c, true
}

// outrun is how many times as long as every other a run may be and be shown to its end.
const outrun = 2

// secondsShown is how many seconds of a block's runs to draw: all, unless one engine took
// so much longer than the others that these would be pressed against the axis. What is
// beyond says little: the course of the slowest is seen by then.
func secondsShown(courses map[string]course) int {
	var lengths []int
	for _, c := range courses {
		lengths = append(lengths, len(c))
	}
	slices.Sort(lengths)
	longest := lengths[len(lengths)-1]
	if len(lengths) == 1 {
		return longest
	}
	return min(longest, max(outrun*lengths[len(lengths)-2], worthSeeing))
}

// rateWord writes a rate of which 0 is a value.
func rateWord(v float64) string {
	if v <= 0 {
		return "0"
	}
	return units.Rate(v)
}

// courseOf returns the rates of a run. Its last second is rarely a whole one, and may or
// may not have been counted: the operations that remain are divided by the time that
// there was, or left out when that is too short to say anything. A run that ended within
// its first second has a moment all the same.
func courseOf(r *result.Row) course {
	var c course
	elapsed, counted := r.Elapsed.Seconds(), uint64(0)
	for i, ops := range r.PerSecond {
		part := 1.0
		if i == len(r.PerSecond)-1 && elapsed > 0 {
			part = min(elapsed-float64(i), 1)
		}
		if part >= leastPart {
			c = append(c, moment{float64(i) + part/2, float64(ops) / part})
		}
		counted += ops
	}
	whole := len(r.PerSecond)
	part := elapsed - float64(whole)
	if r.Ops > counted && (part >= leastPart || whole == 0 && part > 0) && part < 2 {
		c = append(c, moment{float64(whole) + min(part, 1)/2, float64(r.Ops-counted) / part})
	}
	return c
}

// rateTrace puts the mean of every step moments into their middle. A single one is a dot.
func rateTrace(engine string, c course, step int, x, y scale) trace {
	t := trace{engine: engine}
	for some := range slices.Chunk(c, step) {
		mean := moment{}
		for _, m := range some {
			mean.at += m.at / float64(len(some))
			mean.rate += m.rate / float64(len(some))
		}
		t.points = append(t.points, point{x.at(mean.at), y.at(mean.rate)})
	}
	if len(t.points) == 1 {
		t.dots = []dot{{t.points[0], engine + " " + rateWord(c[0].rate)}}
	}
	return t
}
