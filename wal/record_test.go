package wal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
)

func TestRecordHeaderRoundTrip(t *testing.T) {
	want := record{
		payloadCRC: 0xdeadbeef, payloadLen: 100, kind: typeBatch, fragment: fragMiddle,
		claimBack: 3, claimUnits: 512, count: 7, first: keys.MaxSeqNum, time: 1 << 60,
	}
	p := make([]byte, recordHeaderSize)
	want.put(p, &checksummer{seed: 77}, 8192)
	got, ok := parseRecord(p, &checksummer{seed: 77}, 5, 8192, 1<<20)
	require.True(t, ok)
	require.Equal(t, want, got)
}

func TestChecksummerIsTheSeededChecksum(t *testing.T) {
	p := make([]byte, recordHeaderSize)
	for i := range p {
		p[i] = byte(i * 3)
	}
	seed := fileid.NewSeed(fileid.KindWAL, fileid.UID{7})
	s := checksummer{seed: seed}
	require.Equal(t, seed.Checksum(4096, p[4:]), s.sum(4096, p))
}

func TestRecordHeaderPassesOnlyInItsPlace(t *testing.T) {
	seed, other := &checksummer{seed: recordSeed(fileid.UID{1})}, &checksummer{seed: recordSeed(fileid.UID{2})}
	rec := record{kind: typeBatch, fragment: fragFull, payloadLen: 64, count: 1, first: 9}
	p := make([]byte, recordHeaderSize)
	rec.put(p, seed, 4096)
	accepted := func(seed *checksummer, off, end int64) bool {
		_, ok := parseRecord(p, seed, 1, off, end)
		return ok
	}
	require.True(t, accepted(seed, 4096, 8192))
	require.True(t, accepted(seed, 4096, 4096+recordHeaderSize+64), "it may end with the segment")
	require.False(t, accepted(seed, 4096, 4096+recordHeaderSize+63), "the payload must fit into the segment")
	require.False(t, accepted(seed, 4104, 8192), "another offset")
	require.False(t, accepted(other, 4096, 8192), "another life of the slot")
	for bit := range 8 * recordHeaderSize {
		p[bit/8] ^= 1 << (bit % 8)
		require.False(t, accepted(seed, 4096, 8192), "bit %d", bit)
		p[bit/8] ^= 1 << (bit % 8)
	}
}

func TestRecordHeaderRefusesImpossibleClaims(t *testing.T) {
	parse := func(num SegmentNum, back uint16, units uint32) bool {
		rec := record{kind: typeMark, fragment: fragFull, claimBack: back, claimUnits: units}
		p := make([]byte, recordHeaderSize)
		rec.put(p, &checksummer{seed: 1}, 4160)
		_, ok := parseRecord(p, &checksummer{seed: 1}, num, 4160, 8192)
		return ok
	}
	require.True(t, parse(5, 0, 0))
	require.True(t, parse(5, 0, 4160/8), "all that comes before it")
	require.False(t, parse(5, 0, 4168/8), "itself")
	require.True(t, parse(5, 4, 1<<20))
	require.False(t, parse(5, 5, 1), "segment zero")
}

func TestClaims(t *testing.T) {
	cases := []struct {
		num      SegmentNum
		at, want Position
	}{
		{7, Position{}, Position{}},
		{7, Position{Segment: 7, Offset: 4136}, Position{Segment: 7, Offset: 4136}},
		{7, Position{Segment: 5, Offset: 1 << 30}, Position{Segment: 5, Offset: 1 << 30}},
		{70_000, Position{Segment: 70_000 - 65_535, Offset: 8}, Position{Segment: 4465, Offset: 8}},
		{70_000, Position{Segment: 70_000 - 65_536, Offset: 8}, Position{}},
	}
	for _, c := range cases {
		var r record
		r.setClaim(c.num, c.at)
		require.Equal(t, c.want, r.claim(c.num))
	}
}

func TestLinkRoundTrip(t *testing.T) {
	want := Link{Num: 3, UID: fileid.UID{4}, Length: 8192, LastSeqNum: 99}
	for _, extra := range []int{0, 4, maxLinkExtra} {
		got, err := decodeLink(append(appendLink(nil, want), make([]byte, extra)...))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}

	_, err := decodeLink(make([]byte, linkSize-1))
	require.ErrorIs(t, err, errLink)
	_, err = decodeLink(make([]byte, linkSize+maxLinkExtra+1))
	require.ErrorIs(t, err, errLink)
	_, err = decodeLink(appendLink(nil, Link{Length: 8191}))
	require.ErrorIs(t, err, errLink)
	_, err = decodeLink(appendLink(nil, Link{Length: maxSegmentBytes + 8}))
	require.ErrorIs(t, err, errLink)
	_, err = decodeLink(appendLink(nil, Link{LastSeqNum: keys.MaxSeqNum + 1}))
	require.ErrorIs(t, err, errLink)
}

func FuzzRecordHeader(f *testing.F) {
	p := make([]byte, recordHeaderSize)
	f.Add(p, int64(4096), uint64(1))
	rec := record{kind: typeBatch, fragment: fragFull, payloadLen: 5, count: 1, first: 1}
	rec.put(p, &checksummer{seed: 7}, 4096)
	f.Add(p, int64(4096), uint64(1))
	f.Fuzz(func(t *testing.T, p []byte, off int64, num uint64) {
		if len(p) < recordHeaderSize || off < 0 || off > maxSegmentBytes {
			return
		}
		off &^= recordAlign - 1
		// A checksum that fits by construction, so that the other checks are reached.
		p = append([]byte(nil), p[:recordHeaderSize]...)
		h := record{}
		sealed, ok := parseRecord(p, &checksummer{seed: 7}, SegmentNum(num), off, maxSegmentBytes)
		if !ok {
			h = rawRecord(p)
			h.put(p, &checksummer{seed: 7}, off)
			if sealed, ok = parseRecord(p, &checksummer{seed: 7}, SegmentNum(num), off, maxSegmentBytes); !ok {
				return
			}
		}
		require.LessOrEqual(t, off+recordSize(int64(sealed.payloadLen)), int64(maxSegmentBytes)+recordAlign)
		require.LessOrEqual(t, sealed.first, keys.MaxSeqNum)
		at := Position{Segment: SegmentNum(num), Offset: off}
		require.False(t, at.less(sealed.claim(SegmentNum(num))), "no claim beyond the record")
		again := make([]byte, recordHeaderSize)
		sealed.put(again, &checksummer{seed: 7}, off)
		require.Equal(t, p, again, "what is accepted is what the encoder writes")
	})
}

// rawRecord takes the fields of p as they are, but those that are cheap to get wrong.
func rawRecord(p []byte) record {
	var r record
	r.kind, r.fragment = p[12]%8, p[13]%8
	r.payloadCRC, r.payloadLen = uint32(p[4]), uint32(p[8])|uint32(p[11])<<22
	r.claimBack, r.claimUnits = uint16(p[14]), uint32(p[16])|uint32(p[19])<<20
	r.count, r.first, r.time = uint32(p[20]), keys.SeqNum(p[24])|keys.SeqNum(p[31])<<54, uint64(p[32])
	return r
}
