package block

import (
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
)

// Open verifies raw, a sealed block that was read at offset from the file of the seed,
// and returns its payload. An uncompressed payload is a slice of raw; another is
// decompressed into what alloc returns for its length, which is at least 1 and at most
// MaxPayloadLen, and no more than the stored bytes can hold (B5). alloc may return nil to
// refuse, and is not called otherwise. Errors are ErrTruncated,
// ErrChecksum, ErrCodec, ErrTooLong and ErrMalformed. It may be called concurrently.
func Open(raw []byte, seed fileid.Seed, offset int64, alloc func(n int) []byte) ([]byte, error) {
	if len(raw) < TrailerLen {
		return nil, fmt.Errorf("%w: %d bytes", ErrTruncated, len(raw))
	}
	body, want := raw[:len(raw)-checksumLen], le.Uint32(raw[len(raw)-checksumLen:])
	if got := checksum(seed, offset, body); got != want && !(mutant.Enabled && mutant.Is(mutant.SkipChecksum)) {
		return nil, fmt.Errorf("%w: %08x instead of %08x", ErrChecksum, got, want)
	}
	stored, t := raw[:len(raw)-TrailerLen:len(raw)-TrailerLen], raw[len(raw)-TrailerLen:]
	c := Codec(t[0])
	if c > CodecZstd || t[1] != 0 || le.Uint16(t[2:]) != 0 {
		return nil, fmt.Errorf("%w: %v, dictionary %d, flags %#x", ErrCodec, c, t[1], le.Uint16(t[2:]))
	}
	if c == CodecNone {
		return stored, nil
	}
	if len(stored) < lengthPrefix {
		return nil, malformed("compressed length")
	}
	n := le.Uint32(stored)
	if n > MaxPayloadLen {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLong, n)
	}
	if err := checkDecompressedLen(n, c, stored[lengthPrefix:]); err != nil {
		return nil, err
	}
	dst := alloc(int(n))
	if len(dst) < int(n) {
		return nil, fmt.Errorf("%w: %d bytes refused", ErrTooLong, n)
	}
	if err := decompress(dst[:n], c, stored[lengthPrefix:]); err != nil {
		return nil, err
	}
	return dst[:n], nil
}
