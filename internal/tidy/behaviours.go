package tidy

import (
	"go/ast"
	"regexp"
	"strings"
)

// behaviours are the packages in which numbered behaviours are asserted, and their numbers.
var behaviours = []struct{ dir, numbers string }{
	{"lsm", "B60 B61 B62"},
	{"state", "B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11 B12 B13 B14 B15 B16 B17 B18 B19 B20 B21 B22 B23 " +
		"B31 B32 B33 B34 B35 B36 B37 B63 B64 B70"},
}

var behaviour = regexp.MustCompile(`\bB[0-9]+\b`)

// Behaviours reports numbered behaviours of a package that no comment of one of its tests cites.
func Behaviours(t *Tree) []Problem {
	var out []Problem
	for _, b := range behaviours {
		cited := t.cited(b.dir)
		for _, number := range strings.Fields(b.numbers) {
			if cited != nil && !cited[number] {
				out = append(out, Problem{Path: b.dir, Text: "no test cites " + number})
			}
		}
	}
	return out
}

// cited returns the numbers of behaviours that comments of a package's tests have; nil: it has no tests.
func (t *Tree) cited(dir string) map[string]bool {
	var cited map[string]bool
	for _, f := range t.goFiles() {
		if f.Dir() != dir || !f.Test() {
			continue
		}
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			if cited == nil {
				cited = map[string]bool{}
			}
			for _, number := range behaviour.FindAllString(fn.Doc.Text(), -1) {
				cited[number] = true
			}
		}
	}
	return cited
}
