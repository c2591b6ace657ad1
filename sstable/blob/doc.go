// Package blob writes and reads blob files: values that are too long to stand in the blocks
// of tables, each sealed by itself, so that one is read without its neighbours and a merge of
// tables moves a reference of some ten bytes instead of the value. docs/formats/blob.md is
// the format.
//
// Invariants:
//
//   - V1. A file is header, values, directory and footer, without a gap. It is immutable once
//     finished.
//   - V2. A value is one sealed block, or, when it is longer than ChunkBytes, a chain of them,
//     so that neither writing nor reading one takes memory beyond the value and a chunk.
//   - V3. The seed of every checksum has the file's identity, its kind and the block's place; in
//     an encrypted file they are bound to every tag, and the footer's covers the header.
//   - V4. No length from a file sizes an allocation before it was compared with what the stored
//     bytes can hold.
//
// Short values are held by the block cache. Others are read from the file each time, through a
// mapping where there is one, and verified.
package blob
