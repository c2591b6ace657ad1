// Package sstable writes and reads tables: immutable files of entries in internal-key
// order, with filters, an index in partitions, range tombstones and properties.
//
// The bytes are described in docs/formats/table.md; blocks, their codecs and trailers
// in package sstable/block, filter lines in sstable/filter. Blocks are held by
// internal/cache; files are reached by internal/vfs.
//
// The package knows nothing of logs, memtables, levels, snapshots or scopes (a scope
// is an opaque prefix whose length the caller's function tells), and nothing of what
// values mean, but for the time that some kinds carry in their first eight bytes, and for
// references into blob files (blobs.go, package sstable/blob).
//
// Invariants:
//
//   - S1. Entries strictly ascend in internal-key order across the whole table. The
//     writer checks every one, always.
//   - S2. Every byte of a file belongs to the header, one sealed block or the footer,
//     and is covered by a checksum bound to the file's UID and to its place; in an encrypted
//     table by a tag that is bound to them. The footer's tag covers the header.
//   - S3. Every distinct user key of the points is in the filter. Range tombstones are
//     not: a filter says nothing about them.
//   - S4. The versions of a user key are in one table. They may be in several blocks;
//     the separator of each such block but the last equals the key.
//   - S5. An error of reading is never absence: Get returns it, an iterator keeps it.
//   - S6. Nothing read from disk indexes memory, or sizes an allocation, before it was
//     compared with what is there.
//   - S7. A Writer that failed once fails for ever, and Finish returns no Meta.
//
// Reading order: footer.go and header.go (the frame), index.go and top.go (how a block
// is found), properties.go, writer.go, output.go, reader.go, reader_get.go, iter.go,
// runiter.go, blobs.go, verify.go; wreck.go, wreck_walk.go, wreck_find.go and
// wreck_sealed.go read what is damaged.
package sstable
