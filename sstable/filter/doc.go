// Package filter builds and probes the filters of tables: blocked Bloom filters whose
// unit is a cache line, so that a probe touches 64 bytes whatever the size of the
// filter.
//
// A filter is one flat array of lines, stored in chunks of 64 KiB that are loaded,
// verified and evicted one by one. docs/formats/filter.md describes the bytes.
//
// The package knows nothing of tables, files, caches or keys' meaning. Hash is
// computed once per lookup and probes the filters of all tables.
//
// Invariants:
//
//   - L1. A filter never denies a hash that was added to its builder.
//   - L2. What a hash selects depends on the hash and the number of lines alone. Any
//     change of it, or of Hash, takes a new Policy or HashID: a filter is never read by
//     another rule than it was written by.
//
// Reading order: filter.go, builder.go.
package filter
