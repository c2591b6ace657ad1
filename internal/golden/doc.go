// Package golden compares what a test produced with a file kept beside it.
//
// Assert compares whole files: byte formats, listings, dumps. Run plays a script:
// commands with their input and the output expected of each, which suits pure
// functions over values (pickers, drop rules, version edits, plans), because a case is
// then three lines that anybody can read and add.
//
// Running the tests of a package with the flag -update rewrites what differs. The diff
// is then read in review like any other change:
//
//	go test ./internal/tuple -update
//
// Only tests import this package; it is therefore allowed to touch files by package
// os. It must not know anything of the engine.
//
// Reading order: golden.go, script.go.
package golden
