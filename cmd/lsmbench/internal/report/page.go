package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

// page is everything that page.html shows, in words and places: the template only sets
// it.
type page struct {
	Title, Kicker string
	Lead          []string
	Reference     string
	Engines       []namedColour
	Summaries     []summary
	Rates         []chartGroup[barChart]
	Latencies     []chartGroup[lineChart]
	OverTime      []chartGroup[lineChart]
	Figures       []figures
	Others        []otherLatencies
	OtherHeadings []string
	Meanings      []heading
	Environments  []environmentView
	Settles       bool
	Whiskers      bool
}

// chartGroup is the charts of one group of rows.
type chartGroup[C any] struct {
	Name   string
	Charts []C
}

// environmentView is where and with what one file of results was made.
type environmentView struct {
	Name     string // when there are several
	Facts    []fact
	Command  string
	Settings []fact
	Notes    []string
}

type fact struct{ Name, Text string }

// newPage makes a page of sets. reference is the engine that others are compared with;
// when no row is of it there are rates instead of ratios.
func newPage(sets []*result.Set, reference string) *page {
	rows := result.Rows(merge(sets))
	groups := arrange(rows)
	var engines []string
	for _, r := range rows {
		engines = appendNew(engines, r.Engine)
	}
	colours := assignColours(engines)
	if len(engines) < 2 || !slices.Contains(engines, reference) {
		reference = ""
	}
	p := &page{Reference: reference, Engines: named(engines, colours, reference)}
	t := &table{rows: rows, reference: reference}
	for n, g := range groups {
		name := ""
		if len(groups) > 1 {
			name = cmp.Or(g.name, "other")
		}
		p.addGroup(n, name, g, t, colours)
	}
	for _, q := range percentiles {
		p.OtherHeadings = append(p.OtherHeadings, q.heading)
	}
	p.OtherHeadings = append(p.OtherHeadings, "timed", "over "+units.Duration(result.SlowFrom))
	p.Meanings = meanings()
	for i, s := range sets {
		v := viewEnvironment(&s.Environment)
		for _, m := range remarks(s.Runs) {
			v.Notes = append(v.Notes, m.String())
		}
		if len(sets) > 1 {
			v.Name = fmt.Sprintf("Results %d", i+1)
		}
		p.Environments = append(p.Environments, v)
	}
	p.introduce(sets, rows, engines)
	return p
}

func named(engines []string, colours map[string]int, reference string) []namedColour {
	var out []namedColour
	for _, e := range engines {
		out = append(out, namedColour{e, colours[e], e == reference})
	}
	return out
}

// addGroup adds the charts and tables of a group; n tells its drawings from those of
// other groups.
func (p *page) addGroup(n int, name string, g *group, t *table, colours map[string]int) {
	engines := g.engines()
	s := summarize(g, t, named(engines, colours, t.reference))
	s.Name = name
	p.Summaries = append(p.Summaries, s)
	f := tabulate(g, t, colours)
	f.Name = name
	p.Figures = append(p.Figures, f)
	p.Others = append(p.Others, others(g, colours)...)

	settles := slices.ContainsFunc(g.blocks, (*block).settles)
	p.Settles = p.Settles || settles
	rates := chartGroup[barChart]{Name: name}
	curves, course := chartGroup[lineChart]{Name: name}, chartGroup[lineChart]{Name: name}
	for i, b := range g.blocks {
		for _, r := range b.rows {
			p.Whiskers = p.Whiskers || r.Repeats > 1
		}
		id := fmt.Sprintf("g%dw%d", n, i)
		rates.Charts = append(rates.Charts, bars(id+"-rate", b, engines, colours, settles))
		kinds := b.kinds()
		for k, kind := range kinds {
			if c, ok := latencies(fmt.Sprintf("%s-latency%d", id, k), b, kind, engines, colours); ok {
				if len(kinds) == 1 {
					c.Kind = ""
				}
				curves.Charts = append(curves.Charts, c)
			}
		}
		if c, ok := overTime(id+"-time", b, engines, colours); ok {
			course.Charts = append(course.Charts, c)
		}
	}
	p.Rates = append(p.Rates, rates)
	if len(curves.Charts) > 0 {
		p.Latencies = append(p.Latencies, curves)
	}
	if len(course.Charts) > 0 {
		p.OverTime = append(p.OverTime, course)
	}
}

// introduce says in a title and two sentences what was measured.
func (p *page) introduce(sets []*result.Set, rows []result.Row, engines []string) {
	if len(engines) == 0 {
		p.Title = "No results"
		p.Lead = []string{"There is no run of any workload."}
		return
	}
	p.Title = titleText(engines, p.Reference)
	commit := common(sets, func(e *result.Environment) string { return prefixed("commit ", e.Commit) }, "several commits")
	p.Kicker = joinKnown(" · ", "lsmbench", dateText(sets[0].Environment.Time), commit)
	where := common(sets, machineText, "several machines")

	var workloads, groups []string
	least, most := rows[0].Repeats, 1
	for _, r := range rows {
		workloads, groups = appendNew(workloads, r.Workload), appendNew(groups, r.Group)
		least, most = min(least, r.Repeats), max(most, r.Repeats)
	}
	ran := engines[0] + " ran"
	if len(engines) > 1 {
		ran = capital(countNoun(len(engines), "engine")) + ", " + listText(engines) + ", ran"
	}
	what := countNoun(len(workloads), "workload")
	if len(groups) > 1 {
		what += " in " + countNoun(len(groups), "group")
	}
	p.Lead = append(p.Lead, fmt.Sprintf("%s %s, %s%s.", ran, what, timesWord(least, most), prefixed(", on ", where)))
	figures := "Rates are operations per second"
	if most > 1 {
		figures += " of the median repeat"
	}
	if p.Reference != "" {
		figures += fmt.Sprintf("; ratios are to %s, so 2.00× means twice as fast as %s", p.Reference, p.Reference)
	}
	p.Lead = append(p.Lead, figures+".")
}

// common is what all sets say, or otherwise.
func common(sets []*result.Set, say func(*result.Environment) string, otherwise string) string {
	said := say(&sets[0].Environment)
	for _, s := range sets {
		if say(&s.Environment) != said {
			return otherwise
		}
	}
	return said
}

// namesInTitle is how many engines a title names besides the reference.
const namesInTitle = 4

func titleText(engines []string, reference string) string {
	compared := slices.DeleteFunc(slices.Clone(engines), func(e string) bool { return e == reference })
	title := listText(compared)
	if len(compared) > namesInTitle {
		title = capital(countNoun(len(compared), "engine"))
	}
	if reference != "" {
		title += " beside " + reference
	}
	return title
}

func timesWord(least, most int) string {
	switch {
	case most == 1:
		return "once each"
	case least == 2 && most == 2:
		return "twice each"
	case least == most:
		return countNoun(most, "time") + " each"
	}
	return fmt.Sprintf("%s to %s times each", numberText(least), numberText(most))
}

// numberText writes small numbers as words.
func numberText(n int) string {
	words := []string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}
	if n < len(words) {
		return words[n]
	}
	return fmt.Sprint(n)
}

func countNoun(n int, noun string) string {
	if n == 1 {
		return "one " + noun
	}
	return numberText(n) + " " + noun + "s"
}

// listText joins names as a sentence does.
func listText(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func dateText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006")
}

func viewEnvironment(e *result.Environment) environmentView {
	v := environmentView{Command: e.Flags, Notes: slices.Clone(e.Notes)}
	add := func(name, text string) {
		if text != "" {
			v.Facts = append(v.Facts, fact{name, text})
		}
	}
	add("Processor", e.CPU)
	if e.Cores > 0 {
		add("Cores", fmt.Sprint(e.Cores))
	}
	if e.Memory > 0 {
		add("Memory", units.Bytes(e.Memory))
	}
	add("System", e.Kernel)
	add("File system", e.FileSystem)
	add("Go", joinKnown(" ", e.Go, e.Platform))
	add("Commit", e.Commit)
	if !e.Time.IsZero() {
		add("Time", e.Time.UTC().Format("2006-01-02 15:04 MST"))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Settings)) {
		v.Settings = append(v.Settings, fact{name, e.Settings[name]})
	}
	return v
}

// meanings explains the columns that have something to explain.
func meanings() []heading {
	var out []heading
	for _, c := range columns() {
		if c.meaning != "" && !slices.ContainsFunc(out, func(h heading) bool { return h.Text == c.heading }) {
			out = append(out, heading{Text: c.heading, Meaning: c.meaning})
		}
	}
	return out
}

// merge makes one list of the runs of several sets. Runs of a row that more than one set
// has are no repeats of each other, since machine or build differ: the groups of such
// sets get the number of their set.
func merge(sets []*result.Set) []result.Run {
	type key struct{ group, workload, engine string }
	owner := map[key]int{}
	shared := false
	for i, s := range sets {
		for _, r := range s.Runs {
			k := key{r.Group, r.Workload, r.Engine}
			first, known := owner[k]
			shared = shared || known && first != i
			if !known {
				owner[k] = i
			}
		}
	}
	var runs []result.Run
	for i, s := range sets {
		for _, r := range s.Runs {
			if shared {
				r.Group = joinKnown(", ", r.Group, fmt.Sprintf("results %d", i+1))
			}
			runs = append(runs, r)
		}
	}
	return runs
}
