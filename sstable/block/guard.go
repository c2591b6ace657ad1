package block

import (
	"fmt"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
)

const (
	// TrailerLen is the length of a sealed block's trailer in bytes, where that is a checksum.
	TrailerLen = trailerHead + 4
	// TagTrailerLen is its length in an encrypted file.
	TagTrailerLen = trailerHead + seal.Overhead

	// trailerHead is what both begin with: codec, dictionary, flags.
	trailerHead = 4
)

// Guard says what protects the blocks of one file: checksums, or, where there is a Sealer or
// an Opener, a cipher (B4). It may be used concurrently and copied.
type Guard struct {
	// Seed is that of the file's checksums.
	Seed fileid.Seed
	// Sealer encrypts the blocks of a file that is written. Offsets are its ordinals, so
	// blocks come in the order of the file. Without an Opener no block can be opened.
	Sealer *seal.Sealer
	// Opener decrypts the blocks of a file that is read. Without a Sealer no block can be
	// sealed.
	Opener *seal.Opener
}

// Encrypted reports whether blocks are encrypted.
func (g *Guard) Encrypted() bool { return g.Opener != nil || g.Sealer != nil }

// TrailerLen returns the length of a sealed block's trailer in bytes.
func (g *Guard) TrailerLen() int {
	if g.Encrypted() {
		return TagTrailerLen
	}
	return TrailerLen
}

// place is where a block belongs whose trailer begins with head.
func place(offset int64, head []byte) seal.Place {
	return seal.Place{Ordinal: uint64(offset), Offset: offset, Codec: head[0], Header: head}
}

// encrypt makes of dst, which ends in a payload that begins at start, one that ends in the
// sealed block. The cipher's tag comes right behind the ciphertext; the head of the trailer
// goes between them.
func (g *Guard) encrypt(dst []byte, start int, c Codec, offset int64) ([]byte, error) {
	head := [trailerHead]byte{byte(c)}
	n := len(dst)
	dst = append(dst, make([]byte, TagTrailerLen)...)
	if _, err := g.Sealer.Seal(dst[start:start], dst[start:n], place(offset, head[:])); err != nil {
		return dst[:start], fmt.Errorf("block: seal at %d: %w", offset, err)
	}
	copy(dst[n+trailerHead:], dst[n:n+seal.Overhead])
	copy(dst[n:], head[:])
	return dst, nil
}

// decrypt makes of a sealed block, whose trailer begins at n, its payload and the head of the
// trailer, in place.
func (g *Guard) decrypt(raw []byte, n int, offset int64) error {
	head := [trailerHead]byte(raw[n:])
	copy(raw[n:], raw[n+trailerHead:])
	_, err := g.Opener.Open(raw[:0], raw[:n+seal.Overhead], place(offset, head[:]))
	copy(raw[n:], head[:])
	return err
}

// sums returns the checksum that a sealed block has and the one that it ends in.
func (g *Guard) sums(raw []byte, offset int64) (got, want uint32) {
	n := len(raw) - 4
	return checksum(g.Seed, offset, raw[:n]), le.Uint32(raw[n:])
}

// checksum is the checksum of a sealed block of which p is all but the checksum.
func checksum(seed fileid.Seed, offset int64, p []byte) uint32 {
	if mutant.Enabled && mutant.Is(mutant.UnseededChecksum) {
		return codec.Checksum(0, p)
	}
	return seed.Checksum(offset, p)
}
