// Package seal encrypts the blocks and records of one file and binds each to its place.
//
// A file has a cipher of its own, made from a key that no other file has, so a nonce needs
// to differ within the file only: it is the block's ordinal. A Sealer takes each ordinal
// once. The file's kind and UID and the block's ordinal, offset, length and codec are
// associated data: a block that was moved, swapped, shortened or taken from another file
// does not open.
//
// Invariants, which tests cite:
//
//   - S1. No Sealer seals two blocks under one ordinal, whatever its callers do, from however
//     many goroutines. Ordinals only rise, and do not wrap around.
//   - S2. A block opens at its own place only, and only if every bit is as it was sealed.
//   - S3. Nothing of a block that does not open reaches the caller.
//
// What the package cannot hold: two Sealers with one cipher. Whoever makes a file makes its
// cipher from a new Salt and one Sealer, and a file that a process has left is never sealed
// further, not even by the same program after a crash: it cannot know what it has sealed.
//
// A writer and a reader:
//
//	s := seal.NewSealer(cipher, fileid.KindTable, uid)
//	stored, err := s.Seal(nil, block, seal.Place{Ordinal: uint64(offset), Offset: offset, Codec: 1})
//
//	o := seal.NewOpener(cipher, fileid.KindTable, uid)
//	block, err := o.Open(nil, stored, seal.Place{Ordinal: uint64(offset), Offset: offset, Codec: 1})
//
// Reading order: identity.go, seal.go. The layout is in docs/formats/sealing.md. The package
// knows nothing of where keys come from (package crypto) or what a block holds.
package seal
