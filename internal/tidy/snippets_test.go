package tidy_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/loamdb/loam/internal/tidy"
	"github.com/stretchr/testify/require"
)

// Go code in documents compiles: programs as they are, fragments with what is given to them.
func TestGoInDocumentsCompiles(t *testing.T) {
	snippets := tidy.Snippets(repository(t))
	require.NotEmpty(t, snippets)
	c := newChecker(t, snippets)
	for _, s := range snippets {
		for _, err := range c.check(s) {
			t.Error(err)
		}
	}
}

func TestGoThatDoesNotCompileIsFound(t *testing.T) {
	c := newChecker(t, nil)
	for _, x := range []struct {
		name, given, src, want string
	}{
		{"statements", "", "v, err := store.Get(ctx, scope.Global(), \"k\")\nv, err := store.Get(ctx, scope.Global(), \"k\")\nreturn err\n", ""},
		{"declarations", "", "var k = state.NewKey[int](\"k\")\n\nfunc f() error { return k.Set(ctx, nil, 1) }\n", ""},
		{"what is given", "type user struct{ age int }\nvar u user", "fmt.Println(u.age)\n", ""},
		{"a program", "", "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println() }\n", ""},
		{"a name nobody has", "", "a := 1\nfmt.Println(u)\n", "docs/a.md:8:13: undefined: u"},
		{"a method that is gone", "", "err := store.Save(ctx)\n", "docs/a.md:7:14: store.Save undefined"},
		{"arguments that do not fit", "", "err := store.Set(ctx, \"k\", 1)\n", "docs/a.md:7:"},
		{"a program with a variable too many", "", "package main\n\nfunc main() { a := 1 }\n", "docs/a.md:9:15: declared and not used: a"},
	} {
		t.Run(x.name, func(t *testing.T) {
			errs := c.check(tidy.Snippet{Path: "docs/a.md", Line: 7, Src: x.src, Given: x.given})
			if x.want == "" {
				require.Empty(t, errs)
				return
			}
			require.NotEmpty(t, errs)
			require.ErrorContains(t, errs[0], x.want)
		})
	}
}

// known are the packages that fragments may name; others of the standard library are those that
// programs import.
var known = []string{
	"./access/...", "./crypto", "./hook/...", "./lsm", "./privacy", "./scope", "./state/...",
	"context", "errors", "fmt", "iter", "log", "log/slog", "os", "strings", "sync", "time",
}

// A checker checks types against the packages as the go command has compiled them, which takes no
// time where it has already.
type checker struct {
	fset     *token.FileSet
	imports  types.Importer
	packages string // the import declarations of fragments
}

func newChecker(t *testing.T, snippets []tidy.Snippet) *checker {
	t.Helper()
	patterns := slices.Clone(known)
	for _, s := range snippets {
		if s.Program() {
			f, err := parser.ParseFile(token.NewFileSet(), "", s.Src, parser.ImportsOnly)
			require.NoError(t, err)
			for _, spec := range f.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				require.NoError(t, err)
				patterns = append(patterns, name)
			}
		}
	}
	args := append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.DepOnly}} {{.Export}}"}, patterns...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	var problems bytes.Buffer
	cmd.Stderr = &problems
	list, err := cmd.Output()
	require.NoError(t, err, "%s", &problems)

	c := &checker{fset: token.NewFileSet()}
	exports := map[string]string{}
	for line := range strings.Lines(string(list)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		dependency, file, _ := strings.Cut(rest, " ")
		exports[name] = file
		if dependency == "false" {
			c.packages += fmt.Sprintf("import %q\n", name)
		}
	}
	c.imports = importer.ForCompiler(c.fset, "gc", func(name string) (io.ReadCloser, error) {
		if exports[name] == "" {
			return nil, fmt.Errorf("the go command has not compiled %s", name)
		}
		return os.Open(exports[name])
	})
	return c
}

// complete makes a file of a snippet.
func (c *checker) complete(s tidy.Snippet) string {
	place := fmt.Sprintf("\n//line %s:%d:1\n", s.Path, s.Line)
	if s.Program() {
		return place + s.Src
	}
	head := "package p\n" + c.packages + "var (\n\tctx context.Context\n\tstore *state.Store\n\tdb *lsm.DB\n)\n" + s.Given + "\n"
	if s.Declarations() {
		return head + place + s.Src
	}
	return head + "func _() error {" + place + s.Src + "\npanic(0)\n}\n"
}

// check returns why a snippet does not compile. A fragment may have variables that it does not
// use, and declare one twice, as who writes two lines that belong to different functions.
func (c *checker) check(s tidy.Snippet) []error {
	f, err := parser.ParseFile(c.fset, "", c.complete(s), parser.SkipObjectResolution)
	if err != nil {
		return []error{err}
	}
	var problems []error
	config := types.Config{Importer: c.imports, Error: func(err error) {
		var e types.Error
		if s.Program() || !errors.As(err, &e) || !e.Soft {
			problems = append(problems, err)
		}
	}}
	_, _ = config.Check("p", c.fset, []*ast.File{f}, nil) // tells Error
	return problems
}
