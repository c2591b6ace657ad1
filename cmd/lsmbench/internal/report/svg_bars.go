package report

import (
	"fmt"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

// chartWidth is that of every drawing: a column of the page, and a phone, so that text
// has about the same size everywhere.
const chartWidth = 352

// Lengths in a chart of bars.
const (
	barPitch      = 27
	barHeight     = 13
	barTop        = 4
	whiskerCap    = 4
	glyphWidth    = 7.5 // of a letter, about, at the size of labels
	labelGap      = 7
	settledRoom   = 126 // right of the longest bar, for two figures
	rateRoom      = 52  // for one
	longestName   = 14  // letters of an engine's name that fit
	smallestShare = 1   // a bar that would be nothing is seen all the same
)

// barChart is the rates of one workload: a bar for each engine.
type barChart struct {
	ID, Workload, Desc string
	Width, Height      px
	Axis               px // where bars begin
	Bars               []bar
}

// bar is the rate of one engine. Places are middles, lengths run from the axis.
type bar struct {
	Colour       int
	Engine, Full string // Engine is cut to fit, Full is not
	Tip          string
	Absent       bool
	Best         bool
	Middle, Top  px
	Thickness    px
	Rate, Solid  px // lengths; Solid is the settled part
	Whisker      *whisker
	RateText     string
	SettledText  string
	LabelX       px
}

// whisker reaches from the slowest to the fastest repeat.
type whisker struct{ From, To, Top, Bottom, Middle px }

// bars draws the rates of a block; engines without a row keep their place.
func bars(id string, b *block, engines []string, colours map[string]int, settled bool) barChart {
	names, fastest := 0, 0.0
	for _, e := range engines {
		names = max(names, len([]rune(shorten(e, longestName))))
	}
	for _, r := range b.rows {
		fastest = max(fastest, r.Rate, r.Fastest)
	}
	room := px(rateRoom)
	if settled {
		room = settledRoom
	}
	axis := px(glyphWidth*float64(names) + labelGap)
	x := scale{lo: 0, hi: fastest, from: axis, to: chartWidth - room}
	c := barChart{ID: id, Workload: b.workload, Width: chartWidth, Height: px(barPitch*len(engines) + barTop), Axis: axis}
	var said []string
	for i, e := range engines {
		mid := px(barTop + barPitch*i + barPitch/2)
		v := bar{
			Colour: colours[e], Engine: shorten(e, longestName), Full: e,
			Middle: mid, Top: mid - barHeight/2.0, Thickness: barHeight, LabelX: axis + labelGap,
		}
		if r := b.of(e); r != nil && r.Rate > 0 {
			v.measure(r, x, b)
			said = append(said, v.Tip)
		} else {
			v.Absent = true
			said = append(said, e+" not measured")
		}
		c.Bars = append(c.Bars, v)
	}
	c.Desc = strings.Join(said, "; ") + "."
	return c
}

// measure gives the bar the lengths and texts of a row.
func (v *bar) measure(r *result.Row, x scale, b *block) {
	v.Rate = max(x.at(r.Rate)-x.from, smallestShare)
	v.Solid = v.Rate
	v.RateText = units.Rate(r.Rate)
	v.Tip = fmt.Sprintf("%s %s operations per second", r.Engine, v.RateText)
	end := x.from + v.Rate
	if r.Settled > 0 {
		v.Solid = min(max(x.at(r.Settled)-x.from, smallestShare), v.Rate)
		settled := units.Rate(r.Settled)
		v.Tip += ", " + settled + " settled"
		if settled != v.RateText {
			v.SettledText = settled + " settled"
		}
	}
	if r.Repeats > 1 {
		w := &whisker{From: x.at(r.Slowest), To: x.at(r.Fastest), Middle: v.Middle, Top: v.Middle - whiskerCap, Bottom: v.Middle + whiskerCap}
		v.Whisker = w
		end = max(end, w.To)
		v.Tip += fmt.Sprintf(", repeats from %s to %s", units.Rate(r.Slowest), units.Rate(r.Fastest))
	}
	v.LabelX = end + labelGap
	v.Best = true
	for _, o := range b.rows {
		if o != r && o.Rate >= r.Rate {
			v.Best = false
		}
	}
	v.Best = v.Best && len(b.rows) > 1
}

// shorten cuts a text to n letters, the last of them an ellipsis.
func shorten(s string, n int) string {
	letters := []rune(s)
	if len(letters) <= n {
		return s
	}
	return string(letters[:n-1]) + "…"
}
