package lsm

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/stretchr/testify/require"
)

func examplePayload() []byte {
	p := appendOp(nil, keys.KindSet, rootPrefix, []byte("a"), []byte("xy"))
	return appendOp(p, keys.KindDelete, rootPrefix, []byte("b"), nil)
}

// The bytes of a payload are those of docs/formats/batch.md.
func TestPayloadBytes(t *testing.T) {
	golden.Assert(t, filepath.Join("testdata", "payload.bin"), examplePayload())
	s, err := checkPayload(examplePayload())
	require.NoError(t, err)
	require.Equal(t, payloadStats{ops: 2, bytes: 6}, s)
}

func TestPayloadWithAReservedKindIsTooNew(t *testing.T) {
	p := appendOp(nil, keys.KindIngest, rootPrefix, []byte("a"), []byte("x"))
	_, err := checkPayload(p)
	require.ErrorIs(t, err, ErrTooNew)
}

func TestPayloadWithAShortOperandIsMalformed(t *testing.T) {
	p := appendOp(nil, keys.KindMerge, rootPrefix, []byte("a"), make([]byte, keys.MergeHeaderLen))
	_, err := checkPayload(p)
	require.NoError(t, err)
	_, err = checkPayload(appendOp(nil, keys.KindMerge, rootPrefix, []byte("a"), make([]byte, keys.MergeHeaderLen-1)))
	require.ErrorIs(t, err, codec.ErrMalformed)
}

func TestEveryCutOfAPayloadIsRefusedOrShorter(t *testing.T) {
	p := examplePayload()
	for n := range p {
		s, err := checkPayload(p[:n])
		if err == nil {
			require.Less(t, s.ops, 2, "cut at %d", n)
		}
	}
}

// What checkPayload accepts, opReader walks without leaving the payload, and encoding
// the operations again gives the same bytes.
func FuzzPayload(f *testing.F) {
	f.Add(examplePayload())
	f.Add([]byte{})
	f.Add(appendOp(nil, keys.KindMerge, rootPrefix, []byte("a"), make([]byte, 20)))
	f.Add([]byte{2, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := checkPayload(p)
		if err != nil {
			return
		}
		var again []byte
		ops := 0
		for r := (opReader{rest: p}); r.next(); ops++ {
			again = appendOp(again, r.kind, nil, r.key, r.value)
		}
		require.Equal(t, s.ops, ops)
		require.True(t, bytes.Equal(p, again))
	})
}
