// Package conformance runs test suites that others have written for stores of keys and values
// against Loam: that of go-ethereum's ethdb, and that of go-datastore. It is a module of its
// own, so that no user of the engine downloads theirs.
//
// Each suite is run in the root scope and in a scope with a name, on disk, where the store is
// closed and opened again between the suite's tests, and in memory, where instead its process
// is killed, or the power is cut after a sync, and it recovers: what it held must be there.
//
// Package linear, below it, has a checker of linearizability judge what clients were told.
package conformance
