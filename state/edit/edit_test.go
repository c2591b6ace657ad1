package edit_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/edit"
	"github.com/loamdb/loam/state/typedjson"
	"github.com/stretchr/testify/require"
)

func parse(t *testing.T, text string) any {
	t.Helper()
	v, err := typedjson.Decode([]byte(text), nil)
	require.NoError(t, err, text)
	return v
}

// The test cases of RFC 7386, appendix A, in its order.
func TestMergePatchDoesWhatTheRFCLists(t *testing.T) {
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// The example of its section 3.
		{
			`{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"This will be unchanged"}`,
			`{"title":"Hello!","phoneNumber":"+01-123-456-7890","author":{"familyName":null},"tags":["example"]}`,
			`{"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"content":"This will be unchanged","phoneNumber":"+01-123-456-7890"}`,
		},
		// Types are kept.
		{`{"n":1,"u":{"$uint":"2"}}`, `{"n":2.0,"b":{"$bytes":"AA=="}}`, `{"n":2.0,"u":{"$uint":"2"},"b":{"$bytes":"AA=="}}`},
	} {
		target, patch := parse(t, c[0]), parse(t, c[1])
		got, err := edit.MergePatch(target, patch, nil)
		require.NoError(t, err)
		require.True(t, codec.Equal(parse(t, c[2]), got), "%s under %s is %v", c[0], c[1], got)
		require.True(t, codec.Equal(parse(t, c[0]), target), "the target has changed")
		require.True(t, codec.Equal(parse(t, c[1]), patch), "the patch has changed")
	}
}

func TestAPatchMayBeAStructAndSharesNothing(t *testing.T) {
	type patch struct {
		Name string  `msgpack:"name,omitempty"`
		Old  *int    `msgpack:"old"`
		Data []byte  `msgpack:"data"`
		Temp float64 `msgpack:"temp,omitempty"`
	}
	p := patch{Name: "n", Data: []byte("abc")}
	got, err := edit.MergePatch(map[string]any{"old": int64(1), "temp": 0.5}, p, nil)
	require.NoError(t, err)
	p.Data[0] = 'X'
	require.Equal(t, map[string]any{"name": "n", "temp": 0.5, "data": []byte("abc")}, got)
}

func TestPatchesThatAreNoValuesAreRefused(t *testing.T) {
	cycle := map[string]any{}
	cycle["a"] = cycle
	_, err := edit.MergePatch(map[string]any{}, cycle, nil)
	require.ErrorIs(t, err, codec.ErrTooDeep)
	_, err = edit.MergePatch(map[string]any{}, map[string]any{"a": math.NaN()}, nil)
	require.ErrorIs(t, err, codec.ErrNotFinite)
	_, err = edit.MergePatch(5, map[string]any{}, nil)
	require.ErrorIs(t, err, codec.ErrType)
	got, err := edit.MergePatch(nil, map[string]any{"a": nil, "b": true}, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"b": true}, got)
}

func TestIncrementsKeepTheTypeOfTheValue(t *testing.T) {
	const maxI, minI, maxU = int64(math.MaxInt64), int64(math.MinInt64), uint64(math.MaxUint64)
	for _, c := range []struct{ value, delta, want any }{
		{nil, int64(5), int64(5)}, {nil, uint64(5), uint64(5)}, {nil, 1.5, 1.5}, {nil, 5, int64(5)},
		{int64(1), int64(2), int64(3)}, {int64(1), 2, int64(3)}, {int64(-1), uint64(5), int64(4)}, {int64(0), int64(0), int64(0)},
		{maxI - 1, int64(1), maxI}, {minI, maxU, maxI}, {minI + 1, int64(-1), minI}, {minI, int64(0), minI}, {int64(-1), uint64(1) << 63, maxI},
		{uint64(1), uint64(2), uint64(3)}, {uint64(5), int64(-5), uint64(0)}, {maxU - 1, int64(1), maxU}, {maxU, minI, maxU - 1<<63},
		{maxU, int64(0), maxU}, {1.5, 1.0, 2.5}, {1.5, int64(-1), 0.5}, {1.5, uint64(1) << 53, 1.5 + 1<<53},
	} {
		got, err := edit.Increment(c.value, c.delta)
		require.NoError(t, err, "%v %v", c.value, c.delta)
		require.Equal(t, c.want, got, "%v %v", c.value, c.delta)
	}
	for _, c := range [][2]any{
		{maxI, int64(1)}, {minI, int64(-1)}, {maxI, uint64(1)}, {int64(0), uint64(1) << 63}, {int64(5), maxU}, {maxU, uint64(1)},
		{maxU, int64(1)}, {uint64(0), int64(-1)}, {uint64(5), minI}, {math.MaxFloat64, math.MaxFloat64}, {1.0, int64(1)<<53 + 1},
		{1.0, minI}, {1.0, maxU},
	} {
		got, err := edit.Increment(c[0], c[1])
		require.ErrorIs(t, err, codec.ErrOverflow, "%v %v", c[0], c[1])
		require.Nil(t, got)
	}
	for _, c := range [][2]any{
		{int64(1), 1.0}, {uint64(1), 1.0}, {"1", int64(1)}, {[]any{}, int64(1)}, {true, int64(1)}, {time.Time{}, int64(1)},
		{int64(1), "1"}, {int64(1), nil}, {nil, "1"}, {5, int64(1)},
	} {
		_, err := edit.Increment(c[0], c[1])
		require.ErrorIs(t, err, codec.ErrType, "%v %v", c[0], c[1])
	}
	_, err := edit.Increment(nil, math.NaN())
	require.ErrorIs(t, err, codec.ErrNotFinite)
	_, err = edit.Increment(int64(1729), 0.5)
	require.EqualError(t, err, "codec: type mismatch: int64 incremented by float64")
}

// Against arithmetic without bounds.
func FuzzIncrement(f *testing.F) {
	for _, a := range []uint64{0, 1, math.MaxInt64, 1 << 63, math.MaxUint64} {
		for kinds := range byte(4) {
			f.Add(a, a, kinds)
			f.Add(a, uint64(math.MaxUint64), kinds)
		}
	}
	f.Fuzz(func(t *testing.T, a, b uint64, kinds byte) {
		number := func(n uint64, signed bool) (any, *big.Int) {
			if signed {
				return int64(n), big.NewInt(int64(n))
			}
			return n, new(big.Int).SetUint64(n)
		}
		value, x := number(a, kinds&1 == 0)
		delta, y := number(b, kinds&2 == 0)
		want := new(big.Int).Add(x, y)
		fits := want.IsUint64()
		if kinds&1 == 0 {
			fits = want.IsInt64()
		}
		got, err := edit.Increment(value, delta)
		if fits != (err == nil) || !fits && !errors.Is(err, codec.ErrOverflow) {
			t.Fatalf("%v + %v: %v", value, delta, err)
		}
		if fits && (codec.KindOf(got) != codec.KindOf(value) || fmt.Sprint(got) != want.String()) {
			t.Fatalf("%v + %v is %v", value, delta, got)
		}
	})
}

func TestAppendAddsToLists(t *testing.T) {
	got, err := edit.Append(nil, nil, int64(1))
	require.NoError(t, err)
	require.Equal(t, []any{int64(1)}, got)

	type turn struct{ Role string }
	old := append(make([]any, 0, 10), "a")
	data := []byte("abc")
	got, err = edit.Append(old, nil, turn{"user"}, 7, data)
	require.NoError(t, err)
	data[0] = 'X'
	require.Equal(t, []any{"a", map[string]any{"Role": "user"}, int64(7), []byte("abc")}, got)
	require.Nil(t, old[:2][1], "the list has changed")

	got, err = edit.Append([]any{}, nil)
	require.NoError(t, err)
	require.Equal(t, []any{}, got)

	_, err = edit.Append("text", nil, int64(1))
	require.ErrorIs(t, err, codec.ErrType)
	_, err = edit.Append([]any{"a"}, nil, math.NaN())
	require.ErrorIs(t, err, codec.ErrNotFinite)
	require.ErrorContains(t, err, "[1]")
}

func TestAppendNamesCollectionForLongLists(t *testing.T) {
	// A list head of one byte, and a string with a head of three.
	fits := strings.Repeat("x", edit.MaxListBytes-4)
	list, err := edit.Append(nil, nil, fits)
	require.NoError(t, err)
	_, err = edit.Append(list, nil, nil)
	require.ErrorIs(t, err, codec.ErrTooLarge)
	require.ErrorContains(t, err, "Collection")
	_, err = edit.Append(nil, &codec.Limits{MaxBytes: 10}, fits)
	require.ErrorIs(t, err, codec.ErrTooLarge)
}
