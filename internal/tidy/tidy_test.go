package tidy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/tidy"
	"github.com/stretchr/testify/require"
)

const root = "../.."

func repository(t *testing.T) *tidy.Tree {
	t.Helper()
	tree, err := tidy.Load(os.DirFS(root))
	require.NoError(t, err)
	require.NotEmpty(t, tree.Files)
	return tree
}

var checks = []struct {
	name  string
	check func(*tidy.Tree) []tidy.Problem
}{
	{"sizes", tidy.Sizes},
	{"imports", tidy.Imports},
	{"door", tidy.Door},
	{"system", tidy.System},
	{"modules", tidy.Modules},
	{"names", tidy.Names},
	{"text", tidy.Text},
	{"links", tidy.Links},
	{"snippets", tidy.SnippetSyntax},
	{"planted bugs", tidy.PlantedBugs},
	{"behaviours", tidy.Behaviours},
	{"harnesses", tidy.Harnesses},
}

func TestTheRepositoryKeepsItsRules(t *testing.T) {
	if testing.Short() {
		t.Skip("the sources are the same in every lane")
	}
	tree := repository(t)
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for _, p := range c.check(tree) {
				t.Error(p)
			}
		})
	}
}

// The README shows some rows of the table of all engines, as they are.
func TestFiguresInTheREADMEAreThoseOfTheBenchmarks(t *testing.T) {
	read := func(name string) string {
		p, err := os.ReadFile(root + "/" + name)
		require.NoError(t, err)
		return string(p)
	}
	measured, rows := read("docs/benchmarks/README.md"), 0
	_, table, found := strings.Cut(read("README.md"), "| row | | Loam | Pebble | best of the others |\n|---|---|---:|---:|---|\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	for _, row := range strings.Split(table, "\n") {
		cell := strings.Split(row, " | ")
		require.Len(t, cell, 5, row)
		require.Regexp(t, regexp.QuoteMeta("\n"+cell[0]+" | "+cell[2]+" | "+cell[3]+" | ")+".*"+regexp.QuoteMeta("| "+cell[4]+"\n"), measured)
		rows++
	}
	require.Greater(t, rows, 5)
}

// A new exported name is a promise: it must show in review.
func TestExportedNamesAreThoseOfTheList(t *testing.T) {
	list := strings.Join(tidy.Exported(repository(t)), "\n") + "\n"
	golden.Assert(t, "testdata/exported.txt", []byte(list))
}

// load makes a tree of a few files. A file of package p that lacks a package comment
// gets one, so that each case breaks one rule only.
func load(t *testing.T, files map[string]string) *tidy.Tree {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, src := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(src)}
	}
	tree, err := tidy.Load(fsys)
	require.NoError(t, err)
	return tree
}

// breaks are small trees and the problems that exactly one check must find in them.
// Words that the checks look for are spelt in two parts, since this file is checked
// too.
var breaks = []struct {
	rule  string
	check func(*tidy.Tree) []tidy.Problem
	files map[string]string
	want  []string
}{
	{"a file of 501 lines", tidy.Sizes,
		map[string]string{"p/p.go": "package p\n" + strings.Repeat("\n", 500), "p/ok.go": "package p\n" + strings.Repeat("\n", 499)},
		[]string{"p/p.go: 501 lines, the limit is 500"}},
	{"a test file of 901 lines", tidy.Sizes,
		map[string]string{"p/p_test.go": "package p\n" + strings.Repeat("\n", 900), "p/ok_test.go": "package p\n" + strings.Repeat("\n", 800)},
		[]string{"p/p_test.go: 901 lines, the limit is 900"}},
	{"a function of 71 lines", tidy.Sizes,
		map[string]string{"p/p.go": "package p\n\nfunc f() {\n" + strings.Repeat("\n", 69) + "}\n\nfunc g() {\n" + strings.Repeat("\n", 68) + "}\n"},
		[]string{"p/p.go:3: func f has 71 lines, the limit is 70"}},

	{"an import that goes up", tidy.Imports,
		map[string]string{"wal/p.go": "package wal\n\nimport _ \"" + tidy.Module + "/lsm\"\n", "lsm/p.go": "package lsm\n\nimport _ \"" + tidy.Module + "/wal\"\n"},
		[]string{"wal/p.go:3: package wal must not import lsm"}},
	{"a package without a row", tidy.Imports,
		map[string]string{"new/p.go": "package new\n"},
		[]string{"new/p.go: package new has no row in the table of imports"}},
	{"log and memtable that meet below", tidy.Imports,
		map[string]string{
			"wal/p.go":            "package wal\n\nimport _ \"" + tidy.Module + "/internal/codec\"\n",
			"internal/codec/p.go": "package codec\n\nimport _ \"" + tidy.Module + "/memtable\"\n",
			"memtable/p.go":       "package memtable\n"},
		[]string{"internal/codec/p.go:3: package internal/codec must not import memtable", "wal: package wal reaches memtable"}},
	{"the engine in a file of the state layer that is not for it", tidy.Imports,
		map[string]string{
			"state/p.go":         "package state\n\nimport _ \"" + tidy.Module + "/lsm\"\n",
			"state/q.go":         "package state\n\nimport _ \"" + tidy.Module + "/crypto\"\n",
			"state/engine.go":    "package state\n\nimport _ \"" + tidy.Module + "/crypto\"\n",
			"state/store_lsm.go": "package state\n\nimport _ \"" + tidy.Module + "/lsm\"\n",
			"state/p_test.go":    "package state\n\nimport _ \"" + tidy.Module + "/lsm\"\n"},
		[]string{"state/p.go:3: only state/store_lsm.go imports lsm", "state/q.go:3: only state/door.go and state/engine.go imports crypto"}},
	{"calls of the engine that are not listed", tidy.Door,
		map[string]string{
			"state/door.go":      "package state\n\ntype engineMethods interface{ now() int64 }\n",
			"state/store_lsm.go": "package state\n\ntype engine struct {\n\tdb *lsm.DB\n\tn int\n}\n\nfunc (e *engine) now() int64 { return e.more() }\nfunc (e *engine) more() int64 { return e.db.Now() }\n",
			"state/p.go":         "package state\n\nvar _ = e.now()\nvar _ = e.n\nvar _ = e.more()\nvar _ = s.e.db.Now()\n\nfunc (e *engine) less() {}\n",
			"state/p_test.go":    "package state\n\nvar _ = e.more()\n"},
		[]string{
			"state/p.go:8: methods of engine are for state/door.go and state/store_lsm.go",
			"state/p.go:5: more is a method of the engine that is not on the list of state/door.go",
			"state/p.go:6: db is a field of the engine that is not on the list of state/door.go"}},
	{"too many methods of the engine", tidy.Door,
		map[string]string{
			"state/door.go":      "package state\n\ntype engineMethods interface { a(); b(); c(); d(); e(); f(); g(); h() }\n",
			"state/store_lsm.go": "package state\n\ntype spaceMethods interface { i(); j(); k(); l(); m(); n(); o(); p() }\n\ntype feedMethods interface { q(); r() }\n"},
		[]string{"state/door.go: another store would need too many methods"}},
	{"testify outside tests", tidy.Imports,
		map[string]string{"scope/p.go": "package scope\n\nimport _ \"github.com/stretchr/testify/require\"\n", "scope/p_test.go": "package scope\n\nimport _ \"github.com/stretchr/testify/require\"\n"},
		[]string{"scope/p.go:3: testify is for tests"}},

	{"files of the system", tidy.System,
		map[string]string{"lsm/p.go": "package lsm\n\nimport _ \"os\"\n", "internal/vfs/p.go": "package vfs\n\nimport _ \"os\"\n", "lsm/p_test.go": "package lsm\n\nimport _ \"os\"\n"},
		[]string{"lsm/p.go:3: os is for internal/vfs and programs"}},
	{"calls of the system", tidy.System,
		map[string]string{"wal/p.go": "package wal\n\nimport _ \"golang.org/x/sys/unix\"\n", "internal/offheap/p.go": "package offheap\n\nimport _ \"golang.org/x/sys/unix\"\n", "internal/vfs/p.go": "package vfs\n\nimport _ \"golang.org/x/sys/unix\"\n"},
		[]string{"wal/p.go:3: golang.org/x/sys/unix is for internal/vfs and programs"}},
	{"the machine's clock", tidy.System,
		map[string]string{"lsm/p.go": "package lsm\n\nimport clock \"time\"\n\nvar ok = clock.Now\nvar t = clock.Now()\n", "wal/p.go": "package wal\n\nimport \"time\"\n\nvar now = time.Now\n"},
		[]string{"lsm/p.go:6: time comes through a parameter: clock.Now", "wal/p.go:5: time comes through a parameter: time.Now"}},
	{"global randomness", tidy.System,
		map[string]string{"lsm/p.go": "package lsm\n\nimport \"math/rand/v2\"\n\nvar r = rand.New(rand.NewPCG(1, 2))\nvar n = rand.IntN(3)\nvar s rand.Source\n"},
		[]string{"lsm/p.go:6: randomness comes through a parameter: rand.IntN"}},
	{"a sleeping test", tidy.System,
		map[string]string{
			"lsm/p_test.go": "package lsm\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n\nvar c = time.After(1)\n",
			"lsm/q_test.go": "package lsm\n\nimport (\n\t_ \"testing/synctest\"\n\t\"time\"\n)\n\nfunc g() { time.Sleep(1) }\n"},
		[]string{"lsm/p_test.go:5: a test must not sleep: time.Sleep", "lsm/p_test.go:7: a test must not sleep: time.After"}},

	{"a dependency nobody chose", tidy.Modules,
		map[string]string{"go.mod": "module m\n\nrequire example.com/a v1.0.0\n\nrequire (\n\tgolang.org/x/sys v0.1.0\n\texample.com/b v1.0.0\n\texample.com/c v1.0.0 // indirect\n)\n", "go.work": "use .\n"},
		[]string{"go.mod: the root module must not depend on example.com/a", "go.mod: the root module must not depend on example.com/b"}},
	{"a module outside the workspace", tidy.Modules,
		map[string]string{"go.work": "use (\n\t.\n)\n", "cmd/x/go.mod": "module " + tidy.Module + "/cmd/x\n\nrequire " + tidy.Module + " v0.0.0\n\nreplace " + tidy.Module + " => ../..\n"},
		[]string{"cmd/x/go.mod: go.work does not use ./cmd/x"}},
	{"a module that takes the root from elsewhere", tidy.Modules,
		map[string]string{"go.work": "use ./cmd/x\n", "cmd/x/go.mod": "module example.com/x\n\nrequire " + tidy.Module + " v1.2.3\n", "cmd/x/x.go": "package main\n\nimport _ \"" + tidy.Module + "/lsm\"\n"},
		[]string{
			"cmd/x/go.mod: the module must be called " + tidy.Module + "/cmd/x",
			"cmd/x/go.mod: must require " + tidy.Module + " v0.0.0 and replace it with ../.."}},

	{"a package named after nothing", tidy.Names,
		map[string]string{"p/p.go": "// Package util is a drawer.\npackage util\n"},
		[]string{`p/p.go:2: the name "util" says nothing`}},
	{"a package without a comment, and one with two", tidy.Names,
		map[string]string{"p/p.go": "package p\n", "q/a.go": "// Package q is one.\npackage q\n", "q/b.go": "// Package q is two.\npackage q\n"},
		[]string{"p/p.go: a package has one package comment, in doc.go or its only file", "q/a.go: a package has one package comment, in doc.go or its only file"}},
	{"exported names without a comment that names them", tidy.Names,
		map[string]string{"lsm/p.go": `// Package p is documented.
package p

func F() {}

// does something.
func G() {}

// An H is fine.
type H struct {
	// A is fine, and so is B.
	A int
	B int

	C int
	d int
}

type i struct{}

func (i) Hidden() {}
func (*H) Method() {}

type J interface{ M() }

// The group is documented.
const (
	K = 1
)

var (
	L = 1
	// M is fine.
	M = 2
	N = 3 // fine
)

// wrong beginning.
var O = 1
`},
		[]string{
			"lsm/p.go:4: the comment of F must begin with its name", "lsm/p.go:7: the comment of G must begin with its name",
			"lsm/p.go:15: H.C has no comment", "lsm/p.go:22: the comment of Method must begin with its name",
			"lsm/p.go:24: the comment of J must begin with its name", "lsm/p.go:24: J.M has no comment",
			"lsm/p.go:32: the comment of L must begin with its name", "lsm/p.go:39: the comment of O must begin with its name"}},

	{"unfinished work", tidy.Text,
		map[string]string{"p/p.go": "package p\n\n// TO" + "DO: later\n", "README.md": "FIX" + "ME\nTO" + "DOS is a name\n"},
		[]string{"README.md:1: unfinished work: FIX" + "ME", "p/p.go:3: unfinished work: TO" + "DO"}},
	{"paths of a machine", tidy.Text,
		map[string]string{".ci/run": "cd \"/" + "home/me\"\nls http://example.com/" + "work/\nls ./" + "tmp/x\n", "p.go": "package p\n\nvar d = \"/" + "tmp/x\"\n"},
		[]string{".ci/run:1: a path of some machine: \"/" + "home/", "p.go:3: a path of some machine: \"/" + "tmp/"}},

	{"links to nowhere", tidy.Links,
		map[string]string{
			"README.md": "[a](docs/a.md) [b](docs/b.md#the-b-of-b)\n[c](docs/c.md) [d](docs/b.md#other) [e](#none)\n# Here\n[f](#here) [g](https://example.com/x) [h](LICENSE) [i](docs)\n```\n[in](code.md)\n```\n",
			"docs/a.md": "[up](../README.md)\n", "docs/b.md": "## The `B` of b!\n", "LICENSE": ""},
		[]string{"README.md:2: no file docs/c.md", "README.md:2: no heading #other in docs/b.md", "README.md:2: no heading #none in README.md"}},
	{"Go that does not parse, and Go that is not formatted", tidy.SnippetSyntax,
		map[string]string{"README.md": "```go\nv, err := f(\n```\n\n```go\nv, err := f()\n```\n\n```go\nfunc f() {}\n```\n\n```go\npackage main\n```\n\n```go\na:=1\n```\n"},
		[]string{"README.md:2: Go code does not parse", "README.md:18: Go code is not as gofmt writes it"}},
	{"planted bugs and their table that differ", tidy.PlantedBugs,
		map[string]string{
			"internal/mutant/mutant.go": "package mutant\n\nconst (\n\tA Name = \"bug-a\"\n\tB Name = \"bug-b\"\n)\n",
			"docs/testing.md":           "| `bug-b` | b | |\n| `bug-c` | c | |\n"},
		[]string{"internal/mutant/mutant.go:4: docs/testing.md does not list the bug bug-a", "docs/testing.md: no planted bug is called bug-c"}},
	{"a behaviour that no test cites", tidy.Behaviours,
		map[string]string{"state/s_test.go": "package state\n\n// B1, B2 to B3: B4 B5 B6 B7 B8 B9 B10 B11 B12 B13 B14 B15 B16 B17 B18 B19 B20 B21 B22 B23 " +
			"B31 B32 B33 B34 B35 B36 B37 B63 B64 xB70\nfunc TestAll() {}\n\n// B70.\nfunc helper() {}\n",
			"lsm/l_test.go": "package lsm\n\n// B60, B62.\nfunc TestAll() {}\n"},
		[]string{"lsm: no test cites B61", "state: no test cites B70"}},
	{"harnesses that play stores in clear alone", tidy.Harnesses,
		map[string]string{
			"lsm/a_model_test.go": "package lsm\n", "lsm/b_model_test.go": "package lsm\n\nvar o = encryptionIf(true)\n",
			"state/a_test.go": "package state\n\nvar e = mem.Explore()\n", "wal/a_crash_test.go": "package wal\n"},
		[]string{"lsm/a_model_test.go: no store", "state/a_test.go: no store"}},
}

// Every check finds what it is there to find, and nothing else.
func TestEveryCheckCanFail(t *testing.T) {
	covered := map[string]bool{}
	for _, b := range breaks {
		t.Run(b.rule, func(t *testing.T) {
			got := b.check(load(t, b.files))
			require.Len(t, got, len(b.want), "%v", got)
			found := make([]string, len(got))
			for i, p := range got {
				found[i] = p.String()
			}
			for _, want := range b.want {
				require.True(t, hasPrefix(found, want), "%q is not among %q", want, found)
			}
		})
		covered[fmt.Sprintf("%p", b.check)] = true
	}
	for _, c := range checks {
		require.True(t, covered[fmt.Sprintf("%p", c.check)], "no tree breaks %s", c.name)
	}
}

func hasPrefix(lines []string, prefix string) bool {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			return true
		}
	}
	return false
}

func TestExportedListsPublicPackagesOnly(t *testing.T) {
	tree := load(t, map[string]string{
		"lsm/p.go":        "package lsm\n\ntype DB struct {\n\tA, b int\n}\n\nfunc (d *DB) Get() {}\nfunc (d *DB) get() {}\nfunc Open() {}\n\ntype g[T any] struct{}\n\nfunc (g[T]) Put() {}\n\nconst X, y = 1, 2\n\ntype I interface{ M() }\n",
		"lsm/p_test.go":   "package lsm\n\nfunc Helper() {}\n",
		"internal/x/x.go": "package x\n\nfunc X() {}\n",
	})
	require.Equal(t, []string{"lsm.DB", "lsm.DB.A", "lsm.DB.Get", "lsm.I", "lsm.I.M", "lsm.Open", "lsm.X"}, tidy.Exported(tree))
}

// What stands around Go code in a document says what it takes for granted and what it prints.
func TestSnippetsKnowWhatStandsAroundThem(t *testing.T) {
	tree := load(t, map[string]string{"a.md": "# A\n\n<!-- go: var x int;\nvar y int -->\n```go\nx = y\n```\n\nprints\n\n```\n1\n2\n```\n\n" +
		"```go\nx = 1\n```\n\nIt prints:\n\n```\n3\n```\n\nprints\n\n```\n4\n```\n"})
	require.Equal(t, []tidy.Snippet{
		{Path: "a.md", Line: 6, Src: "x = y\n", Given: "var x int;\nvar y int", Prints: "1\n2\n"},
		{Path: "a.md", Line: 17, Src: "x = 1\n"},
	}, tidy.Snippets(tree))
}

func TestGoThatDoesNotParseIsAnError(t *testing.T) {
	_, err := tidy.Load(fstest.MapFS{"p.go": {Data: []byte("package")}})
	require.Error(t, err)
}

// What is no part of the tree, or breaks rules on purpose, is not read.
func TestTestDataIsNotChecked(t *testing.T) {
	tree := load(t, map[string]string{".git/x.go": "nonsense", "p/testdata/x.go": "nonsense", "tmp/x.md": "x"})
	require.Empty(t, tree.Files)
	require.True(t, tree.Names[filepath.ToSlash("p/testdata/x.go")])
}
