package seal_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// Any bytes at any place are refused, unless they are what was sealed there.
func FuzzOpen(f *testing.F) {
	c := aesGCM(f, 1)
	sealed, err := seal.NewSealer(c, fileid.KindTable, uid).Seal(nil, []byte("block"), seal.Place{Ordinal: 3, Offset: 4, Codec: 1, Header: []byte("h")})
	require.NoError(f, err)
	o := seal.NewOpener(c, fileid.KindTable, uid)
	f.Add(sealed, uint64(3), int64(4), uint8(1), []byte("h"))
	f.Add([]byte{}, uint64(0), int64(-1), uint8(0), []byte{})
	f.Fuzz(func(t *testing.T, p []byte, ordinal uint64, offset int64, codec uint8, header []byte) {
		got, err := o.Open(nil, p, seal.Place{Ordinal: ordinal, Offset: offset, Codec: codec, Header: header})
		if err != nil {
			require.ErrorIs(t, err, seal.ErrAuth)
			require.Empty(t, got)
			return
		}
		require.Equal(t, "block", string(got))
		require.Equal(t, sealed, p)
		require.Equal(t, seal.Place{Ordinal: 3, Offset: 4, Codec: 1, Header: []byte("h")}, seal.Place{Ordinal: ordinal, Offset: offset, Codec: codec, Header: header})
	})
}
