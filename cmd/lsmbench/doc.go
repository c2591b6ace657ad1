// Command lsmbench measures Loam beside other engines, and puts real data through it.
//
// It is a module of its own, so that the engines it compares with never become
// dependencies of the library. It must not know how an engine works inside: everything
// but dump goes through the interfaces of package engine.
//
// Invariants:
//
//  1. Every engine gets the same keys, values, order and limits; the header says what
//     each made of the limits.
//  2. Each measurement has a process of its own, and engines take turns within a
//     workload, never one whole run after the other.
//  3. A wrong answer ends a run: figures of an engine that answers wrongly mean nothing.
//  4. Nothing is left behind: stores live in a temporary directory that is removed.
//  5. Values of a user's store are printed only when asked for.
//
// Reading order: main.go and commands.go (what people ask for), flags.go, full.go, load.go, state.go;
// bench.go (in which order engines take turns), task.go (a measurement in a process of
// its own), display.go; results.go (what becomes of the figures). Below internal: engine (what an engine is, and one file for
// each), workload (what is measured), dist (which records, of what length), proc (what
// the system says), hdr and result (what a measurement is), report (how it is shown),
// realdata (real records loaded, killed, verified), document (typed values), dump.
package main
