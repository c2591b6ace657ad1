// Package rangedel holds range tombstones: sets of disjoint spans of keys, each with the
// numbers of the tombstones that cover it.
//
// Tombstones overlap as they are written. A Set cuts them at each other's bounds, so that
// every key lies in at most one span, and one search tells what covers it. A Set is
// immutable: With returns another, which shares what did not change. So a writer adds
// to the set of a memtable while any number of readers search earlier ones.
//
// The package knows keys and sequence numbers, and neither tables nor snapshots as such.
//
// Invariants:
//
//   - R1. Spans are not empty, do not overlap, and ascend. Their numbers descend, and there
//     is at least one.
//   - R2. Neighbours that touch differ in their numbers.
//   - R3. A tombstone is left out of a span only under a newer one of the same span, if no
//     reader stands at a number from the one up to the other (Readers).
//
// Reading order: span.go, readers.go, set.go, tree.go, with.go.
package rangedel
