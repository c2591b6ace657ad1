package tidy

import (
	"regexp"
	"strings"
)

// The needles are put together here so that this file does not contain them.
var (
	unfinished  = regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "X" + "XX"}, "|") + `)\b`)
	machinePath = regexp.MustCompile(`(^|[\s"'` + "`" + `(=:,<>{])/(` + strings.Join([]string{"home", "root", "tmp", "work", "Users"}, "|") + `)(/|\b)`)
)

// Text reports markers of unfinished work, and absolute paths of somebody's machine,
// in code, documents and scripts.
func Text(t *Tree) []Problem {
	var out []Problem
	for _, f := range t.Files {
		n := 0
		for line := range strings.Lines(f.Src) {
			n++
			if m := unfinished.FindString(line); m != "" {
				out = append(out, Problem{Path: f.Path, Line: n, Text: "unfinished work: " + m})
			}
			if m := machinePath.FindString(line); m != "" {
				out = append(out, Problem{Path: f.Path, Line: n, Text: "a path of some machine: " + strings.TrimSpace(m)})
			}
		}
	}
	return out
}
