package codec_test

import (
	"testing"
	"time"

	"github.com/loamdb/loam/state/codec"
	"github.com/stretchr/testify/require"
)

// fromNode makes a value of a node by its accessors alone.
func fromNode(n codec.Node, keys []string) any {
	switch n.Kind() {
	case codec.Bool:
		return n.Bool()
	case codec.Int64:
		return n.Int64()
	case codec.Uint64:
		return n.Uint64()
	case codec.Float64:
		return n.Float64()
	case codec.String:
		return string(n.Raw())
	case codec.Bytes:
		return append([]byte{}, n.Raw()...)
	case codec.Time:
		return n.Time()
	case codec.List:
		list := []any{}
		for e := range n.Elements() {
			list = append(list, fromNode(e, keys))
		}
		return list
	case codec.Map:
		m := map[string]any{}
		for _, k := range keys {
			if f := n.Field(k); f.Kind() != codec.Invalid {
				m[k] = fromNode(f, keys)
			}
		}
		return m
	}
	return nil
}

func TestNodesAreTheValuesOfTheirEncoding(t *testing.T) {
	doc := map[string]any{
		"": nil, "a": true, "b": int64(-200), "c": uint64(200), "d": 1.5, "e": "text", "f": []byte{0, 255},
		"g": time.Unix(1_700_000_000, 5).UTC(), "h": []any{int64(1), []any{"x", map[string]any{"a": false}}, nil},
		"i": map[string]any{"a": map[string]any{"b": int64(7)}},
	}
	p, err := codec.Append(nil, doc, nil)
	require.NoError(t, err)
	keys := []string{"", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	require.Equal(t, doc, fromNode(codec.NodeOf(p), keys))
	require.Equal(t, int64(7), codec.NodeOf(p).Field("i").Field("a").Field("b").Int64())

	for range codec.NodeOf(p).Field("h").Elements() {
		break
	}
	require.Equal(t, codec.Invalid, codec.NodeOf(nil).Kind())
	require.Equal(t, codec.Nil, codec.NodeOf(p).Field("").Kind())
	require.Equal(t, codec.Invalid, codec.NodeOf(p).Field("j").Kind())
	require.Equal(t, codec.Invalid, codec.NodeOf(p).Field("e").Field("a").Kind())
	require.Zero(t, testing.AllocsPerRun(10, func() { codec.NodeOf(p).Field("i").Field("a").Field("b") }))
}

func TestAccessorsOfOtherKindsReturnZero(t *testing.T) {
	for _, v := range []any{nil, true, int64(7), uint64(7), 7.5, "7", []byte("7"), time.Unix(7, 7), []any{"7"}, map[string]any{"7": "7"}} {
		p, err := codec.Append(nil, v, nil)
		require.NoError(t, err)
		n := codec.NodeOf(p)
		kind := codec.KindOf(v)
		require.Equal(t, kind, n.Kind())
		require.Equal(t, kind == codec.Bool, n.Bool())
		require.Equal(t, kind == codec.Int64, n.Int64() != 0)
		require.Equal(t, kind == codec.Uint64, n.Uint64() != 0)
		require.Equal(t, kind == codec.Float64, n.Float64() != 0)
		require.Equal(t, kind == codec.String || kind == codec.Bytes, n.Raw() != nil)
		require.Equal(t, kind == codec.Time, !n.Time().IsZero())
		require.Equal(t, kind == codec.Map, n.Field("7").Kind() == codec.String)
		elements := 0
		for range n.Elements() {
			elements++
		}
		require.Equal(t, kind == codec.List, elements == 1)
	}
}
