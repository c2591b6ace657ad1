package report

import (
	"embed"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

//go:embed page.html charts.html style.css
var files embed.FS

// templates are parsed once; html/template escapes every text for where it stands, in
// the drawings too.
var templates = template.Must(template.New("page").ParseFS(files, "page.html", "charts.html", "style.css"))

// HTML writes sets as one page that needs nothing else: tables, charts, and where the
// figures were made. Several sets are shown as one; rows that more than one has are kept
// apart. Ratios are to reference; when there is no row of it, rates are shown instead.
func HTML(w io.Writer, sets []*result.Set, reference string) error {
	printed := make([]*result.Set, len(sets))
	for i, s := range sets {
		printed[i] = printableSet(s)
	}
	return templates.ExecuteTemplate(w, "page.html", newPage(printed, printable(reference)))
}

// printableSet copies a set with the characters replaced that XML, and so a drawing,
// must not hold even when escaped.
func printableSet(s *result.Set) *result.Set {
	out := &result.Set{Environment: s.Environment, Runs: slices.Clone(s.Runs)}
	e := &out.Environment
	for _, text := range []*string{&e.CPU, &e.Kernel, &e.FileSystem, &e.Go, &e.Platform, &e.Commit, &e.Flags} {
		*text = printable(*text)
	}
	e.Settings = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Environment.Settings)) {
		e.Settings[printable(name)] = printable(s.Environment.Settings[name])
	}
	e.Notes = nil
	for _, note := range s.Environment.Notes {
		e.Notes = append(e.Notes, printable(note))
	}
	for i := range out.Runs {
		r := &out.Runs[i]
		for _, text := range []*string{&r.Group, &r.Workload, &r.Engine, &r.Note} {
			*text = printable(*text)
		}
		r.Latencies = slices.Clone(r.Latencies)
		for j := range r.Latencies {
			r.Latencies[j].Kind = printable(r.Latencies[j].Kind)
		}
	}
	return out
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF:
			return utf8.RuneError
		}
		return r
	}, s)
}
