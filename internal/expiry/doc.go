// Package expiry says how much of a set of entries has expired by when: Steps, a few
// numbers for any number of entries, which a Builder collects.
//
// The package knows times, in milliseconds since 1970, and bytes; it knows neither entries
// nor tables.
//
// Invariants:
//
//   - E1. Steps ascend by time, each has bytes, and they add up to all that was added.
//   - E2. What Steps say to have expired by a time has: they never say too much.
package expiry
