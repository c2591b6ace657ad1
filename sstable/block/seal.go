package block

import (
	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
)

// A sealed block (docs/formats/block.md):
//
//	payload, or length u32 and compressed payload
//	codec u8 | dictionary u8 | flags u16 | checksum u32
//
// The checksum covers everything before it and is seeded with the file and the place.
// Where a footer says that trailers hold authentication tags, the last four bytes, and
// more after them, are the tag's: the table decides that, not the block.

// TrailerLen is the length of a sealed block's trailer in bytes.
const TrailerLen = 8

const checksumLen = 4

// Seal appends payload, sealed for the given offset in the file of the seed, to dst.
// The payload is compressed with c unless that saves less than an eighth; it must not
// overlap dst and be at most MaxPayloadLen long. Codecs other than the named ones are
// taken for CodecNone. It may be called concurrently.
func Seal(dst []byte, c Codec, seed fileid.Seed, offset int64, payload []byte) []byte {
	start := len(dst)
	if c == CodecS2 || c == CodecZstd {
		dst = appendCompressed(dst, c, payload)
		if n := len(dst) - start; n > len(payload)-len(payload)/8 || n > len(payload) {
			dst, c = dst[:start], CodecNone
		}
	} else {
		c = CodecNone
	}
	if c == CodecNone {
		dst = append(dst, payload...)
	}
	dst = append(dst, byte(c), 0, 0, 0)
	return le.AppendUint32(dst, checksum(seed, offset, dst[start:]))
}

// checksum is the checksum of a sealed block of which p is all but the checksum.
func checksum(seed fileid.Seed, offset int64, p []byte) uint32 {
	if mutant.Enabled && mutant.Is(mutant.UnseededChecksum) {
		return codec.Checksum(0, p)
	}
	return seed.Checksum(offset, p)
}
