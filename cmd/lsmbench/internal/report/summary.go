package report

import (
	"fmt"
	"math"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

// tie is the ratio below which two engines are taken for equally fast: repeats on a
// shared machine differ by as much.
const tie = 1.2

// summary is the ratios of one group: a line for each workload, and one below it where
// there are settled rates; a column for each engine.
type summary struct {
	Name    string // of the group, when there are several
	Engines []namedColour
	Lines   []summaryLine
}

// namedColour is an engine and its colour.
type namedColour struct {
	Name      string
	Colour    int
	Reference bool
}

type summaryLine struct {
	Workload string
	// Settled: the line is of settled rates, below that of the workload.
	Settled bool
	Cells   []summaryCell
}

// summaryCell is a ratio, or a rate where there is nothing to compare with.
type summaryCell struct {
	Text string
	// Tint says how much faster or slower than the reference: "faster-2".
	Tint      string
	Best      bool
	Reference bool
	// Tip is the rate behind a ratio.
	Tip string
}

// summarize compares the rates of a group with those of the reference.
func summarize(g *group, t *table, engines []namedColour) summary {
	s := summary{Engines: engines}
	for _, b := range g.blocks {
		s.Lines = append(s.Lines, summaryLine{Workload: b.workload, Cells: summaryCells(b, t, engines, result.RateOf)})
		if b.settles() {
			s.Lines = append(s.Lines, summaryLine{Workload: b.workload, Settled: true, Cells: summaryCells(b, t, engines, result.SettledOf)})
		}
	}
	return s
}

// settles reports whether a row has a settled rate.
func (b *block) settles() bool {
	for _, r := range b.rows {
		if r.Settled > 0 {
			return true
		}
	}
	return false
}

func summaryCells(b *block, t *table, engines []namedColour, figure func(*result.Row) float64) []summaryCell {
	var cells []summaryCell
	for _, e := range engines {
		c := summaryCell{Text: units.Absent, Reference: e.Reference}
		if r := b.of(e.Name); r != nil && figure(r) > 0 {
			c.Best = result.Best(t.rows, r, figure)
			c.Text = units.Rate(figure(r))
			if ratio := result.Ratio(t.rows, r, t.reference, figure); ratio > 0 {
				c.Tip = c.Text + " operations per second"
				c.Text, c.Tint = ratioText(ratio), tint(ratio)
			}
		}
		cells = append(cells, c)
	}
	return cells
}

// tint grades a ratio: none for a tie, then below and above 1.5 and 3 times.
func tint(ratio float64) string {
	side, factor := "faster", ratio
	if ratio < 1 {
		side, factor = "slower", 1/ratio
	}
	switch {
	case factor < tie || math.IsNaN(factor):
		return ""
	case factor < 1.5:
		return side + "-1"
	case factor < 3:
		return side + "-2"
	}
	return side + "-3"
}

// figures is the table of everything of one group.
type figures struct {
	Name     string
	Sections []section
	Headings []heading
	Blocks   []figuresBlock
}

type section struct {
	Name string
	Span int
}

type heading struct {
	Text, Meaning string
	// First of its section.
	First bool
}

type figuresBlock struct {
	Workload string
	Span     int
	Rows     []figuresRow
}

type figuresRow struct {
	Engine string
	Colour int
	Cells  []figuresCell
}

type figuresCell struct {
	cell
	First bool
}

// tabulate makes the table of a group, in the columns that the wide table of text has.
func tabulate(g *group, t *table, colours map[string]int) figures {
	cols := columns()
	f := figures{}
	for i, c := range cols {
		first := i == 0 || cols[i-1].section != c.section
		if first {
			f.Sections = append(f.Sections, section{Name: c.section})
		}
		f.Sections[len(f.Sections)-1].Span++
		f.Headings = append(f.Headings, heading{c.heading, c.meaning, first})
	}
	for _, b := range g.blocks {
		fb := figuresBlock{Workload: b.workload, Span: len(cols) + 1}
		for _, r := range b.rows {
			row := figuresRow{Engine: r.Engine, Colour: colours[r.Engine]}
			for i, c := range cols {
				row.Cells = append(row.Cells, figuresCell{c.cell(t, r), f.Headings[i].First})
			}
			fb.Rows = append(fb.Rows, row)
		}
		f.Blocks = append(f.Blocks, fb)
	}
	return f
}

// otherLatencies are the kinds of operation that the table of everything leaves out.
type otherLatencies struct {
	Workload, Engine, Kind string
	Colour                 int
	Cells                  []string
}

// others lists the latencies of rows that have several kinds of operation.
func others(g *group, colours map[string]int) []otherLatencies {
	var out []otherLatencies
	for _, b := range g.blocks {
		for _, r := range b.rows {
			for i := 1; i < len(r.Latencies); i++ {
				l := &r.Latencies[i]
				o := otherLatencies{Workload: b.workload, Engine: r.Engine, Kind: l.Kind, Colour: colours[r.Engine]}
				for _, p := range percentiles {
					o.Cells = append(o.Cells, units.Duration(p.of(l)))
				}
				o.Cells = append(o.Cells, fmt.Sprint(l.Count), fmt.Sprint(l.Slow))
				out = append(out, o)
			}
		}
	}
	return out
}
