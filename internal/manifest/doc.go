// Package manifest knows what a store consists of: which tables are live and where in
// the tree they stand, which log segments are in use, and the marks that must never go
// back (numbers given out, the lineage of openings). All of it is two immutable values,
// State and Version, that Edits turn into new ones, and one log file that keeps the
// edits.
//
// The bytes are described in docs/formats/manifest.md.
//
// The package must not know what is in a table or in the log: it imports neither, and
// its record of a segment is its own. It decides nothing; owners do.
//
// Invariants:
//
//   - M1. A Version, a State and what they reach never change. Apply builds new ones
//     that share what is equal.
//   - M2. Tables of a run ascend and share no user key. Runs of a level descend by
//     RunID, none is empty. Of two tables of one level whose ranges overlap, every
//     sequence number in the newer run's is greater than every one in the older's.
//   - M3. A file number is in a version at most once, and below State.NextFileNum.
//   - M4. Marks only rise.
//   - M5. Every byte of a manifest file is written and synced before CURRENT names the
//     file, so that appending changes no length and needs no space; a file of another
//     length than its header's is damaged.
//   - M6. A record is written only when every one before it is synced. So a whole
//     record behind a damaged one proves damage, and a torn record can only be the last.
//   - M7. CURRENT names a file whose bytes and directory entry are durable; its
//     predecessor is removed only after the change of CURRENT is durable. An open Log
//     knows that it is: what only the predecessor lists may go.
//   - M8. A process appends only to a file of which it is known that every record and the
//     change of CURRENT are durable: never to one that ended in a torn record, whose last
//     record the mark does not vouch for, that has a predecessor beside it, or that has
//     recorded no opening and is another process's; nor after a write or sync of it failed.
//   - M9. Only the process that has made an encrypted file seals records of it.
//
// Reading order: version.go, state.go, edit.go, apply.go, apply_version.go,
// build.go, check.go; edit_encode.go, edit_decode.go; filenames.go, current.go, file.go,
// seal.go, load.go, log.go, roll.go, create.go; anchor.go, conversion.go; remains.go.
package manifest
