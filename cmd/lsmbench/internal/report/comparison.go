package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

// Comparison prints what has become of every row as an aligned table. The last line is
// the verdict.
func Comparison(w io.Writer, c *result.Comparison) error {
	lines := [][]string{{
		"workload", "engine", "old/s", "new/s", "change", "spread", "",
		"old settled", "new settled", "change", "spread", "",
	}}
	groups, blocks := comparedBlocks(c.Rows)
	for _, g := range groups {
		if len(groups) > 1 {
			lines = append(lines, nil, []string{cmp.Or(g, "other")})
		}
		for _, rows := range blocks[g] {
			name := rows[0].Workload
			for _, r := range rows {
				line := append([]string{name, r.Engine}, changeCells(r.Rate)...)
				lines = append(lines, append(line, changeCells(r.Settled)...))
				name = ""
			}
		}
	}
	var out strings.Builder
	if err := printAligned(&out, lines); err != nil {
		return err
	}
	out.WriteString("\n" + verdict(c) + "\n")
	_, err := io.WriteString(w, out.String())
	return err
}

// comparedBlocks brings the rows of one group and workload together, in the order in
// which these first appear.
func comparedBlocks(rows []result.ComparedRow) (groups []string, blocks map[string][][]result.ComparedRow) {
	blocks = map[string][][]result.ComparedRow{}
	type key struct{ group, workload string }
	place := map[key]int{}
	for _, r := range rows {
		groups = appendNew(groups, r.Group)
		k := key{r.Group, r.Workload}
		at, known := place[k]
		if !known {
			at = len(blocks[r.Group])
			place[k] = at
			blocks[r.Group] = append(blocks[r.Group], nil)
		}
		blocks[r.Group][at] = append(blocks[r.Group][at], r)
	}
	return groups, blocks
}

// changeCells are old, new, change, spread and what to think of it.
func changeCells(c result.Change) []string {
	change, spread, thought := "", "", ""
	switch c.Judgement {
	case result.None:
	case result.Gone, result.Added:
		thought = c.Judgement.String()
	default:
		change = fmt.Sprintf("%+.1f%%", c.Relative*100)
		if c.Old.Repeats > 1 || c.New.Repeats > 1 {
			spread = percentText(c.Spread())
		}
		if c.Judgement != result.Alike {
			thought = c.Judgement.String()
		}
	}
	return []string{units.Rate(c.Old.Median), units.Rate(c.New.Median), change, spread, thought}
}

// verdictNames is how many regressions the verdict names.
const verdictNames = 3

// verdict sums the comparison up in a line.
func verdict(c *result.Comparison) string {
	both := plural(len(c.Rows)-c.Count(result.Gone)-c.Count(result.Added)-c.Count(result.None), "row")
	slower := c.Slower()
	count, are, their := fmt.Sprint(len(slower)), "is", "its"
	switch len(slower) {
	case 0:
		count = "none"
	case 1:
	default:
		are, their = "are", "their"
	}
	text := fmt.Sprintf("verdict: %s of %s %s slower by more than %.4g%% and the spread of %s repeats", count, both, are, c.Threshold*100, their)
	if len(slower) > 0 {
		text += ": " + strings.Join(slowerNames(slower), ", ")
	}
	for _, also := range []struct {
		judgement result.Judgement
		text      string
	}{
		{result.Faster, "faster"}, {result.Noise, "within the spread"},
		{result.Gone, "only in the old results"}, {result.Added, "only in the new results"},
	} {
		if n := c.Count(also.judgement); n > 0 {
			text += fmt.Sprintf("; %d %s", n, also.text)
		}
	}
	return text
}

// slowerNames names the first regressions and counts the others.
func slowerNames(slower []result.ComparedRow) []string {
	var names []string
	for i, r := range slower {
		if i == verdictNames {
			return append(names, fmt.Sprintf("%d more", len(slower)-i))
		}
		name := joinKnown(" ", r.Group, r.Workload, r.Engine)
		if r.Rate.Judgement != result.Slower {
			name += " (settled)"
		}
		names = append(names, name)
	}
	return names
}
