// Package edit changes values: a merge patch, an increment, an append to a list. The state layer
// runs these between reading a value and writing it under the condition that nobody else wrote it.
//
// The package must not know where values come from or go to.
//
// Invariants:
//
//   - A1. A change is whole or an error: on an error nothing that a caller holds has changed.
//   - A2. Numbers keep their type, and never wrap, round or become infinite in silence.
//   - A3. What comes out shares nothing with a patch, a delta or elements.
//
// Errors are those of package codec: *codec.ValueError with codec.ErrType, codec.ErrOverflow,
// codec.ErrTooLarge and others.
//
// Reading order: patch.go, increment.go, list.go.
package edit
