package tidy

import (
	"go/ast"
	"slices"
	"strconv"
)

// systemTrees may touch files, time and randomness as they like: the door to the file
// system, programs, and what only tests and harnesses use.
var systemTrees = []string{
	"cmd", "examples", "fuzz", "internal/foreign", "internal/golden", "internal/interleave", "internal/mutant",
	"internal/scorecard", "internal/vfs",
}

// systemImports are packages that reach past internal/vfs.
var systemImports = []string{
	"golang.org/x/sys/unix", "golang.org/x/sys/windows", "io/ioutil", "net", "os", "os/exec", "os/signal", "syscall",
}

// mappingPackage alone asks the system for memory, of the system's own packages by this one.
const mappingPackage, mappingImport = "internal/offheap", "golang.org/x/sys/unix"

// sleeps wait for the machine's clock.
var sleeps = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Sleep", "Tick"}

// optionPackages have options whose default is the machine's clock.
var optionPackages = []string{"lsm", "state"}

// clockReads ask the machine for the time.
var clockReads = []string{"Now", "Since", "Until"}

// randomConstructors make a source of random numbers from a seed; everything else in
// math/rand that is a function draws from the global one.
var randomConstructors = []string{"New", "NewChaCha8", "NewPCG", "NewSource", "NewZipf"}

// System reports code of the engine that takes files, time or randomness from the
// machine instead of from a parameter: such code cannot be tested under power cuts, or
// replayed from a seed. A bare reference to time.Now, as the default of an option, is
// allowed where options are. It also reports tests that
// sleep or set timers, except under testing/synctest, whose clock is not the machine's.
func System(t *Tree) []Problem {
	var out []Problem
	for _, f := range t.goFiles() {
		names := importNames(f)
		if f.Test() {
			if names["testing/synctest"] == "" {
				out = append(out, t.uses(f, names["time"], "a test must not sleep: %s.%s", func(name string, _ bool) bool {
					return slices.Contains(sleeps, name)
				})...)
			}
			continue
		}
		if under(f.Dir(), systemTrees) {
			continue
		}
		for path, pos := range imports(f) {
			if slices.Contains(systemImports, path) && (f.Dir() != mappingPackage || path != mappingImport) {
				out = append(out, t.problem(f, pos, "%s is for internal/vfs and programs", path))
			}
		}
		out = append(out, t.uses(f, names["time"], "time comes through a parameter: %s.%s", func(name string, call bool) bool {
			return name == "Sleep" || slices.Contains(clockReads, name) && (call || !slices.Contains(optionPackages, f.Dir()))
		})...)
		for _, path := range []string{"math/rand", "math/rand/v2"} {
			out = append(out, t.uses(f, names[path], "randomness comes through a parameter: %s.%s", func(name string, call bool) bool {
				return call && !slices.Contains(randomConstructors, name)
			})...)
		}
	}
	return out
}

// importNames maps the paths that f imports to the names they have in it.
func importNames(f *File) map[string]string {
	out := map[string]string{}
	for _, spec := range f.AST.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		out[path] = baseName(path)
		if spec.Name != nil {
			out[path] = spec.Name.Name
		}
	}
	return out
}

// baseName guesses a package's name from its import path.
func baseName(path string) string {
	if path == "math/rand/v2" {
		return "rand"
	}
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}

// uses reports selectors pkg.Name in f for which bad returns true; call says that the
// selector is called there and then.
func (t *Tree) uses(f *File, pkg, format string, bad func(name string, call bool) bool) []Problem {
	if pkg == "" {
		return nil
	}
	called := map[ast.Expr]bool{}
	var out []Problem
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			called[n.Fun] = true
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == pkg && bad(n.Sel.Name, called[n]) {
				out = append(out, t.problem(f, n.Pos(), format, pkg, n.Sel.Name))
			}
		}
		return true
	})
	return out
}
