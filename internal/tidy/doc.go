// Package tidy holds the rules of this repository that a program can check, as tests.
//
// Load reads a tree into memory; each check is a pure function from a Tree to the
// places that break its rule. The package's tests run every check over the repository,
// and over small trees that break the rule, so that no check can silently stop
// checking.
//
// The rules: sizes of files and functions; which package imports which; what package state calls on
// the engine; what may touch files, time and randomness; names and comments; the exported names of the public
// packages (testdata/exported.txt, rewritten by -update, so that a new one is seen in
// review); markers of unfinished work; paths of somebody's machine; links between
// documents; Go code in documents; the table of planted bugs; the numbered behaviours that tests cite.
//
// A package that is new to the tree needs a row in imports.go. The package must not
// import the code it checks.
//
// Reading order: tree.go, size.go, imports.go, door.go, system.go, modules.go, names.go,
// exported.go, text.go, markdown.go, mutants.go, behaviours.go.
package tidy
