// Package scope names the spaces that a store is divided into.
//
// A scope is a space of keys of its own: the same key in two scopes is two keys, and
// listing, counting or dropping one scope never meets another. Every stored key begins
// with the id of its scope. This package holds the ids and their encoding; what an id
// stands for is recorded in the store itself, under the System scope.
//
// The package is pure: it must not know of package lsm, of files or of time.
//
// Invariants of the encoding, which docs/formats/scope.md lays out byte by byte:
//
//   - I1. Order: a < b exactly when the encoding of a is less than that of b, as bytes.
//   - I2. Prefix-free: no encoding is a prefix of another. With I1 all keys of a scope
//     lie together, between its encoding and that of the next id, whatever follows.
//   - I3. Canonical: an id has one encoding; DecodeID refuses all other bytes, so that
//     equal ids are equal bytes.
//   - I4. Total: every id up to MaxID has an encoding, and an upper bound that is
//     greater than every key of the scope.
//
// Reading order: id.go.
package scope
