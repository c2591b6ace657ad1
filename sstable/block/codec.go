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

// compressor holds the encoders' memory. The zero value is ready.
type compressor struct{ zstd *zstd.Encoder }

// append appends the length of p and its compressed form to dst.
func (c *compressor) append(dst []byte, codec Codec, p []byte) []byte {
	dst = le.AppendUint32(dst, uint32(len(p)))
	if codec == CodecS2 {
		n := len(dst)
		if m := s2.MaxEncodedLen(len(p)); cap(dst)-n < m {
			dst = append(dst, make([]byte, m)...)[:n]
		}
		return dst[:n+len(s2.Encode(dst[n:cap(dst)], p))]
	}
	if c.zstd == nil {
		// A checksum of our own covers the bytes. Blocks are compressed one at a time.
		c.zstd, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	}
	return c.zstd.EncodeAll(p, dst)
}

// zstdDecoder decodes for everyone; its DecodeAll may be called concurrently.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(MaxPayloadLen))
	return d
})

// decompress fills dst with what p decompresses to, which must have exactly its length.
func decompress(dst []byte, codec Codec, p []byte) error {
	dst = dst[:len(dst):len(dst)]
	var out []byte
	var err error
	if codec == CodecS2 {
		var n int
		if n, err = s2.DecodedLen(p); err == nil && n != len(dst) {
			return malformed("decompressed length")
		}
		if err == nil {
			out, err = s2.Decode(dst, p)
		}
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
