package codec_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/codec"
)

func TestChecksumWordsIsTheChecksumOfTheirBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		seed, a, b := r.Uint32(), r.Uint64()>>r.IntN(64), r.Uint64()>>r.IntN(64)
		p := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, a), b)
		require.Equal(t, codec.Checksum(seed, p), codec.ChecksumWords(seed, a, b))
	}
}

func TestChecksumWordsDoesNotAllocate(t *testing.T) {
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = codec.ChecksumWords(1, 2, 3) }))
}
