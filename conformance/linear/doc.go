// Package linear shows that a store is linearizable: what several clients at once are told
// could have been told to one after the other, in an order in which each operation has its
// effect at one moment between its call and its return.
//
// Play plays a history: clients get, set, delete and append, compare and set (by versions),
// write several keys in a batch, empty ranges, drop the scope, read several keys in a scan, a
// snapshot or a view, and read and write in transactions, while memtables are flushed and
// tables are merged. In the middle the store is closed and opened again, or its process is
// killed, or the power is cut: what was under way then has an unknown outcome, and has happened
// when the next process opens the store or never will, while what was acknowledged must be
// there. Where the power is cut every write is synced. Each value is written once, so that a read
// tells which writes it saw.
//
// History.Check has Porcupine look for the order, in what was told of each process, and for
// each key alone where every operation touches one key.
//
// A seed decides what clients do, not how they meet: a failure may need some repetitions.
//
// Reading order: model.go, history.go, client.go, client_reads.go, narrow.go,
// check.go.
package linear
