// Command foreign checks the types of every file of the root module, tests included, for other
// systems and processors:
//
//	go run ./internal/foreign linux/s390x windows/amd64
//
// It reads sources alone, those of dependencies too, whose functions it does not look into. The
// go command would compile all of them for each system first, which takes twenty times as long; what a
// compiler finds in files that build here it has found here. .ci/long has it vet and build all.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	failed := false
	for _, target := range os.Args[1:] {
		n, err := check(".", target, "./...")
		if err != nil {
			failed = true
			fmt.Fprintf(os.Stderr, "foreign: %s: %v\n", target, err)
			continue
		}
		fmt.Printf("%s: the types of %d packages agree\n", target, n)
	}
	if failed {
		os.Exit(1)
	}
}

// listed is what go list says of a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	ImportMap  map[string]string
	Standard   bool
	Module     *struct{ Main bool }
	Error      *struct{ Err string }
	DepsErrors []struct{ Err string }
}

// check checks the packages in the tree of dir that patterns name, with their tests and all that they
// import, for a target, as in linux/s390x, and returns how many of them are the module's.
func check(dir, target string, patterns ...string) (n int, err error) {
	system, processor, ok := strings.Cut(target, "/")
	sizes := types.SizesFor("gc", processor)
	if !ok || sizes == nil {
		return 0, errors.New("a target is a system and a processor, as in linux/s390x")
	}
	cmd := exec.Command("go", append([]string{"list", "-e", "-deps", "-test",
		"-json=ImportPath,Dir,GoFiles,ImportMap,Standard,Module,Error,DepsErrors"}, patterns...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("go list: %w", err)
	}
	c := checker{fset: token.NewFileSet(), sizes: sizes, done: map[string]*types.Package{"unsafe": types.Unsafe}}
	var errs []error
	for d := json.NewDecoder(strings.NewReader(string(out))); ; { // dependencies come before what needs them
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return n, errors.Join(errs...)
		} else if err != nil {
			return n, fmt.Errorf("go list: %w", err)
		}
		if p.ImportPath == "unsafe" || strings.HasSuffix(p.ImportPath, ".test") {
			continue // the program that runs tests is the go command's
		}
		if p.Error != nil {
			errs = append(errs, errors.New(p.Error.Err))
		}
		if p.Module != nil && p.Module.Main {
			n++
		}
		errs = append(errs, c.add(&p))
	}
}

// checker has the packages that were checked.
type checker struct {
	fset  *token.FileSet
	sizes types.Sizes
	done  map[string]*types.Package
}

// add checks a package whose imports were.
func (c *checker) add(p *listed) error {
	ours := p.Module != nil && p.Module.Main
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	var errs []error
	config := types.Config{
		Sizes: c.sizes, IgnoreFuncBodies: !ours, FakeImportC: true,
		Importer: importer{c, p.ImportMap},
		Error: func(err error) {
			if ours && len(errs) < 10 { // what others do with their compiler's help is theirs
				errs = append(errs, err)
			}
		},
	}
	path, _, _ := strings.Cut(p.ImportPath, " ") // "p [p.test]" is p as its tests see it
	pkg, err := config.Check(path, c.fset, files, nil)
	c.done[p.ImportPath] = pkg
	if ours && err != nil && len(errs) == 0 {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// importer finds what one package imports, by the names that it has there.
type importer struct {
	*checker
	names map[string]string
}

// Import implements types.Importer.
func (i importer) Import(path string) (*types.Package, error) {
	if name, ok := i.names[path]; ok {
		path = name
	}
	if p := i.done[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("package %s was not listed", path)
}
