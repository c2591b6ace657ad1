package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Fuzz targets. They are counted in the sources. At the sizes short and ci each runs
// over its seeds and over the inputs kept in the tree, as go test does; at the size
// full each is fuzzed for fullFuzzTime. CI fuzzes each for some seconds in a step of
// its own, which is not repeated here.

const fullFuzzTime = "30s"

// fuzzTarget is one target.
type fuzzTarget struct{ dir, name string }

// findTargets lists the fuzz targets of the module in root, sorted by directory.
func findTargets(root string) ([]fuzzTarget, error) {
	var out []fuzzTarget
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (entry.Name() == "testdata" || entry.Name() == "cmd" || entry.Name()[0] == '.'):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
				out = append(out, fuzzTarget{filepath.ToSlash(filepath.Dir(path)), f.Name.Name})
			}
		}
		return nil
	})
	return out, err
}

func fuzzTargets(c config) ([]figure, error) {
	targets, err := findTargets(".")
	if err != nil {
		return nil, err
	}
	var executions float64
	var errs []error
	if c.size == full {
		for _, t := range targets {
			n, err := fuzzOne(t)
			executions += n
			errs = append(errs, err)
		}
	} else {
		n, err := runSeeds(c, targets)
		executions += n
		errs = append(errs, err)
	}
	failures := float64(len(slices.DeleteFunc(errs, func(err error) bool { return err == nil })))
	return []figure{
		{"fuzz-targets", float64(len(targets)), "targets", atLeast(16)},
		{"fuzz-executions", executions, "executions", atLeast(of(c.size, 1, float64(len(targets)), 1e7))},
		{"fuzz-failures", failures, "failures", exactly(0)},
	}, errors.Join(errs...)
}

var seedRun = regexp.MustCompile(`(?m)^=== RUN +Fuzz\w+/`)

// runSeeds runs every target over its seeds and kept inputs and counts them.
func runSeeds(c config, targets []fuzzTarget) (float64, error) {
	var packages []string
	for _, t := range targets {
		if pkg := "./" + t.dir; !slices.Contains(packages, pkg) {
			packages = append(packages, pkg)
		}
	}
	out, err := c.ordinary(packages, "-run=^Fuzz")
	return float64(len(seedRun.FindAllString(out, -1))), err
}

var execs = regexp.MustCompile(`execs: (\d+)`)

// fuzzOne fuzzes one target for fullFuzzTime.
func fuzzOne(t fuzzTarget) (float64, error) {
	out, err := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", fullFuzzTime, "./"+t.dir).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w\n%s", t.name, t.dir, err, lastLines(string(out), 20))
	}
	all := execs.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseFloat(string(all[len(all)-1][1]), 64)
	return n, err
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
