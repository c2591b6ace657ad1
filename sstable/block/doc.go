// Package block writes and reads the blocks of tables: what one holds, and how any
// block lies in a file.
//
// A data block holds entries in internal-key order so that each is reached by its
// index: search, Next and Prev are steps over flat memory, a value is a slice, and
// nothing is decoded one after the other. Sealing gives any payload, a data block or
// not, its form in a file: a codec, and a trailer with a checksum that is bound to the
// file and to the place. docs/formats/block.md describes the bytes.
//
// The package knows nothing of tables, indexes, caches and files, nor of what values
// mean.
//
// Invariants:
//
//   - B1. Entries strictly ascend in internal-key order. The builder relies on its
//     caller for that, and so does a search; no accessor reads out of bounds if it does
//     not hold.
//   - B2. After Decode has accepted bytes, no accessor of a Block over the same bytes
//     panics or reads outside of them. View is only for such bytes.
//   - B3. A sequence number comes out as it went in. Numbers are stored as the block's
//     greatest and the distance from it, so that a reader at or above the greatest
//     never loads the column.
//   - B4. A sealed block opens only with the guard of its file, seed or key, and at its offset.
//     In an encrypted file nothing else opens, and nothing is read before it has.
//   - B5. No memory is allocated for a length from disk before it was compared with a
//     limit.
//
// Reading order: layout.go, builder.go, finish.go, block.go, decode.go, search.go,
// iter.go, codec.go, guard.go, seal.go, open.go, extent.go.
package block
