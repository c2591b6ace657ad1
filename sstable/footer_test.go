package sstable_test

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/sstable"
)

const sampleSize = 5000 // the length of the file that SampleFooter ends

func sampleSalt() (s [32]byte) {
	for i := range s {
		s[i] = byte(0xa0 + i)
	}
	return s
}

func TestHeaderAndFooterGolden(t *testing.T) {
	b := append(sstable.EncodeHeader(sampleUID, sampleSalt(), 9), sstable.SampleFooter(sampleUID)...)
	golden.Assert(t, "testdata/frame.hex", []byte(hex.Dump(b)))
}

func TestEveryBitOfHeaderAndFooterMatters(t *testing.T) {
	header, footer := sstable.EncodeHeader(sampleUID, sampleSalt(), 9), sstable.SampleFooter(sampleUID)
	require.NoError(t, sstable.DecodeHeader(header))
	require.NoError(t, sstable.DecodeFooter(footer, sampleSize, sampleUID))
	for i := range 8 * len(header) {
		header[i/8] ^= 1 << (i % 8)
		require.Error(t, sstable.DecodeHeader(header), "bit %d", i)
		header[i/8] ^= 1 << (i % 8)
	}
	for i := range 8 * len(footer) {
		footer[i/8] ^= 1 << (i % 8)
		require.Error(t, sstable.DecodeFooter(footer, sampleSize, sampleUID), "bit %d", i)
		footer[i/8] ^= 1 << (i % 8)
	}
}

func TestFooterSaysWhatIsWrong(t *testing.T) {
	footer := func() []byte { return sstable.SampleFooter(sampleUID) }
	require.ErrorIs(t, sstable.DecodeFooter(footer(), sampleSize, fileid.UID{9}), sstable.ErrForeign)
	require.ErrorContains(t, sstable.DecodeFooter(footer(), sampleSize+1, sampleUID), "checksum")
	require.ErrorContains(t, sstable.DecodeFooter(footer()[1:], sampleSize, sampleUID), "length")
	b := footer()
	b[127] = 'x'
	require.ErrorContains(t, sstable.DecodeFooter(b, sampleSize, sampleUID), "magic")
	b = footer()
	binary.LittleEndian.PutUint16(b[112:], 2)
	require.ErrorContains(t, sstable.DecodeFooter(b, sampleSize, sampleUID), "checksum", "damage is not a later version")
	resumFooter(b, sampleSize)
	require.ErrorIs(t, sstable.DecodeFooter(b, sampleSize, sampleUID), sstable.ErrTooNew)
	h := sstable.EncodeHeader(sampleUID, sampleSalt(), 0)
	binary.LittleEndian.PutUint16(h[8:], 2)
	require.ErrorContains(t, sstable.DecodeHeader(h), "checksum")
	binary.LittleEndian.PutUint32(h[76:], fileid.NewSeed(fileid.KindTable, sampleUID).Checksum(0, h[:76]))
	require.ErrorIs(t, sstable.DecodeHeader(h), sstable.ErrTooNew)
}

// resumFooter gives a changed footer a checksum that passes.
func resumFooter(footer []byte, size int64) {
	uid := fileid.UID(footer[:16])
	sum := fileid.NewSeed(fileid.KindTable, uid).Checksum(size-int64(len(footer)), footer[:116])
	binary.LittleEndian.PutUint32(footer[116:], sum)
}

func TestFooterRefusesPartsThatDoNotFollowEachOther(t *testing.T) {
	for at := 32; at < 108; at += 4 {
		for _, v := range []uint32{0, 1, 0x7fffffff, 0xffffffff} {
			b := sstable.SampleFooter(sampleUID)
			if binary.LittleEndian.Uint32(b[at:]) == v {
				continue
			}
			binary.LittleEndian.PutUint32(b[at:], v)
			resumFooter(b, sampleSize)
			err := sstable.DecodeFooter(b, sampleSize, sampleUID)
			if at < 96 || v > 1000 {
				require.Error(t, err, "at %d value %x", at, v)
			}
		}
	}
}

func FuzzFooter(f *testing.F) {
	f.Add(sstable.SampleFooter(sampleUID), int64(sampleSize))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if len(b) != 128 {
			require.Error(t, sstable.DecodeFooter(b, size, sampleUID))
			return
		}
		resumFooter(b, size)
		again, err := sstable.ReencodeFooter(b, size, fileid.UID(b[:16]))
		if err == nil {
			require.Equal(t, b, again)
		}
		_ = sstable.DecodeHeader(b[:80])
	})
}
