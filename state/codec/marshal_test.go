package codec_test

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/state/codec"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

func roundTrip[T any](t *testing.T, v T) T {
	t.Helper()
	p, err := codec.Append(nil, v, nil)
	require.NoError(t, err)
	got, err := codec.Unmarshal[T](p, nil)
	require.NoError(t, err)
	return got
}

// decoded returns v as values are.
func decoded(t *testing.T, v any) any {
	t.Helper()
	p, err := codec.Append(nil, v, nil)
	require.NoError(t, err)
	out, err := codec.Decode(p, nil)
	require.NoError(t, err)
	return out
}

func full() record {
	n := int32(math.MinInt32)
	return record{
		inner: inner{"z"}, Deep: &Deep{255}, B: true, I: math.MaxInt32, I8: -128, U16: 65535, U: math.MaxUint64, F: 0.1,
		S: "é", Bin: []byte{0}, Hash: [4]byte{9}, At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Took: -time.Hour, Ptr: &n,
		List: []int64{math.MinInt64, 0, 300}, Arr: [2]bool{false, true}, M: map[string]string{"b": "1", "a": "2"},
		Any: []any{uint64(7), int64(200), nil}, Sub: &record{S: "x", At: time.Unix(0, 0).UTC()},
	}
}

// B13.
func TestAStructRoundTrips(t *testing.T) {
	require.Equal(t, full(), roundTrip(t, full()))
	require.Equal(t, record{}, roundTrip(t, record{}))
	r := full()
	require.Equal(t, &r, roundTrip(t, &r))
	require.Equal(t, []record{r, {}}, roundTrip(t, []record{r, {}}))
}

// Whoever reads a struct without its type finds values of the kinds that its fields have.
func TestAStructIsAMapOfItsFields(t *testing.T) {
	v := decoded(t, full()).(map[string]any)
	require.Equal(t, "z", v["z"])
	require.Equal(t, uint64(255), v["y"])
	require.Equal(t, int64(math.MaxInt32), v["i"])
	require.Equal(t, uint64(65535), v["u16"])
	require.Equal(t, uint64(math.MaxUint64), v["U"])
	require.Equal(t, []byte{9, 0, 0, 0}, v["hash"])
	require.Equal(t, -int64(time.Hour), v["took"])
	require.Equal(t, []any{int64(math.MinInt64), int64(0), int64(300)}, v["list"])
	require.Equal(t, map[string]any{"a": "2", "b": "1"}, v["m"])
	require.NotContains(t, v, "Gone")
	sub := v["sub"].(map[string]any)
	require.NotContains(t, sub, "i", "empty")
	require.NotContains(t, sub, "y", "of a nil pointer")
	require.Nil(t, sub["bin"])
	require.Contains(t, sub, "bin")

	// V3: the struct and its map are one value.
	a, err := codec.Append(nil, full(), nil)
	require.NoError(t, err)
	b, err := codec.Append(nil, v, nil)
	require.NoError(t, err)
	require.Equal(t, a, b)
}

// The library's own structs are read, and it reads ours.
func TestTheLibraryAgreesOnStructs(t *testing.T) {
	r := full()
	theirs, err := msgpack.Marshal(r)
	require.NoError(t, err)
	got, err := codec.Unmarshal[record](theirs, nil)
	require.NoError(t, err)
	got.Any = []any{uint64(7), int64(200), nil}
	require.Equal(t, r, got)

	ours, err := codec.Append(nil, r, nil)
	require.NoError(t, err)
	var back record
	require.NoError(t, msgpack.Unmarshal(ours, &back))
	back.At, back.Sub.At = back.At.UTC(), back.Sub.At.UTC()
	back.Any = asValue(back.Any)
	require.Equal(t, r, back)
}

// What does not fit is refused with its place, where the library cuts it.
func TestNumbersThatDoNotFitAreRefused(t *testing.T) {
	type small struct {
		N int8   `msgpack:"n"`
		U uint8  `msgpack:"u"`
		L uint64 `msgpack:"l"`
	}
	for _, c := range []struct {
		value map[string]any
		path  string
	}{
		{map[string]any{"n": int64(128)}, ".n"}, {map[string]any{"n": int64(-129)}, ".n"}, {map[string]any{"n": uint64(128)}, ".n"},
		{map[string]any{"n": uint64(math.MaxUint64)}, ".n"}, {map[string]any{"u": int64(256)}, ".u"}, {map[string]any{"u": int64(-1)}, ".u"},
		{map[string]any{"l": int64(-1)}, ".l"},
	} {
		p, err := codec.Append(nil, c.value, nil)
		require.NoError(t, err)
		var theirs small
		require.NoError(t, msgpack.Unmarshal(p, &theirs), "the library refuses it too: this test has lost its reason")
		got, err := codec.Unmarshal[small](p, nil)
		require.ErrorIs(t, err, codec.ErrOverflow)
		var ve *codec.ValueError
		require.ErrorAs(t, err, &ve)
		require.Equal(t, c.path, ve.Path)
		require.Zero(t, got)
	}
	p, err := codec.Append(nil, map[string]any{"n": uint64(127), "u": int64(255), "l": int64(5)}, nil)
	require.NoError(t, err)
	got, err := codec.Unmarshal[small](p, nil)
	require.NoError(t, err)
	require.Equal(t, small{127, 255, 5}, got)
}

func TestFloatsTakeWhatTheyHoldExactly(t *testing.T) {
	for _, v := range []any{int64(1) << 53, -int64(1) << 53, int64(math.MinInt64), uint64(1) << 63, int64(0)} {
		p, err := codec.Append(nil, v, nil)
		require.NoError(t, err)
		_, err = codec.Unmarshal[float64](p, nil)
		require.NoError(t, err, "%v", v)
	}
	for _, v := range []any{int64(1)<<53 + 1, int64(math.MaxInt64), uint64(math.MaxUint64)} {
		p, err := codec.Append(nil, v, nil)
		require.NoError(t, err)
		_, err = codec.Unmarshal[float64](p, nil)
		require.ErrorIs(t, err, codec.ErrOverflow, "%v", v)
	}
	p, err := codec.Append(nil, 1e300, nil)
	require.NoError(t, err)
	_, err = codec.Unmarshal[float32](p, nil)
	require.ErrorIs(t, err, codec.ErrOverflow)
	p, err = codec.Append(nil, int64(1)<<24+1, nil)
	require.NoError(t, err)
	_, err = codec.Unmarshal[float32](p, nil)
	require.ErrorIs(t, err, codec.ErrOverflow)
}

// The library does not read a float of 64 bits into a field of 32; here there is one kind of float.
func TestSmallFloatsAreFloats(t *testing.T) {
	type small struct{ F float32 }
	require.Equal(t, small{0.1}, roundTrip(t, small{0.1}))
	require.Equal(t, map[string]any{"F": float64(float32(0.1))}, decoded(t, small{0.1}))
	_, err := codec.Append(nil, small{float32(math.Inf(1))}, nil)
	require.ErrorIs(t, err, codec.ErrNotFinite)
}

func mismatch[T any](v any) error {
	p, err := codec.Append(nil, v, nil)
	if err != nil {
		return err
	}
	_, err = codec.Unmarshal[T](p, nil)
	return err
}

func TestValuesOfAnotherKindAreRefused(t *testing.T) {
	for name, err := range map[string]error{
		"float into int":       mismatch[int](1.0),
		"string into bytes":    mismatch[[]byte]("x"),
		"bytes into string":    mismatch[string]([]byte("x")),
		"string into time":     mismatch[time.Time]("2026-01-01T00:00:00Z"),
		"int into bool":        mismatch[bool](int64(1)),
		"list into map":        mismatch[map[string]int]([]any{}),
		"map into list":        mismatch[[]int](map[string]any{}),
		"list into struct":     mismatch[record]([]any{}),
		"long list into array": mismatch[[1]int]([]any{int64(1), int64(2)}),
		"short bytes":          mismatch[[4]byte]([]byte("abc")),
		"into a channel":       mismatch[chan int](int64(1)),
		"into an interface":    mismatch[fmt.Stringer](int64(1)),
		"into integer keys":    mismatch[map[int]int](map[string]any{}),
	} {
		require.ErrorIs(t, err, codec.ErrType, name)
	}
	err := mismatch[map[string][]record](map[string]any{"a": []any{map[string]any{"m": map[string]any{"k": int64(1)}}}})
	var ve *codec.ValueError
	require.ErrorAs(t, err, &ve)
	require.Equal(t, ".a[0].m.k", ve.Path)
	require.NotContains(t, err.Error(), "1 ")
}

func TestNilMakesZeroValues(t *testing.T) {
	p, err := codec.Append(nil, map[string]any{"b": nil, "i": nil, "s": nil, "m": nil, "arr": nil, "at": nil, "sub": nil}, nil)
	require.NoError(t, err)
	got, err := codec.Unmarshal[record](p, nil)
	require.NoError(t, err)
	require.Zero(t, got)
}

func TestUnknownKeysArePassedOverAndAliasesRead(t *testing.T) {
	p, err := codec.Append(nil, map[string]any{
		"old16": int64(9), "s": "kept", "new": map[string]any{"deep": []any{"x", []byte("y"), time.Unix(1, 1), map[string]any{"k": 1.5}}}, "zz": int64(5),
	}, nil)
	require.NoError(t, err)
	got, err := codec.Unmarshal[record](p, nil)
	require.NoError(t, err)
	require.Equal(t, record{U16: 9, S: "kept"}, got)
}

type self struct {
	Next *self
	Kids []self
	Map  map[string]self
}

func TestTypesThatContainThemselves(t *testing.T) {
	n := 5
	many := make([]*int, 500) // each with its own way to a value
	for i := range many {
		many[i] = &n
	}
	require.Equal(t, many, roundTrip(t, many))
	v := self{Next: &self{Kids: []self{{}, {}}}, Map: map[string]self{"a": {}}}
	require.Equal(t, v, roundTrip(t, v))
	loop := &self{}
	loop.Next = loop
	_, err := codec.Append(nil, loop, nil)
	require.ErrorIs(t, err, codec.ErrTooDeep)
	var x any
	x = &x
	_, err = codec.Append(nil, x, nil)
	require.ErrorIs(t, err, codec.ErrTooDeep)
	type pointer *pointer
	var p pointer
	p = &p
	_, err = codec.Append(nil, p, nil)
	require.ErrorIs(t, err, codec.ErrTooDeep)
}

// Upper reads and writes itself as text.
type Upper string

func (u Upper) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(string(u))), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *Upper) UnmarshalText(p []byte) error {
	if len(p) == 0 {
		return errors.New("empty")
	}
	*u = Upper(strings.ToLower(string(p)))
	return nil
}

// Point writes itself by the library's encoder.
type Point struct{ x, y int }

// EncodeMsgpack implements msgpack.CustomEncoder.
func (p *Point) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeMulti([]int{p.x, p.y}) }

// DecodeMsgpack implements msgpack.CustomDecoder.
func (p *Point) DecodeMsgpack(d *msgpack.Decoder) error {
	var xy []int
	err := d.Decode(&xy)
	if err == nil && len(xy) == 2 {
		p.x, p.y = xy[0], xy[1]
	}
	return err
}

// Raw is MessagePack that is passed on.
type Raw []byte

// MarshalMsgpack implements msgpack.Marshaler.
func (r Raw) MarshalMsgpack() ([]byte, error) { return r, nil }

// UnmarshalMsgpack implements msgpack.Unmarshaler.
func (r *Raw) UnmarshalMsgpack(p []byte) error { *r = p; return nil }

// Pointers count as long as they lead to each other: not those of other values, nor those around a list.
func TestManyPointersAreNoCycle(t *testing.T) {
	n := int64(1)
	siblings := make([]any, 1000)
	for i := range siblings {
		p := &n
		siblings[i] = &p
	}
	nested := any(n)
	for range 120 {
		list := []any{nested}
		nested = &list
	}
	for name, v := range map[string]any{"siblings": siblings, "nested": nested} {
		_, err := codec.Append(nil, v, nil)
		require.NoError(t, err, name)
	}
	for range 101 {
		v := nested
		nested = &v
	}
	_, err := codec.Append(nil, nested, nil)
	require.ErrorIs(t, err, codec.ErrTooDeep)
}

func TestTypesWithMethodsOfTheirOwn(t *testing.T) {
	type all struct {
		U   Upper
		P   Point
		R   Raw
		A   netip.Addr
		URL *url.URL
		Q   *Point
		Ps  map[string]Point
	}
	link, err := url.Parse("https://example.org/a?b=c")
	require.NoError(t, err)
	v := all{
		U: "abc", P: Point{1, -2}, R: Raw{0x81, 0xa1, 'k', 5}, A: netip.MustParseAddr("::1"), URL: link,
		Ps: map[string]Point{"a": {3, 4}},
	}
	require.Equal(t, v, roundTrip(t, v))
	m := decoded(t, v).(map[string]any)
	require.Equal(t, "ABC", m["U"])
	require.Equal(t, []any{int64(1), int64(-2)}, m["P"])
	require.Equal(t, map[string]any{"k": int64(5)}, m["R"])

	for name, c := range map[string]struct {
		value any
		want  error
	}{
		"hostile":   {struct{ R Raw }{Raw{0xdd, 0xff, 0xff, 0xff, 0xff}}, codec.ErrTruncated},
		"two":       {struct{ R Raw }{Raw{1, 1}}, codec.ErrTrailing},
		"nothing":   {struct{ R Raw }{Raw{}}, codec.ErrTruncated},
		"extension": {struct{ R Raw }{Raw{0xd4, 0x80, 0}}, codec.ErrExtension},
	} {
		_, err := codec.Append(nil, c.value, nil)
		require.ErrorIs(t, err, codec.ErrCustom, name)
		require.ErrorIs(t, err, c.want, name)
		var ve *codec.ValueError
		require.ErrorAs(t, err, &ve)
		require.Equal(t, ".R", ve.Path)
	}
	_, err = codec.Append(nil, []Raw{{0x91, 0x90}}, &codec.Limits{MaxDepth: 2})
	require.ErrorIs(t, err, codec.ErrTooDeep)
	_, err = codec.Append(nil, []Raw{{0x92, 1, 1}}, &codec.Limits{MaxNodes: 3})
	require.ErrorIs(t, err, codec.ErrTooLarge)
	_, err = codec.Append(nil, []Raw{{1}, {1}}, &codec.Limits{MaxNodes: 3})
	require.NoError(t, err)
	_, err = codec.Append(nil, []Raw{{1}, {1}}, &codec.Limits{MaxNodes: 2})
	require.ErrorIs(t, err, codec.ErrTooLarge)
	require.ErrorIs(t, mismatch[Upper](""), codec.ErrCustom)
	require.ErrorIs(t, mismatch[Upper](int64(1)), codec.ErrType)
	require.ErrorIs(t, mismatch[Point]("x"), codec.ErrCustom)
}

// Half is read by a method and not written by one; Other is written by two and read by one.
type Half struct{ N int }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Half) UnmarshalText([]byte) error { return errors.New("not to be called") }

// Other is a number with two ways to write it.
type Other int

// MarshalBinary implements encoding.BinaryMarshaler.
func (o Other) MarshalBinary() ([]byte, error) { return nil, errors.New("not to be called") }

// MarshalText implements encoding.TextMarshaler.
func (o Other) MarshalText() ([]byte, error) { return []byte(strings.Repeat("i", int(o))), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Other) UnmarshalText(p []byte) error { *o = Other(len(p)); return nil }

func TestMethodsComeInPairs(t *testing.T) {
	require.Equal(t, Half{5}, roundTrip(t, Half{5}))
	require.Equal(t, Other(3), roundTrip(t, Other(3)))
	require.Equal(t, "iii", decoded(t, Other(3)))
	type outer struct {
		Half
		M int
	}
	require.Equal(t, map[string]any{"M": int64(1), "N": int64(2)}, decoded(t, outer{Half{2}, 1}))
}

func TestStructsThatAreNoValues(t *testing.T) {
	type twice struct {
		A int `msgpack:"x"`
		B int `msgpack:"x"`
	}
	type hidden struct{ a, b int }
	for _, v := range []any{twice{}, hidden{}, struct{ C chan int }{}, struct{ E error }{errors.New("e")}, struct{ U uintptr }{}} {
		_, err := codec.Append(nil, v, nil)
		require.ErrorIs(t, err, codec.ErrType, "%T", v)
	}
	p, err := codec.Append(nil, struct{}{}, nil)
	require.NoError(t, err)
	require.Equal(t, []byte{0x80}, p)
	require.Equal(t, hidden{}, hidden{0, 0})
}

// The field that is embedded less deep counts, as in Go.
func TestEmbeddedStructs(t *testing.T) {
	type Outer struct {
		inner    `msgpack:"named,omitempty"`
		*Deep    `msgpack:",noinline"`
		Z        int      `msgpack:"z"`
		_msgpack struct{} `msgpack:",omitempty"`
		W        string
	}
	v := Outer{inner: inner{"hidden"}, Deep: &Deep{1}, Z: 5}
	require.Equal(t, map[string]any{"z": int64(5), "Deep": map[string]any{"y": uint64(1)}}, decoded(t, v))
	_ = v._msgpack
}

func TestOmitEmpty(t *testing.T) {
	type o struct {
		B bool            `msgpack:",omitempty"`
		F float64         `msgpack:",omitempty"`
		L []int           `msgpack:",omitempty"`
		M map[string]int  `msgpack:",omitempty"`
		T time.Time       `msgpack:",omitempty"`
		P *int            `msgpack:",omitempty"`
		A any             `msgpack:",omitempty"`
		R [0]int          `msgpack:",omitempty"`
		S struct{ X int } `msgpack:",omitempty"`
	}
	zero := 0
	require.Equal(t, map[string]any{}, decoded(t, o{L: []int{}, A: ""}))
	require.Equal(t, map[string]any{"P": int64(0), "S": map[string]any{"X": int64(1)}}, decoded(t, o{P: &zero, S: struct{ X int }{1}}))
}

// What is read shares nothing with the bytes it was read from.
func TestStructsShareNothingWithTheirBytes(t *testing.T) {
	type all struct {
		R   record
		Raw Raw
		U   Upper
	}
	v := all{R: full(), Raw: Raw{0xa1, 'x'}, U: "abc"}
	p, err := codec.Append(nil, v, nil)
	require.NoError(t, err)
	got, err := codec.Unmarshal[all](p, nil)
	require.NoError(t, err)
	clear(p)
	require.Equal(t, v, got)
}

func TestFieldsBehindANilPointerAreLeftOut(t *testing.T) {
	type outer struct {
		*Deep
		A int
	}
	require.Equal(t, map[string]any{"A": int64(1)}, decoded(t, outer{A: 1}))
	require.Equal(t, outer{A: 1}, roundTrip(t, outer{A: 1}))
	require.Equal(t, outer{&Deep{2}, 1}, roundTrip(t, outer{&Deep{2}, 1}))
}
