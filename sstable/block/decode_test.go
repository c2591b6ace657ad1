package block_test

import (
	"encoding/binary"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable/block"
)

// The limit of a value was checked on the row, which may hold 65 KB of key as well: so
// much longer a value could be than the longest that can be written.
func TestDecodeRefusesValuesLongerThanTheLimit(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("needs a gibibyte of zeros, which is never touched")
	}
	le := binary.LittleEndian
	const header = 24
	zeros := make([]byte, header+4+8+keys.MaxValueLen+1)
	make1 := func(fixed bool, value int) []byte { // one entry, its key of no bytes
		offsets := 8
		if fixed {
			offsets = 4
		}
		p := zeros[:header+4+offsets+value]
		clear(p[:header+4+8])
		le.PutUint64(p, 5<<8|uint64(keys.KindSet))
		le.PutUint16(p[8:], 1) // wide
		le.PutUint32(p[12:], 1)
		if fixed {
			p[8] |= 2
			le.PutUint32(p[header+4:], uint32(value))
		} else {
			le.PutUint32(p[header+8:], uint32(value))
		}
		return p
	}
	for _, fixed := range []bool{true, false} {
		b, err := block.Decode(make1(fixed, keys.MaxValueLen))
		require.NoError(t, err)
		require.Len(t, b.Value(0), keys.MaxValueLen)
		_, err = block.Decode(make1(fixed, keys.MaxValueLen+1))
		require.ErrorIs(t, err, block.ErrMalformed, fixed)
	}
}
