package tidy

import (
	"path"
	"slices"
	"strings"
)

// dependencies are the modules that the library may require directly. Whoever adds one
// here makes every user download it.
var dependencies = []string{
	"github.com/cespare/xxhash/v2",
	"github.com/klauspost/compress",
	"github.com/stretchr/testify", // tests
	"github.com/vmihailenco/msgpack/v5",
	"golang.org/x/crypto",
	"golang.org/x/sys",
}

// Modules reports direct dependencies of the root module that are not chosen, nested
// modules that do not take the root module from the tree, and modules that go.work
// does not list, whose tests `go test work` would silently leave out.
func Modules(t *Tree) []Problem {
	var out []Problem
	var workspace string
	for _, f := range t.withSuffix("go.work") {
		workspace += f.Src
	}
	for _, f := range t.withSuffix("go.mod") {
		dir := f.Dir()
		if dir == "" {
			for _, m := range required(f.Src) {
				if !slices.Contains(dependencies, m) {
					out = append(out, Problem{Path: f.Path, Text: "the root module must not depend on " + m})
				}
			}
		} else {
			out = append(out, nested(f, t.importsRoot(dir))...)
		}
		use := "./" + dir
		if dir == "" {
			use = "."
		}
		if !slices.Contains(strings.Fields(workspace), use) {
			out = append(out, Problem{Path: f.Path, Text: "go.work does not use " + use})
		}
	}
	return out
}

// importsRoot reports whether the module at dir imports packages of the root module.
func (t *Tree) importsRoot(dir string) bool {
	for _, f := range t.goFiles() {
		if !under(f.Dir(), []string{dir}) {
			continue
		}
		for p := range imports(f) {
			if to, ours := strings.CutPrefix(p, Module+"/"); ours && !under(to, []string{dir}) {
				return true
			}
		}
	}
	return false
}

// nested checks the go.mod of a module below the root.
func nested(f *File, usesRoot bool) []Problem {
	var out []Problem
	if want := Module + "/" + f.Dir(); !strings.Contains(f.Src, "module "+want+"\n") {
		out = append(out, Problem{Path: f.Path, Text: "the module must be called " + want})
	}
	up := path.Clean(strings.Repeat("../", strings.Count(f.Dir(), "/")+1))
	if usesRoot && (!strings.Contains(f.Src, Module+" => "+up) || !strings.Contains(f.Src, Module+" v0.0.0")) {
		out = append(out, Problem{Path: f.Path, Text: "must require " + Module + " v0.0.0 and replace it with " + up})
	}
	return out
}

// required returns the modules that a go.mod requires directly.
func required(src string) []string {
	var out []string
	inBlock := false
	for line := range strings.Lines(src) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "require" && fields[1] == "(":
			inBlock = true
			continue
		case len(fields) > 0 && fields[0] == ")":
			inBlock = false
		case len(fields) > 2 && fields[0] == "require":
			fields = fields[1:]
		case !inBlock:
			continue
		}
		if len(fields) >= 2 && !strings.Contains(line, "// indirect") {
			out = append(out, fields[0])
		}
	}
	return out
}
