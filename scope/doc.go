// Package scope names the spaces that a store is divided into.
//
// A scope is a space of keys of its own: the same key in two scopes is two keys, and
// listing, counting or dropping one scope never meets another. A Scope is its name, as
// users write it: scope.Agent("a1"), or the text "agent:a1". Every stored key begins
// with the id that the store has given to the scope. This package holds names and ids
// with their encodings; which id a name has is recorded in the store itself, in the
// directory under the System scope.
//
// The package is pure: it must not know of package lsm, of files or of time.
//
// Invariants of the encoding of ids, which docs/formats/scope.md lays out byte by byte:
//
//   - I1. Order: a < b exactly when the encoding of a is less than that of b, as bytes.
//   - I2. Prefix-free: no encoding is a prefix of another. With I1 all keys of a scope
//     lie together, between its encoding and that of the next id, whatever follows.
//   - I3. Canonical: an id has one encoding; DecodeID refuses all other bytes, so that
//     equal ids are equal bytes.
//   - I4. Total: every id up to MaxID has an encoding, and an upper bound that is
//     greater than every key of the scope.
//
// Invariants of names, whose forms docs/formats/directory.md lays out:
//
//   - N1. Every valid scope has one text and one key form; Parse and ParseKey accept
//     these and nothing else, so that two scopes never share one.
//   - N2. Key forms compare as bytes as Compare orders the scopes.
//
// Reading order: scope.go, text.go, pattern.go, key.go, id.go.
package scope
