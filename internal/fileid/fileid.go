// Package fileid names the engine's files: by number, for the manifest and the file
// system, and by a random UID, which is what checksums and keys are bound to.
//
// A number says where a file is; a UID says which file it is. A file restored,
// copied or swapped under a wrong number is recognised by its UID, and a block read
// from a wrong file or a wrong offset fails its checksum, because the checksum is
// seeded with both.
package fileid

import (
	"encoding/hex"
	"fmt"
	"io"

	"github.com/loamdb/loam/internal/codec"
)

// Num is a file's number within its store. Numbers are never reused.
type Num uint64

// UID is a random 128-bit identity, of a file or of a store.
type UID [16]byte

// NewUID reads a UID from random, normally crypto/rand.Reader.
func NewUID(random io.Reader) (UID, error) {
	var u UID
	if _, err := io.ReadFull(random, u[:]); err != nil {
		return UID{}, fmt.Errorf("fileid: new UID: %w", err)
	}
	return u, nil
}

// String returns the UID in hexadecimal.
func (u UID) String() string { return hex.EncodeToString(u[:]) }

// Kind is the kind of a file. The values are on disk, in checksum seeds.
type Kind uint8

// Kinds of files.
const (
	KindWAL      Kind = 1
	KindTable    Kind = 2
	KindBlob     Kind = 3
	KindManifest Kind = 4
	KindKeyring  Kind = 5
	KindVault    Kind = 6
)

// Seed is the part of a checksum's seed that is constant for one file.
type Seed uint32

// NewSeed derives the seed of the file of the given kind and identity.
func NewSeed(kind Kind, uid UID) Seed {
	return Seed(codec.Checksum(codec.Checksum(0, []byte{byte(kind)}), uid[:]))
}

// Checksum returns the CRC-32C of p, seeded with the file and with the place of p in
// it, so that the same bytes elsewhere do not pass.
func (s Seed) Checksum(offset int64, p []byte) uint32 {
	return codec.Checksum(codec.ChecksumWords(uint32(s), uint64(offset), uint64(len(p))), p)
}
