package tidy

import (
	"fmt"
	"go/ast"
	"strings"
)

// Sizes beyond which a reader loses the thread, in lines.
const (
	maxFileLines     = 500
	maxTestFileLines = 900
	maxFuncLines     = 70
)

// Sizes reports Go files and functions that are too long. Tests may have long files,
// and long functions, since tables of cases are long.
func Sizes(t *Tree) []Problem {
	var out []Problem
	for _, f := range t.goFiles() {
		limit := maxFileLines
		if f.Test() {
			limit = maxTestFileLines
		}
		if n := strings.Count(f.Src, "\n"); n > limit {
			out = append(out, Problem{Path: f.Path, Text: fmt.Sprintf("%d lines, the limit is %d", n, limit)})
		}
		if f.Test() {
			continue
		}
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := t.line(fn.End()) - t.line(fn.Pos()) + 1; n > maxFuncLines {
				out = append(out, t.problem(f, fn.Pos(), "func %s has %d lines, the limit is %d", fn.Name.Name, n, maxFuncLines))
			}
		}
	}
	return out
}
