// Command lsmbench measures Loam beside other engines, and puts real data through it.
//
// It is a module of its own, so that the engines it compares with never become
// dependencies of the library. It must not know how an engine works inside: everything
// but dump goes through the five methods of Session.
//
// Invariants:
//
//  1. Every engine gets the same keys, values, order and limits; the header says what
//     each made of the limits.
//  2. Engines take turns within a workload, never one whole run after the other.
//  3. A wrong answer ends the run: figures of an engine that answers wrongly mean nothing.
//  4. Nothing is left behind: stores live in a temporary directory that is removed.
//  5. Values of a user's store are printed only when asked for.
//
// Reading order: engine.go (what an engine is), pebble.go and loam.go (two of them),
// workload.go, workload_fill.go and workload_read.go (what is measured), bench.go (in
// which order), row.go and table.go (what is shown); then source.go (real records),
// load.go, expected.go and verify.go (loaded and compared with their source), kill.go
// (killed on the way), and dump.go.
package main
