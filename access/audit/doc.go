// Package audit records what was asked of a store and answered: who, what, when, and why,
// never a value. Records are chained by hashes, so that Verify finds what was changed, removed
// or moved afterwards.
//
// The package is pure: it must not know of package lsm or of state. It is given a store of
// three methods, which may be any ordered map.
//
// Invariants:
//
//   - A1. A record has no place for a value.
//   - A2. Records have consecutive numbers, from 1, and each one's hash depends on all before.
//   - A3. The head, which says where the chain ends, is written together with the records.
//   - A4. Retention removes whole segments, oldest first, never the newest, and in the same
//     step leaves an anchor, from which the rest of the chain can be verified.
//   - A5. What was not recorded is counted, in the next record too.
//   - A6. Record and anchor have one encoding, and other bytes are refused.
//
// The layouts are in docs/formats/audit.md.
//
// Reading order: record.go, log.go, worker.go, chain.go, verify.go, query.go, retain.go,
// memory.go.
package audit
