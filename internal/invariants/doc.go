// Package invariants switches on checks that only tests can afford.
//
// Code guards them with `if invariants.Enabled`, which the compiler removes from
// ordinary builds. A check that fails panics: it is a programmer's error, never a
// consequence of input or of a file's content.
package invariants
