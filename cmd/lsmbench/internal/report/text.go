package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

// better marks the best rate of a workload.
const better = "*"

// Header says on what and with what the figures were made, and ends with an empty line.
func Header(w io.Writer, e *result.Environment) error {
	type line struct{ label, text string }
	lines := []line{{"machine", machineText(e)}, {"build", buildText(e)}, {"flags", e.Flags}}
	for _, name := range slices.Sorted(maps.Keys(e.Settings)) {
		lines = append(lines, line{name, e.Settings[name]})
	}
	for _, note := range e.Notes {
		lines = append(lines, line{"note", note})
	}
	width := 0
	for _, l := range lines {
		width = max(width, utf8.RuneCountInString(l.label))
	}
	var out strings.Builder
	for _, l := range lines {
		out.WriteString(strings.TrimRight(padRight(l.label, width)+"  "+l.text, " ") + "\n")
	}
	_, err := io.WriteString(w, out.String()+"\n")
	return err
}

// machineText describes the machine in one line, as far as it is known.
func machineText(e *result.Environment) string {
	parts := []string{e.CPU}
	if e.Cores > 0 {
		parts = append(parts, plural(e.Cores, "core"))
	}
	if e.Memory > 0 {
		parts = append(parts, units.Bytes(e.Memory)+" memory")
	}
	return joinKnown(", ", append(parts, e.Kernel, e.FileSystem)...)
}

func buildText(e *result.Environment) string {
	build := joinKnown(" ", e.Go, e.Platform)
	if e.Commit != "" {
		build = joinKnown(", ", build, "commit "+e.Commit)
	}
	return build
}

// joinKnown joins the parts that are not empty.
func joinKnown(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), sep)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Table prints rows, those of one group and workload together, as an aligned table; a
// line with the name precedes each group when there are several. The ratio of a row is
// its rate over that of the reference engine; it is absent for the reference itself and
// where the reference did not run. wide adds what the operations cost, and the other
// kinds of operation of a workload that has several. Below the table stands how engines
// did what they have no operation for.
func Table(w io.Writer, rows []result.Row, reference string, wide bool) error {
	t := &table{rows: rows, reference: reference}
	cols := slices.DeleteFunc(columns(), func(c column) bool { return c.wide && !wide })
	heading := []string{"workload", "engine"}
	for _, c := range cols {
		heading = append(heading, c.heading)
	}
	lines := [][]string{heading}
	groups := arrange(rows)
	for _, g := range groups {
		if len(groups) > 1 {
			lines = append(lines, nil, []string{cmp.Or(g.name, "other")})
		}
		for _, b := range g.blocks {
			name := b.workload
			for _, r := range b.rows {
				lines = append(lines, textRow(t, cols, name, r))
				if wide {
					lines = append(lines, otherKinds(cols, r)...)
				}
				name = ""
			}
		}
	}
	if err := printAligned(w, lines); err != nil {
		return err
	}
	return printRemarks(w, rows)
}

// printRemarks prints what the rows' notes say, below an empty line.
func printRemarks(w io.Writer, rows []result.Row) error {
	runs := make([]result.Run, len(rows))
	for i := range rows {
		runs[i] = rows[i].Run
	}
	text := ""
	for _, m := range remarks(runs) {
		text += "\n" + m.String()
	}
	if text != "" {
		text += "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

func textRow(t *table, cols []column, name string, r *result.Row) []string {
	line := []string{name, r.Engine}
	for _, c := range cols {
		cell := c.cell(t, r)
		if cell.Best {
			cell.Text = better + cell.Text
		}
		line = append(line, cell.Text)
	}
	return line
}

// otherKinds are lines with the latencies of a row's kinds of operation after the first,
// which stands in the row itself.
func otherKinds(cols []column, r *result.Row) [][]string {
	var lines [][]string
	for i := 1; i < len(r.Latencies); i++ {
		line := []string{"", "  " + r.Latencies[i].Kind}
		for _, c := range cols {
			text := ""
			for _, p := range percentiles {
				if c.section == latency && c.heading == p.heading {
					text = units.Duration(p.of(&r.Latencies[i]))
				}
			}
			line = append(line, text)
		}
		lines = append(lines, line)
	}
	return lines
}

// printAligned prints lines with the first two columns flush left, the others right. A
// line of one cell is a title and takes part in no column.
func printAligned(w io.Writer, lines [][]string) error {
	widths := make([]int, len(lines[0]))
	for _, cells := range lines {
		for i, c := range cells {
			if len(cells) > 1 {
				widths[i] = max(widths[i], utf8.RuneCountInString(c))
			}
		}
	}
	var out strings.Builder
	for _, cells := range lines {
		var line strings.Builder
		for i, c := range cells {
			if i < 2 {
				line.WriteString(padRight(c, widths[i]) + "  ")
			} else {
				line.WriteString(padLeft(c, widths[i]) + "  ")
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func padRight(s string, width int) string { return s + padding(s, width) }
func padLeft(s string, width int) string  { return padding(s, width) + s }

func padding(s string, width int) string {
	return strings.Repeat(" ", max(width-utf8.RuneCountInString(s), 0))
}
