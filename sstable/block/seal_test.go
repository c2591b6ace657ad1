package block_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/sstable/block"
)

var (
	seed   = fileid.NewSeed(fileid.KindTable, fileid.UID{1, 2, 3})
	summed = &block.Guard{Seed: seed}
	other  = &block.Guard{Seed: fileid.NewSeed(fileid.KindTable, fileid.UID{1, 2, 4})}
	codecs = []block.Codec{block.CodecNone, block.CodecS2, block.CodecZstd}
)

// must returns what Seal has returned.
func must(p []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return p
}

func heap(n int) []byte { return make([]byte, n) }

func refuse(int) []byte { return nil }

func payloads() map[string][]byte {
	r := rand.New(rand.NewPCG(3, 3))
	return map[string][]byte{
		"empty":          {},
		"one byte":       {7},
		"text":           bytes.Repeat([]byte("some words that come again "), 150),
		"random":         randomBytes(r, 4000),
		"zeros":          make([]byte, 1<<20),
		"half random":    append(randomBytes(r, 3000), make([]byte, 3000)...),
		"nearly random":  append(randomBytes(r, 4000), make([]byte, 100)...),
		"a filter chunk": randomBytes(r, 1<<16),
	}
}

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	for name, p := range payloads() {
		for _, c := range codecs {
			t.Run(name+"/"+c.String(), func(t *testing.T) {
				dst := append(make([]byte, 0, 10), "before"...)
				raw := must(block.Seal(dst, c, summed, 4096, p))
				require.Equal(t, "before", string(raw[:6]))
				raw = raw[6:]
				require.LessOrEqual(t, len(raw), len(p)+block.TrailerLen)
				got, err := block.Open(raw, summed, 4096, heap)
				require.NoError(t, err)
				require.True(t, bytes.Equal(p, got))
			})
		}
	}
}

func TestPayloadIsCompressedIfThatSavesAnEighth(t *testing.T) {
	for _, c := range codecs[1:] {
		for name, p := range payloads() {
			raw := must(block.Seal(nil, c, summed, 0, p))
			stored := block.Codec(raw[len(raw)-block.TrailerLen])
			switch name {
			case "text", "zeros", "half random":
				require.Equal(t, c, stored, name)
				require.LessOrEqual(t, len(raw)-block.TrailerLen, len(p)-len(p)/8)
			default:
				require.Equal(t, block.CodecNone, stored, name)
			}
		}
	}
}

func TestUncompressedPayloadIsNotCopied(t *testing.T) {
	raw := must(block.Seal(nil, block.CodecNone, summed, 0, []byte("payload")))
	got, err := block.Open(raw, summed, 0, refuse)
	require.NoError(t, err)
	require.Same(t, &raw[0], &got[0])
	require.Equal(t, len(got), cap(got))
}

func TestOpenRefusesEveryFlippedBit(t *testing.T) {
	for _, c := range codecs {
		raw := must(block.Seal(nil, c, summed, 99, bytes.Repeat([]byte("abc"), 40)))
		for i := range len(raw) * 8 {
			raw[i/8] ^= 1 << (i % 8)
			_, err := block.Open(raw, summed, 99, heap)
			require.ErrorIs(t, err, block.ErrChecksum)
			raw[i/8] ^= 1 << (i % 8)
		}
		_, err := block.Open(raw, summed, 99, heap)
		require.NoError(t, err)
	}
}

func TestOpenRefusesABlockOfAnotherPlaceOrFile(t *testing.T) {
	raw := must(block.Seal(nil, block.CodecNone, summed, 100, []byte("payload")))
	_, err := block.Open(raw, summed, 101, heap)
	require.ErrorIs(t, err, block.ErrChecksum)
	_, err = block.Open(raw, other, 100, heap)
	require.ErrorIs(t, err, block.ErrChecksum)
}

func TestOpenRefusesEveryCut(t *testing.T) {
	raw := must(block.Seal(nil, block.CodecNone, summed, 100, []byte("payload")))
	for n := range raw {
		_, err := block.Open(raw[:n], summed, 100, heap)
		if n < block.TrailerLen {
			require.ErrorIs(t, err, block.ErrTruncated)
		} else {
			require.ErrorIs(t, err, block.ErrChecksum)
		}
	}
}

// reseal gives a sealed block the checksum that its bytes ask for.
func reseal(raw []byte, offset int64) []byte {
	n := len(raw) - 4
	return binary.LittleEndian.AppendUint32(raw[:n:n], seed.Checksum(offset, raw[:n]))
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	raw := must(block.Seal(nil, block.CodecNone, summed, 0, []byte("payload")))
	for i := range 4 {
		p := slices.Clone(raw)
		p[len(p)-block.TrailerLen+i] = 3
		_, err := block.Open(reseal(p, 0), summed, 0, heap)
		require.ErrorIs(t, err, block.ErrCodec)
	}
}

func TestOpenBoundsTheDecompressedLength(t *testing.T) {
	for _, c := range codecs[1:] {
		raw := must(block.Seal(nil, c, summed, 0, make([]byte, 4096)))
		for n, want := range map[uint32]error{
			block.MaxPayloadLen + 1: block.ErrTooLong,
			1<<32 - 1:               block.ErrTooLong,
			4095:                    block.ErrMalformed,
			4097:                    block.ErrMalformed,
			0:                       block.ErrMalformed,
		} {
			p := slices.Clone(raw)
			binary.LittleEndian.PutUint32(p, n)
			_, err := block.Open(reseal(p, 0), summed, 0, func(n int) []byte {
				require.LessOrEqual(t, n, 4097, "memory for a length out of bounds")
				return make([]byte, n)
			})
			require.ErrorIs(t, err, want, "%v: %d", c, n)
		}
		_, err := block.Open(raw, summed, 0, refuse)
		require.ErrorIs(t, err, block.ErrTooLong)
		garbled := append([]byte{100, 0, 0, 0, 0xff, 0xff, 0xff}, raw[len(raw)-block.TrailerLen:]...)
		_, err = block.Open(reseal(garbled, 0), summed, 0, heap)
		require.ErrorIs(t, err, block.ErrMalformed)
		_, err = block.Open(reseal(slices.Clone(garbled[4:]), 0), summed, 0, heap)
		require.ErrorIs(t, err, block.ErrMalformed, "no room for the length")
	}
}

func TestChecksumIsSeededCRC32C(t *testing.T) {
	raw := must(block.Seal(nil, block.CodecNone, summed, 4096, []byte("payload")))
	place := []byte{0, 16, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0}
	want := codec.Checksum(codec.Checksum(uint32(seed), place), append([]byte("payload"), 0, 0, 0, 0))
	require.Equal(t, want, binary.LittleEndian.Uint32(raw[len(raw)-4:]))
}

// Open used to ask for whatever length up to 1 GiB a block claimed: a file of a hundred
// bytes with a checksum that fits made a reader allocate it. The codec's own frame says
// what will come out, and so many bytes of a codec hold only so much.
func TestOpenAsksForNoMemoryThatTheStoredBytesCannotFill(t *testing.T) {
	for _, c := range codecs[1:] {
		raw := must(block.Seal(nil, c, summed, 0, make([]byte, 10_000)))
		require.Equal(t, c, block.Codec(raw[len(raw)-block.TrailerLen]))
		for _, n := range []uint32{0, 1, 9_999, 10_001, 1 << 20, block.MaxPayloadLen} {
			binary.LittleEndian.PutUint32(raw, n)
			_, err := block.Open(reseal(raw, 0), summed, 0, func(n int) []byte {
				t.Errorf("%v: asked for %d bytes", c, n)
				return nil
			})
			require.ErrorIs(t, err, block.ErrMalformed, "%v, %d bytes", c, n)
		}
	}
	// A frame whose header agrees, but which is too short for it: S2's varint, and a
	// single-segment frame of Zstandard with eight bytes of content size.
	const n = 1 << 28
	le := binary.LittleEndian
	for c, frame := range map[block.Codec][]byte{
		block.CodecS2:   binary.AppendUvarint(nil, n),
		block.CodecZstd: append(le.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, n), 3, 0, 0, 0),
	} {
		raw := append(le.AppendUint32(nil, n), frame...)
		raw = append(raw, byte(c), 0, 0, 0, 0, 0, 0, 0)
		_, err := block.Open(reseal(raw, 0), summed, 0, func(n int) []byte {
			t.Errorf("%v: asked for %d bytes", c, n)
			return nil
		})
		require.ErrorIs(t, err, block.ErrMalformed, c)
	}
}
