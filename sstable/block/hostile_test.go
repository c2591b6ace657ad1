package block_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/sstable/block"
)

// A frame of Zstandard may ask for a window of half a gigabyte, whatever it holds: reading it
// takes the memory of the payload, and a payload that is refused takes none.
func TestHostileFramesTakeNoMemory(t *testing.T) {
	seed := fileid.NewSeed(fileid.KindBlob, fileid.UID{7})
	plain := &block.Guard{Seed: seed}
	const windowOf512MiB = 19 << 3
	content := bytes.Repeat([]byte("x"), 300)
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, windowOf512MiB}
	header := uint32(len(content))<<3 | 1 // one block, the last, as it is
	frame = append(frame, byte(header), byte(header>>8), byte(header>>16))
	frame = append(frame, content...)

	seal := func(claimed uint32, frame []byte) []byte {
		raw := append(binary.LittleEndian.AppendUint32(nil, claimed), frame...)
		raw = append(raw, byte(block.CodecZstd), 0, 0, 0)
		return binary.LittleEndian.AppendUint32(raw, seed.Checksum(0, raw))
	}
	var s block.Sealer
	warm := must(s.Seal(nil, block.CodecZstd, plain, 0, make([]byte, 5000)))
	_, err := block.Open(warm, plain, 0, func(n int) []byte { return make([]byte, n) })
	require.NoError(t, err)

	took := allocated(func() {
		var p []byte
		p, err = block.Open(seal(300, frame), plain, 0, func(n int) []byte { return make([]byte, n) })
		require.True(t, err != nil || bytes.Equal(p, content))
	})
	require.Less(t, took, uint64(4<<20))
	took = allocated(func() {
		_, err = block.Open(seal(block.MaxPayloadLen, frame), plain, 0, func(n int) []byte { return make([]byte, n) })
	})
	require.Error(t, err)
	require.Less(t, took, uint64(1<<20), "so few bytes cannot hold so many")
	took = allocated(func() {
		_, err = block.Open(seal(299, frame), plain, 0, func(n int) []byte { return make([]byte, n) })
	})
	require.Error(t, err)
	require.Less(t, took, uint64(4<<20))
}

// allocated returns how many bytes f has allocated.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
