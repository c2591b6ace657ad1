package block_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/sstable/block"
)

// claim seals a frame that is said to hold n bytes, with a checksum that fits.
func claim(n uint32, c block.Codec, frame []byte) []byte {
	raw := append(binary.LittleEndian.AppendUint32(nil, n), frame...)
	return reseal(append(raw, byte(c), 0, 0, 0, 0, 0, 0, 0), 0)
}

// zstdFrame is a frame of Zstandard of one block that is stored as it is. descriptor and what
// follows it are the frame's header.
func zstdFrame(content []byte, header ...byte) []byte {
	frame := append([]byte{0x28, 0xb5, 0x2f, 0xfd}, header...)
	size := uint32(len(content))<<3 | 1 // the last block, raw
	return append(append(frame, byte(size), byte(size>>8), byte(size>>16)), content...)
}

// slack is what opening a block may take beside the payload: a decoder's tables.
const slack = 1 << 20

// Whatever a block says of itself, opening it takes the memory of the length that it declares,
// which what is stored must be able to hold, and no more: not what its frame asks for, nor what
// would come out of it.
func TestHostileBlocksTakeNoMoreThanTheyDeclare(t *testing.T) {
	const (
		window512MiB = 19 << 3
		bomb         = 64 << 20
	)
	some := bytes.Repeat([]byte("x"), 300)
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	require.NoError(t, err)
	zeros := e.EncodeAll(make([]byte, bomb), nil)
	require.Equal(t, byte(0x84), zeros[4], "a window, four bytes of content size, a checksum")
	untold := append(append(zeros[:4:4], 0x04, 13<<3), zeros[10:]...) // the window alone, of 8 MiB
	s2Zeros := s2.Encode(nil, make([]byte, bomb))
	s2Body := s2Zeros[len(binary.AppendUvarint(nil, bomb)):]
	plain := zstdFrame(some, 0, window512MiB)
	twice := append(bytes.Clone(plain), zeros...)

	// Make the decoder before anything is measured.
	_, err = block.Open(must(block.Seal(nil, block.CodecZstd, summed, 0, make([]byte, 5000))), summed, 0, heap)
	require.NoError(t, err)

	for _, c := range []struct {
		name  string
		codec block.Codec
		says  uint32
		frame []byte
		// takes is the payload that may be allocated; good says that the block is one.
		takes uint64
		good  bool
	}{
		{"zstd: a window of 512 MiB for 300 bytes", block.CodecZstd, 300, plain, 300, true},
		{"zstd: a length beyond what is stored", block.CodecZstd, block.MaxPayloadLen, plain, 0, false},
		{"zstd: a length beyond the limit", block.CodecZstd, block.MaxPayloadLen + 1, zeros, 0, false},
		{"zstd: one byte less than comes out", block.CodecZstd, 299, plain, 299, false},
		{"zstd: one byte more than comes out", block.CodecZstd, 301, plain, 301, false},
		{"zstd: 64 MiB that say 300 bytes", block.CodecZstd, 300, zeros, 0, false},
		{"zstd: 64 MiB whose frame says nothing", block.CodecZstd, 300, untold, 300, false},
		{"zstd: a second frame, of 64 MiB", block.CodecZstd, 300, twice, 300, false},
		{"zstd: a content of 2^63 bytes", block.CodecZstd, 300,
			zstdFrame(some, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80), 0, false},
		{"zstd: a frame to be skipped", block.CodecZstd, 300, append([]byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0x7f}, some...), 0, false},
		{"zstd: a dictionary of its own", block.CodecZstd, 300, zstdFrame(some, 1, 10<<3, 7), 0, false},
		{"zstd: a block of 128 KiB of one byte, of 300", block.CodecZstd, 300,
			[]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3, 0x03, 0x00, 0x10, 'x'}, 300, false},
		{"s2: a length beyond what is stored", block.CodecS2, 1 << 30, binary.AppendUvarint(nil, 1<<30), 0, false},
		{"s2: a length beyond the limit", block.CodecS2, block.MaxPayloadLen + 1, s2Zeros, 0, false},
		{"s2: a frame that says another length", block.CodecS2, 300, s2Zeros, 0, false},
		{"s2: 64 MiB that say 300 bytes", block.CodecS2, 300, append(binary.AppendUvarint(nil, 300), s2Body...), 300, false},
		{"s2: 300 bytes that say 16 MiB", block.CodecS2, bomb / 4,
			append(binary.AppendUvarint(nil, bomb/4), s2.Encode(nil, some)[2:]...), bomb / 4, false},
		{"s2: a length of 2^63 bytes", block.CodecS2, 300, binary.AppendUvarint(nil, 1<<63), 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := claim(c.says, c.codec, c.frame)
			var asked uint64
			var got []byte
			var err error
			took := allocated(func() {
				got, err = block.Open(raw, summed, 0, func(n int) []byte {
					asked = uint64(n)
					return make([]byte, n)
				})
			})
			require.Equal(t, c.takes, asked)
			require.LessOrEqual(t, took, c.takes+slack)
			if c.good {
				require.NoError(t, err)
				require.Equal(t, some, got)
				return
			}
			want := block.ErrMalformed
			if c.says > block.MaxPayloadLen {
				want = block.ErrTooLong
			}
			require.ErrorIs(t, err, want)
			refused := allocated(func() { _, err = block.Open(raw, summed, 0, refuse) })
			require.Error(t, err)
			require.LessOrEqual(t, refused, uint64(slack), "nothing was given, and nothing may be taken")
		})
	}
}

// A block that needs a dictionary is told from a damaged one, whatever its codec, and nothing
// is allocated for it.
func TestBlockThatNeedsADictionaryIsRefused(t *testing.T) {
	for _, c := range codecs {
		for _, id := range []byte{1, 7, 255} {
			raw := must(block.Seal(nil, c, summed, 0, bytes.Repeat([]byte("some words "), 100)))
			raw[len(raw)-block.TrailerLen+1] = id
			_, err := block.Open(reseal(raw, 0), summed, 0, func(int) []byte {
				t.Error("memory for a block that cannot be read")
				return nil
			})
			require.ErrorIs(t, err, block.ErrCodec)
			require.ErrorContains(t, err, "dictionary")
		}
	}
}

// Encoders are shared: a table of one block took an encoder of its own, a megabyte.
func TestSealingTakesNoEncoderForEachTable(t *testing.T) {
	p := bytes.Repeat([]byte("some words that come again "), 600)
	dst := make([]byte, 0, len(p))
	seal := func() { dst = must(block.Seal(dst[:0], block.CodecZstd, summed, 0, p)) }
	seal()
	require.Less(t, allocated(func() {
		for range 50 {
			seal()
		}
	}), uint64(20<<20), "an encoder is made when the collector has taken the last one, not for each block")
}

// allocated returns how many bytes f has allocated.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
