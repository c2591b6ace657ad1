package tidy

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Module is the path of the root module; those of nested modules begin with it.
const Module = "github.com/loamdb/loam"

// Problem is one place that breaks a rule.
type Problem struct {
	// Path is relative to the root, slash-separated.
	Path string
	// Line counts from 1; 0 is the file as a whole.
	Line int
	// Text says what is wrong.
	Text string
}

// String returns path:line: text.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.Path + ": " + p.Text
	}
	return p.Path + ":" + strconv.Itoa(p.Line) + ": " + p.Text
}

// File is one text file of the tree.
type File struct {
	// Path is relative to the root, slash-separated.
	Path string
	// Src is the content.
	Src string
	// AST is the syntax tree of a Go file, with comments; nil for other files.
	AST *ast.File
}

// Dir returns the directory of the file relative to the root, which is "" itself.
func (f *File) Dir() string {
	if d := path.Dir(f.Path); d != "." {
		return d
	}
	return ""
}

// Test reports whether the file is compiled into tests only.
func (f *File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Tree is the text of the repository. It is not changed after Load.
type Tree struct {
	// Files are in the order of their paths.
	Files []*File
	// Names holds every file and directory, read or not, for links to them.
	Names map[string]bool

	fset *token.FileSet
}

// skippedDirs are no part of the tree.
var skippedDirs = map[string]bool{".git": true, "tmp": true}

// textFiles are the suffixes of files that are read; scripts under .ci have none.
var textFiles = []string{".go", ".md", ".mod", ".work", ".sh", ".toml", ".lua", ".js", ".yml", ".yaml"}

// Load reads the tree. Go files that do not parse are an error.
func Load(fsys fs.FS) (*Tree, error) {
	t := &Tree{Names: map[string]bool{}, fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name != ".":
			return nil // an editor's temporary file that is gone by now
		case err != nil:
			return err
		case d.IsDir() && skippedDirs[d.Name()]:
			return fs.SkipDir
		}
		t.Names[name] = true
		if d.IsDir() || !isText(name) {
			return nil
		}
		return t.add(fsys, name)
	})
	if err != nil {
		return nil, fmt.Errorf("tidy: load: %w", err)
	}
	return t, nil
}

// isText reports whether a file is read. Test data may break rules on purpose.
func isText(name string) bool {
	if strings.Contains("/"+name, "/testdata/") {
		return false
	}
	if path.Dir(name) == ".ci" {
		return true
	}
	for _, suffix := range textFiles {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func (t *Tree) add(fsys fs.FS, name string) error {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	f := &File{Path: name, Src: string(src)}
	if strings.HasSuffix(name, ".go") {
		f.AST, err = parser.ParseFile(t.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
	}
	t.Files = append(t.Files, f)
	return nil
}

// goFiles returns the Go files.
func (t *Tree) goFiles() []*File { return t.withSuffix(".go") }

func (t *Tree) withSuffix(suffix string) []*File {
	var out []*File
	for _, f := range t.Files {
		if strings.HasSuffix(f.Path, suffix) {
			out = append(out, f)
		}
	}
	return out
}

func (t *Tree) line(pos token.Pos) int { return t.fset.Position(pos).Line }

func (t *Tree) problem(f *File, pos token.Pos, format string, args ...any) Problem {
	return Problem{Path: f.Path, Line: t.line(pos), Text: fmt.Sprintf(format, args...)}
}

// imports returns the paths that a Go file imports, with their positions.
func imports(f *File) map[string]token.Pos {
	out := map[string]token.Pos{}
	for _, spec := range f.AST.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			out[p] = spec.Pos()
		}
	}
	return out
}
