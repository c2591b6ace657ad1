// Package timeline records events in a store and finds them again: by time, by
// correlation, by scope, by key, by what caused them and what they caused. It plays recorded
// changes to hooks once more.
//
// The package is pure: it must not know of package lsm or of state. It is given a store of
// three methods, which may be any ordered map, and a codec of values.
//
// Invariants:
//
//   - T1. An event and all its index entries are written and removed in one Apply.
//   - T2. An event has one encoding, and Decode accepts no other bytes.
//   - T3. Every query yields events in the order of their times, those of one time in the
//     order of their ids.
//   - T4. Values are recorded only where the options say so.
//
// The layouts of events and keys are in docs/formats/event.md.
//
// Reading order: timeline.go, encode.go, key.go, query.go, retain.go, replay.go, memory.go.
package timeline
