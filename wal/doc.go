// Package wal is the write-ahead log: numbered segments in recycled slot files, a
// record format that tells a torn tail from damage, and the recovery that uses it.
//
// The owner (package lsm) calls Replay with the segments its manifest lists, then
// SyncSegments for those Recovery.Live names, then PrepareFirst, writes one manifest
// edit that lists Recovery.Live and the first segment and drops the rest, and calls
// Open. From then on one goroutine at a time, the commit leader, calls Append; any
// goroutine calls Sync. A background goroutine, the preparer, keeps the next segment
// ready and syncs the ones left behind.
//
// The package knows batches as opaque payloads with a sequence number and a count. It
// must not know what an entry, a memtable or a manifest is; it names segments, the
// owner makes the names durable.
//
// Invariants:
//
//   - W1. A segment's blocks are written and synced, its directory entry is synced, its
//     header is written and synced, and it is registered with the owner, in this order,
//     before the first record goes into it. Lack of space is met here and is retryable.
//   - W2. Every use of a slot has a fresh random UID, and every record's header checksum
//     is seeded with it and with the record's offset: what a slot held in an earlier life
//     never passes.
//   - W3. durable never passes a byte that is not on disk, but for segments that the owner
//     has dropped, and only grows over a prefix: a sync moves it to the end sampled before
//     the sync; an O_DSYNC write moves it only from exactly its own start.
//   - W4. A claim in a record is a value durable had before the record was written.
//   - W5. Batches enter the log whole: end moves only after the last byte of a group is
//     written. So a claim is never beyond the start of its own record, and inside a batch
//     only at the end of a segment, which is synced when it is left. Recovery compares the
//     greatest claim with the place where reading stopped, not with the end of the last
//     whole batch.
//   - W6. After the first failed write, store or sync nothing is written, synced,
//     registered or acknowledged again, but what was under way, and nothing is retried on
//     the same file.
//   - W7. Nothing is ever appended to a segment that a recovery has read.
//   - W8. Recovery cuts the log only at or above every claim it can find; below one,
//     damage is an error.
//   - W9. Of an encrypted segment nothing but what is sealed reaches file or mapping. Each life
//     of a slot has a key of its own, under which each offset is sealed once, by the process
//     that has prepared the segment. What is whole and does not open is damage, and a segment
//     is in clear only where the owner's list says so.
//
// Lock order: Log.mu is the only lock. No I/O and no callback of the owner runs under it.
//
// Reading order: segment.go, header.go, record.go, seal.go (the format); replay.go, scan.go,
// verdict.go (recovery); log.go, append.go, sync.go, gather.go (the write path); prepare.go,
// preparer.go, slots.go (segments); salvage.go (what is left of a damaged log); options.go,
// errors.go.
package wal
