package wal

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
)

func sampleHeader() header {
	h := header{store: fileid.UID{1, 2, 3}, uid: fileid.UID{9, 8, 7}, num: 42, bytes: 256 << 10}
	for i := range h.salt {
		h.salt[i] = byte(i)
	}
	return h
}

// resum makes the checksum of a header page fit again.
func resum(p []byte) {
	uid := fileid.UID(p[32:48])
	binary.LittleEndian.PutUint32(p[headerSumAt:], fileid.NewSeed(fileid.KindWAL, uid).Checksum(0, p[:headerSumAt]))
}

func TestHeaderRoundTrip(t *testing.T) {
	want := sampleHeader()
	got, err := decodeHeader(want.encode())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestHeaderFindsEveryDamagedBit(t *testing.T) {
	h := sampleHeader()
	page := h.encode()
	for bit := range 8 * headerSize {
		page[bit/8] ^= 1 << (bit % 8)
		_, err := decodeHeader(page)
		require.Error(t, err, "bit %d", bit)
		require.NotErrorIs(t, err, ErrTooNew, "bit %d: damage is not a newer format", bit)
		page[bit/8] ^= 1 << (bit % 8)
	}
}

func TestHeaderErrorsTellWhatIsWrong(t *testing.T) {
	cases := []struct {
		name string
		edit func(p []byte)
		want error
	}{
		{"magic", func(p []byte) { p[0] = 'L' }, errMagic},
		{"newer version", func(p []byte) { p[8] = 2; resum(p) }, ErrTooNew},
		{"checksum", func(p []byte) { p[70]++ }, errChecksum},
		{"number zero", func(p []byte) { clear(p[48:56]); resum(p) }, errLength},
		{"length zero", func(p []byte) { clear(p[56:64]); resum(p) }, errLength},
		{"length odd", func(p []byte) { p[56]++; resum(p) }, errLength},
		{"length huge", func(p []byte) { p[63] = 0xff; resum(p) }, errLength},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := sampleHeader()
			p := h.encode()
			c.edit(p)
			_, err := decodeHeader(p)
			require.ErrorIs(t, err, c.want)
		})
	}
	_, err := decodeHeader(make([]byte, headerSize-1))
	require.ErrorIs(t, err, errLength)
}

func TestSlotNames(t *testing.T) {
	for _, s := range []Slot{1, 42, 9999, 10000, 1<<32 - 1} {
		got, ok := ParseSlotName(SlotName(s))
		require.True(t, ok)
		require.Equal(t, s, got)
	}
	for _, name := range []string{"", "wal-", "wal-0", "wal-0000", "wal-1", "wal-00001", "wal-4294967296", "wal-0001.tmp", "wal--001", "wal-+001", "WAL-0001"} {
		_, ok := ParseSlotName(name)
		require.False(t, ok, name)
	}
}
