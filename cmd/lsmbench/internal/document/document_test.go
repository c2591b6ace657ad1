package document

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/state/codec"
)

func TestDocumentsAreOfTheirLengthAndOfTheirSeed(t *testing.T) {
	for _, length := range []int{180, 200, 600, 2048, 20_000} {
		d := New(rand.New(rand.NewPCG(1, 2)), "doc/00000001", length)
		require.Equal(t, d, New(rand.New(rand.NewPCG(1, 2)), "doc/00000001", length))
		require.InDelta(t, length, d.Len(), 4, "%d", length)
		require.Equal(t, length >= leastForTurns, len(d.Turns) > 0, "%d", length)
		require.NotEqual(t, d, New(rand.New(rand.NewPCG(1, 3)), "doc/00000001", length))
	}
}

// The three forms hold the same.
func TestADocumentIsTheSameInEveryForm(t *testing.T) {
	d := New(rand.New(rand.NewPCG(1, 2)), "doc/00000001", 2048)
	m := d.Map()
	typed, err := codec.Append(nil, d, nil)
	require.NoError(t, err)
	v, err := codec.Decode(typed, nil)
	require.NoError(t, err)
	require.Equal(t, m, v)

	text, err := json.Marshal(d)
	require.NoError(t, err)
	var read map[string]any
	require.NoError(t, json.Unmarshal(text, &read))
	require.True(t, Equal(m, read))
	for _, spoil := range []func(){
		func() { read["rev"] = 1.0 },
		func() { read["tags"] = []any{} },
		func() { read["usage"].(map[string]any)["prompt"] = "1" },
		func() { read["more"] = nil },
		func() { delete(read, "id"); read["no"] = "doc/00000001" },
	} {
		read = nil
		require.NoError(t, json.Unmarshal(text, &read))
		spoil()
		require.False(t, Equal(m, read))
	}
	require.True(t, Equal(uint8(3), int64(3)))
}
