package tidy

import (
	"go/ast"
	"regexp"
	"strconv"
)

// Where planted bugs are declared, and where each is listed with the test that kills it.
const (
	mutantFile = "internal/mutant/mutant.go"
	mutantPage = "docs/testing.md"
)

var mutantRow = regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|")

// PlantedBugs reports bugs of package mutant that docs/testing.md does not list, and
// rows of its table that name no bug. The script .ci/planted-bugs reads that table.
func PlantedBugs(t *Tree) []Problem {
	listed := map[string]bool{}
	for _, f := range t.Files {
		if f.Path != mutantPage {
			continue
		}
		for _, m := range mutantRow.FindAllStringSubmatch(f.Src, -1) {
			listed[m[1]] = true
		}
	}
	var out []Problem
	for _, f := range t.goFiles() {
		if f.Path != mutantFile {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for _, v := range spec.Values {
				lit, ok := v.(*ast.BasicLit)
				if !ok {
					continue
				}
				if name, err := strconv.Unquote(lit.Value); err == nil {
					if !listed[name] {
						out = append(out, t.problem(f, lit.Pos(), "%s does not list the bug %s", mutantPage, name))
					}
					delete(listed, name)
				}
			}
			return true
		})
	}
	for name := range listed {
		out = append(out, Problem{Path: mutantPage, Text: "no planted bug is called " + name})
	}
	return out
}
