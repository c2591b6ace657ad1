// Package fuzz proves the engine's promises by force: it runs histories on the memory
// file system, cuts the power at every file operation in every way that the model of
// durability allows, fails every operation with every error, damages every byte, and
// compares what a reopened store holds with a ledger of what was promised.
//
// ledger.go is the oracle: what was issued, acknowledged, and acknowledged as synced, and
// what the store must hold after each batch. history.go makes histories, setup.go says how
// a store is opened for them, play.go plays them, and census.go counts what they reach.
// crash.go explores power cuts and kills, writers.go those of several writers, recovery.go
// power cuts inside recovery and what comes after, lives.go those after a process has ended
// and another one has gone on; readers.go reads beside writers.
// watch.go follows histories through a watcher.
// checkpoint.go and ingest.go do all this to checkpoints and ingests.
// faults.go makes operations fail; damage.go changes stored bytes, misdirected.go where they
// lie; held.go holds snapshots for long; canaries.go looks for what must not show; soak.go
// goes on for long. Each explorer returns how much it explored, for package internal/scorecard
// to print.
//
// Package metamorphic, below this one, plays histories on stores with many option sets.
//
// The package is for the project's own tests; nothing else may import it.
package fuzz
