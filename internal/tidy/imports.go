package tidy

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// core are the packages that every part of the engine may use.
var core = []string{
	"internal/codec", "internal/epoch", "internal/fileid", "internal/invariants", "internal/keys",
	"internal/mutant", "internal/offheap", "internal/prefetch", "internal/seal", "internal/vfs",
}

// allowed says which packages of this module each package may import, tests apart.
// Imports go down only: a package stands below every package that lists it.
var allowed = map[string][]string{
	"internal/codec":      {},
	"internal/epoch":      {"internal/mutant"},
	"internal/expiry":     {},
	"internal/fileid":     {"internal/codec"},
	"internal/glob":       {},
	"internal/foreign":    {},
	"internal/golden":     {},
	"internal/interleave": {},
	"internal/invariants": {},
	"internal/keys":       {},
	"internal/latency":    {},
	"internal/mutant":     {},
	"internal/offheap":    {"internal/invariants"},
	"internal/prefetch":   {},
	"internal/seal":       {"internal/fileid", "internal/mutant"},
	"internal/seams":      {"internal/seal", "internal/vfs"},
	"internal/tidy":       {},
	"internal/tuple":      {},
	"internal/vfs":        {"internal/invariants", "internal/mutant"},
	"privacy":             {"internal/mutant"},
	"scope":               {"internal/glob"},
	"state/codec":         {},
	"state/edit":          {"state/codec"},
	"state/envelope":      {},
	"state/index":         {"internal/mutant", "internal/tuple", "state/codec"},
	"state/typedjson":     {"state/codec"},
	"state/scopefile":     {"scope", "state/codec", "state/envelope", "state/typedjson"},

	"internal/seal/sealtest": {"internal/fileid", "internal/seal"},
	"access":                 {"internal/codec", "internal/glob", "internal/mutant", "scope"},
	"access/audit":           {"access", "internal/codec", "internal/mutant", "scope"},
	"hook":                   {"internal/glob", "internal/latency", "internal/mutant", "scope"},
	"hook/timeline":          {"hook", "internal/codec", "scope"},

	"state": {"access", "access/audit", "crypto", "hook", "hook/timeline", "internal/latency", "internal/mutant", "lsm", "privacy", "scope", "state/codec",
		"state/edit", "state/envelope", "state/index", "state/scopefile"},

	"crypto":            {"internal/codec", "internal/fileid", "internal/mutant", "internal/seal", "internal/vfs"},
	"internal/cache":    core,
	"internal/manifest": with(core, "internal/expiry"),
	"internal/rangedel": core,
	"internal/fold":     core,
	"memtable":          core,
	"wal":               core,
	"sstable/block":     core,
	"sstable/filter":    core,
	"sstable/blob":      with(core, "internal/cache", "sstable/block"),
	"sstable":           with(core, "internal/cache", "sstable/blob", "sstable/block", "sstable/filter"),
	"compaction": with(core, "internal/expiry", "internal/fold", "internal/manifest", "internal/rangedel", "sstable",
		"sstable/blob", "sstable/block"),
	"lsm": with(core, "compaction", "crypto", "internal/cache", "internal/expiry", "internal/fold", "internal/manifest", "internal/rangedel",
		"internal/seams",
		"internal/tuple", "memtable", "scope", "sstable", "sstable/blob", "sstable/block", "sstable/filter", "wal"),
}

// apart are packages that must not reach each other, not even through others: log,
// memtable and tables meet in package lsm only.
var apart = []string{"wal", "memtable", "sstable"}

// anything are the trees whose packages may import every package: programs, and
// harnesses that drive the whole engine.
var anything = []string{"cmd", "conformance", "examples", "fuzz", "internal/scorecard"}

func with(base []string, more ...string) []string { return append(slices.Clone(base), more...) }

func under(dir string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool {
		return dir == tree || strings.HasPrefix(dir, tree+"/")
	})
}

// Imports reports imports between packages of this module that the table does not
// allow, packages without a row, packages kept apart that reach each other, and files of package state that
// know the engine without being meant to.
func Imports(t *Tree) []Problem {
	var out []Problem
	graph := map[string][]string{}
	for _, f := range t.goFiles() {
		dir := f.Dir()
		if f.Test() || under(dir, anything) {
			continue
		}
		row, known := allowed[dir]
		if !known && graph[dir] == nil {
			out = append(out, Problem{Path: f.Path, Text: "package " + dir + " has no row in the table of imports"})
		}
		graph[dir] = append(graph[dir], "") // seen
		for path, pos := range imports(f) {
			if path == "github.com/stretchr/testify" || strings.HasPrefix(path, "github.com/stretchr/testify/") {
				out = append(out, t.problem(f, pos, "testify is for tests"))
			}
			to, ours := strings.CutPrefix(path, Module+"/")
			if !ours {
				continue
			}
			graph[dir] = append(graph[dir], to)
			if through := throughDoor[to]; dir == "state" && through != nil && !slices.Contains(through, f.Path) {
				out = append(out, t.problem(f, pos, "only %s imports %s", strings.Join(through, " and "), to))
			}
			if known && !slices.Contains(row, to) {
				out = append(out, t.problem(f, pos, "package %s must not import %s", dir, to))
			}
		}
	}
	return append(out, reaches(graph)...)
}

// reaches reports the packages of apart from which another can be reached.
func reaches(graph map[string][]string) []Problem {
	var out []Problem
	for _, from := range apart {
		seen := map[string]bool{}
		var visit func(string)
		visit = func(dir string) {
			for _, to := range graph[dir] {
				if to != "" && !seen[to] {
					seen[to] = true
					visit(to)
				}
			}
		}
		visit(from)
		for _, to := range apart {
			if to != from && seen[to] {
				out = append(out, Problem{Path: from, Text: fmt.Sprintf("package %s reaches %s", from, to)})
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Text < out[j].Text })
	return out
}
