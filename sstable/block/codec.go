package block

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/loamdb/loam/internal/keys"
)

// Codec says how a payload is stored. The values are on disk.
type Codec uint8

// Codecs.
const (
	CodecNone Codec = 0 // as it is
	CodecS2   Codec = 1 // S2, the fast form of Snappy
	CodecZstd Codec = 2 // Zstandard
)

// String returns the codec's name.
func (c Codec) String() string {
	switch c {
	case CodecNone:
		return "none"
	case CodecS2:
		return "s2"
	case CodecZstd:
		return "zstd"
	}
	return fmt.Sprintf("codec(%d)", uint8(c))
}

// MaxPayloadLen is the greatest length of a payload: the longest value, and room for
// whatever shares its block.
const MaxPayloadLen = keys.MaxValueLen + 4<<20

// lengthPrefix is the size of the length that precedes compressed bytes.
const lengthPrefix = 4

// appendCompressed appends the length of p and its compressed form to dst.
func appendCompressed(dst []byte, codec Codec, p []byte) []byte {
	dst = le.AppendUint32(dst, uint32(len(p)))
	if codec == CodecS2 {
		n := len(dst)
		if m := s2.MaxEncodedLen(len(p)); cap(dst)-n < m {
			dst = append(dst, make([]byte, m)...)[:n]
		}
		return dst[:n+len(s2.Encode(dst[n:cap(dst)], p))]
	}
	e := zstdEncoders.Get().(*zstd.Encoder)
	defer zstdEncoders.Put(e)
	return e.EncodeAll(p, dst)
}

// zstdEncoders are shared by all that is written: a table of a few blocks must not cost an
// encoder. Each starts no goroutine and has about a mebibyte, or two once it has met a payload
// of more than 128 KiB.
var zstdEncoders = sync.Pool{New: func() any {
	// A checksum of our own covers the bytes.
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	return e
}}

// zstdWindow is how far back an encoder looks: a chunk of a blob file, and more than any block
// of small entries.
const zstdWindow = 1 << 20

// zstdDecoder decodes for everyone, in the goroutine that calls DecodeAll: as many at a time as
// there are processors.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(MaxPayloadLen))
	return d
})

// What a compressed payload can hold at most for each of its bytes. An element of S2
// takes at least five bytes to repeat up to 2^24 + 2^16 + 4 of them, and a shorter one
// repeats 2^16 + 260 at most; a block of Zstandard takes at least four bytes, header
// included, and holds 2^17.
const (
	maxS2Ratio   = (1<<24 + 1<<16 + 4) / 5
	maxZstdRatio = 1 << 17 / 4
)

// checkDecompressedLen compares the length that a block claims for its payload, before
// anything is allocated for it, with the length that the codec's own frame tells, and
// with what so many bytes can hold. A writer compresses no empty payload.
func checkDecompressedLen(n uint32, codec Codec, p []byte) error {
	said, ratio := int64(n), uint64(maxS2Ratio)
	if codec == CodecS2 {
		m, err := s2.DecodedLen(p)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		said = int64(m)
	} else {
		ratio = maxZstdRatio
		var h zstd.Header
		if err := h.Decode(p); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if h.Skippable || h.DictionaryID != 0 { // dictionaries are the trailer's to name
			return malformed("frame")
		}
		if h.HasFCS { // a frame need not tell
			said = int64(min(h.FrameContentSize, MaxPayloadLen+1))
		}
	}
	if n == 0 || said != int64(n) || uint64(n) > uint64(len(p))*ratio {
		return malformed("decompressed length")
	}
	return nil
}

// decompress fills dst with what p decompresses to, which must have exactly its length.
func decompress(dst []byte, codec Codec, p []byte) error {
	dst = dst[:len(dst):len(dst)]
	var out []byte
	var err error
	if codec == CodecS2 {
		out, err = s2.Decode(dst, p) // into dst: checkDecompressedLen compared their lengths
	} else {
		out, err = zstdDecoder().DecodeAll(p, dst[:0])
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(out) != len(dst) {
		return malformed("decompressed length")
	}
	return nil
}

// begins reports whether the frame of a codec that holds n bytes may begin with p.
func (c Codec) begins(p []byte, n int) bool {
	if c == CodecS2 {
		m, err := s2.DecodedLen(p)
		return err == nil && m == n
	}
	var h zstd.Header
	err := h.Decode(p)
	return err == nil && !h.Skippable && (!h.HasFCS || h.FrameContentSize == uint64(n)) // it need not tell
}
