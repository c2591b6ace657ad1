package block

import (
	"fmt"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
)

// Open verifies raw, a sealed block that was read at offset from the guard's file,
// and returns its payload. An uncompressed payload is a slice of raw; another is
// decompressed into what alloc returns for its length, which is at least 1 and at most
// MaxPayloadLen, and no more than the stored bytes can hold (B5). alloc may return nil to
// refuse, and is not called otherwise. A block of an encrypted file is decrypted in place:
// raw cannot be opened again. Nothing is decompressed that is not authentic.
//
// Errors are ErrTruncated, ErrChecksum, or seal.ErrAuth of an encrypted file, ErrCodec,
// ErrTooLong and ErrMalformed. It may be called concurrently.
func Open(raw []byte, g *Guard, offset int64, alloc func(n int) []byte) ([]byte, error) {
	encrypted, n := g.Encrypted(), len(raw)-g.TrailerLen()
	// Killed by TestOpenRefusesAPlainBlockOfAnEncryptedFile.
	if mutant.Enabled && mutant.Is(mutant.AcceptPlainBlock) && len(raw) >= TrailerLen {
		if got, want := g.sums(raw, offset); got == want {
			encrypted, n = false, len(raw)-TrailerLen
		}
	}
	if n < 0 {
		return nil, g.truncated(len(raw))
	}
	if encrypted {
		if err := g.decrypt(raw, n, offset); err != nil {
			return nil, err
		}
	} else if got, want := g.sums(raw, offset); got != want && !(mutant.Enabled && mutant.Is(mutant.SkipChecksum)) {
		return nil, fmt.Errorf("%w: %08x instead of %08x", ErrChecksum, got, want)
	}
	return expand(raw[:n:n], raw[n:n+trailerHead], alloc)
}

// expand returns the payload of what is stored under a trailer that begins with t.
func expand(stored, t []byte, alloc func(n int) []byte) ([]byte, error) {
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

// truncated is the error of so few bytes.
func (g *Guard) truncated(n int) error {
	err := fmt.Errorf("%w: %d bytes", ErrTruncated, n)
	if g.Opener != nil {
		err = fmt.Errorf("%w: %w", seal.ErrAuth, err)
	}
	return err
}
