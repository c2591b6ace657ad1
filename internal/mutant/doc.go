// Package mutant plants bugs on purpose, so that every harness proves that it can
// fail.
//
// A site reads `if mutant.Enabled && mutant.Is(mutant.SkipWALSync) { … }`. Enabled is
// a constant that is false in every ordinary build, so the compiler removes the site.
// With build tag mutants, the environment variable LOAM_MUTANT names the one bug that
// is active; the test meant for it must then fail. docs/testing.md lists each bug with
// its test.
package mutant
