package report

import (
	"cmp"
	"slices"
	"strings"
)

// Lengths in a chart of lines.
const (
	lineHeight   = 232
	plotTop      = 10
	plotBottom   = lineHeight - 26
	plotLeft     = 46
	labelPitch   = 14
	labelIndent  = 8
	leaderFrom   = 5 // a label moved further than this is tied to its line
	leaderGap    = 3
	labelLetters = 12
)

// lineChart is figures of one workload along an axis: a line for each engine.
type lineChart struct {
	ID, Workload, Kind       string
	Title, Desc              string
	Width, Height            px
	Left, Right, Top, Bottom px // of the plot
	XTicks, YTicks           []tick
	Lines                    []line
}

// line is one engine's.
type line struct {
	Colour int
	Path   string
	Dots   []dot
	Label  lineLabel
}

// dot is a point of a line that has something to say.
type dot struct {
	point
	Tip string
}

// lineLabel is the engine's name at the end of its line.
type lineLabel struct {
	point
	Text string
	// Leader ties the label to the end of its line when it had to move away from it.
	Leader *leader
}

type leader struct{ From, To point }

// plot is where a chart draws: the room that its labels leave.
func plot(engines []string) (left, right, top, bottom px) {
	letters := 0
	for _, e := range engines {
		letters = max(letters, len([]rune(shorten(e, labelLetters))))
	}
	return plotLeft, chartWidth - px(glyphWidth*float64(letters)+labelIndent), plotTop, plotBottom
}

// trace is a line before it has a label.
type trace struct {
	engine string
	points []point
	dots   []dot
}

// drawLines joins the points of each trace and labels the ends. Traces without points
// are left out.
func (c *lineChart) drawLines(traces []trace, colours map[string]int) {
	traces = slices.DeleteFunc(traces, func(t trace) bool { return len(t.points) == 0 })
	labels := c.placeLabels(traces)
	for i, t := range traces {
		c.Lines = append(c.Lines, line{Colour: colours[t.engine], Path: path(t.points), Dots: t.dots, Label: labels[i]})
	}
}

// path writes points as the d of a path. A line of no length makes a single point seen,
// since its ends are round.
func path(points []point) string {
	var d strings.Builder
	for i, p := range points {
		if i == 0 {
			d.WriteString("M")
		} else {
			d.WriteString("L")
		}
		d.WriteString(p.X.String() + " " + p.Y.String())
	}
	if len(points) == 1 {
		d.WriteString("h0")
	}
	return d.String()
}

// labelRounds is how often labels push each other; a cluster of n has come to rest after
// a few times n.
const labelRounds = 60

// nearTheEnd is the part of the plot's width from which a line that ends has its label
// beside the plot, where it is in nobody's way.
const nearTheEnd = 0.7

// placeLabels puts each label right of the end of its line. Those that would cover each
// other move apart, up and down, in the order of their lines.
func (c *lineChart) placeLabels(traces []trace) []lineLabel {
	labels := make([]lineLabel, len(traces))
	order := make([]int, len(traces))
	for i, t := range traces {
		end := t.points[len(t.points)-1]
		if end.X > c.Left+nearTheEnd*(c.Right-c.Left) {
			end.X = c.Right
		}
		labels[i] = lineLabel{point: point{end.X + labelIndent, end.Y}, Text: shorten(t.engine, labelLetters)}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(labels[a].Y, labels[b].Y) })
	for range labelRounds {
		for n, i := range order {
			for _, j := range order[n+1:] {
				labels[i].pushApart(&labels[j], c.Top, c.Bottom)
			}
		}
	}
	for i, t := range traces {
		end := t.points[len(t.points)-1]
		if d := labels[i].Y - end.Y; d > leaderFrom || d < -leaderFrom || labels[i].X > end.X+2*labelIndent {
			labels[i].Leader = &leader{From: end, To: point{labels[i].X - leaderGap, labels[i].Y}}
		}
	}
	return labels
}

// pushApart moves l up and lower down until they do not touch, if they do. At the top and
// the bottom of the plot one of them must do the whole way.
func (l *lineLabel) pushApart(lower *lineLabel, top, bottom px) {
	width := func(l *lineLabel) px { return px(glyphWidth*float64(len([]rune(l.Text)))) + labelIndent }
	overlap := labelPitch - (lower.Y - l.Y)
	if overlap <= 0 || l.X >= lower.X+width(lower) || lower.X >= l.X+width(l) {
		return
	}
	l.Y = max(l.Y-overlap/2, top)
	lower.Y = min(l.Y+labelPitch, bottom)
	l.Y = max(min(l.Y, lower.Y-labelPitch), top)
}
