// Package memtable is the engine's write buffer: a sorted map of internal keys in one
// region of memory, written by one goroutine and read by any number without locks.
//
// It knows keys, trailers and bytes. It must not know batches, logs, tables, scopes or
// what a kind means: a tombstone is an entry like any other, and the caller judges it.
// It never allocates the region, never grows, and never fails: callers ask Fits before
// they number a batch, so that nothing can go wrong after.
//
// The structure is a skip list (W. Pugh, "Skip lists: a probabilistic alternative to
// balanced trees", 1990) whose links carry offset-value codes (after W. M. Conner,
// "Offset value coding", 1977): each link says in 35 bits how the key it leads to
// differs from the key it comes from. A search therefore compares integers, and reads
// another node only to move onto it. How codes are compared stands in code.go, the
// numbered invariants at the head of skiplist.go.
//
// Memory: nodes grow from the front of the region, keys and values from the back, so
// that descents touch few cache lines. The collector sees one region without pointers.
//
// Concurrency: one goroutine at a time may call Add and Fits. All else is safe on any
// goroutine at any time. Every slice that is handed out aliases the region: it is valid
// until the owner recycles the region, which the owner may do only when the last reader
// has left (package epoch).
//
// Reading order: skiplist.go (the type, Add), layout.go (bytes of a node), code.go (the
// comparison), search.go (descent, Get), index.go (lookup by hash), height.go (how tall
// nodes are), finger.go (where insertions start), again.go (newer versions without a
// search), iter.go. docs/benchmarks/memtable.md
// has the figures.
package memtable
