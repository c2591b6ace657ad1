package fileid_test

import (
	"bytes"
	"testing"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/stretchr/testify/require"
)

// The same bytes have another checksum in another file, of another kind, at another
// place, or with another length.
func TestChecksumsAreBoundToFileAndPlace(t *testing.T) {
	a, b := fileid.UID{1}, fileid.UID{2}
	p := []byte("some bytes of a block")
	sum := fileid.NewSeed(fileid.KindTable, a).Checksum(4096, p)
	require.Equal(t, sum, fileid.NewSeed(fileid.KindTable, a).Checksum(4096, p))
	others := []uint32{
		fileid.NewSeed(fileid.KindTable, b).Checksum(4096, p),
		fileid.NewSeed(fileid.KindWAL, a).Checksum(4096, p),
		fileid.NewSeed(fileid.KindTable, a).Checksum(8192, p),
		fileid.NewSeed(fileid.KindTable, a).Checksum(4096, p[:len(p)-1]),
		codec.Checksum(0, p),
	}
	require.NotContains(t, others, sum)
}

func TestUIDsComeFromTheSourceOrAreAnError(t *testing.T) {
	u, err := fileid.NewUID(bytes.NewReader(bytes.Repeat([]byte{0xab}, 16)))
	require.NoError(t, err)
	require.Equal(t, "abababababababababababababababab", u.String())
	_, err = fileid.NewUID(bytes.NewReader(make([]byte, 15)))
	require.Error(t, err)
}
