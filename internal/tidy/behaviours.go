package tidy

import (
	"go/ast"
	"regexp"
	"strings"
)

// Where the behaviours of the state layer are asserted, and which numbers they have, without those of agents,
// schemas, backups, scripts and the rest, which are of other packages.
const behaviourDir = "state"

var (
	behaviours = strings.Fields("B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11 B12 B13 B14 B15 B16 B17 B18 B19 B20 B21 B22 B23 " +
		"B31 B32 B33 B34 B35 B36 B37 B63 B64 B70")
	behaviour = regexp.MustCompile(`\bB[0-9]+\b`)
)

// Behaviours reports numbered behaviours of package state that no comment of one of its tests cites.
func Behaviours(t *Tree) []Problem {
	cited, tests := map[string]bool{}, false
	for _, f := range t.goFiles() {
		if f.Dir() != behaviourDir || !f.Test() {
			continue
		}
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			for _, number := range behaviour.FindAllString(fn.Doc.Text(), -1) {
				cited[number] = true
			}
			tests = true
		}
	}
	var out []Problem
	for _, number := range behaviours {
		if tests && !cited[number] {
			out = append(out, Problem{Path: behaviourDir, Text: "no test cites " + number})
		}
	}
	return out
}
