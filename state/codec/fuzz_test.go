package codec_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/loamdb/loam/state/codec"
	"github.com/vmihailenco/msgpack/v5"
)

// asValue turns what the library decodes into a value: it has a Go type for each width.
func asValue(v any) any {
	switch v := v.(type) {
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint8:
		return uint64(v)
	case uint16:
		return uint64(v)
	case uint32:
		return uint64(v)
	case float32:
		return float64(v)
	case []any:
		for i := range v {
			v[i] = asValue(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = asValue(v[k])
		}
	}
	return v
}

func libraryDecode(p []byte) (any, error) {
	dec := msgpack.NewDecoder(bytes.NewReader(p))
	v, err := dec.DecodeInterface()
	return asValue(v), err
}

// same is Equal to the bit.
func same(a, b any) bool {
	if f, ok := a.(float64); ok {
		g, ok := b.(float64)
		return ok && math.Float64bits(f) == math.Float64bits(g)
	}
	return codec.Equal(a, b)
}

// Any bytes: what is accepted the library decodes to an equal value, and it has one encoding,
// which decodes to it again (V1, V2, V3).
func FuzzDecode(f *testing.F) {
	for _, v := range edges() {
		p, err := codec.Append(nil, v, nil)
		if err != nil {
			f.Fatal(err)
		}
		if len(p) < 2000 {
			f.Add(p)
		}
	}
	for _, doc := range documents() {
		p, err := codec.Append(nil, doc, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	for _, p := range hostile() {
		f.Add(p)
	}
	f.Add([]byte{0x82, 0xa1, 'b', 0xcc, 5, 0xa1, 'a', 0xca, 0x3f, 0xc0, 0, 0})
	f.Add([]byte{0x82, 0xa1, 'b', 0x81, 0xa1, 'a', 0xd9, 1, 'x', 0xa1, 'c', 0x92, 0xc4, 0, 0xa0})
	small := []byte{0x82, 0xa1, 'a', 0xcd, 1, 0, 0xa1, 'b', 0x81, 0xa1, 'a', 0xa1, 'x'}
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, l := range []*codec.Limits{nil, {MaxNodes: 5}, {MaxDepth: 2}, {MaxBytes: 20}} {
			if valid := codec.Validate(p, l) == nil; valid != codec.DecodesOnce(p, l) {
				t.Fatalf("% x: valid %t under %+v, but not to both", p, valid, l)
			}
		}
		requireProbed(t, p)
		requireProbed(t, p, "a")
		requireProbed(t, p, "b", "a")
		requireChanges(t, p, small)
		v, err := codec.Decode(p, nil)
		if err != nil {
			return
		}
		theirs, err := libraryDecode(p)
		if err != nil {
			t.Fatalf("% x: accepted, but the library says %v", p, err)
		}
		if !same(v, theirs) {
			t.Fatalf("% x: %#v, the library says %#v", p, v, theirs)
		}
		enc, err := codec.Append(nil, v, nil)
		if err != nil {
			t.Fatalf("% x: decoded, but not encoded: %v", p, err)
		}
		requireChanges(t, enc, p)
		again, err := codec.Decode(enc, nil)
		if err != nil || !same(v, again) {
			t.Fatalf("% x: %#v comes back as %#v, %v", p, v, again, err)
		}
		if twice, err := codec.Append(nil, codec.Clone(again), nil); err != nil || !bytes.Equal(enc, twice) {
			t.Fatalf("% x and % x are encodings of one value", enc, twice)
		}
	})
}

// Any value: what one writes the other reads.
func FuzzAppend(f *testing.F) {
	for c := range byte(12) {
		f.Add([]byte{c, 8, 200, 1, 2, 3, 4, 5, 6, 7, 9, 8, 7})
		f.Add([]byte{10, 3, c, 4, 1, 2, 3, 4, 11, 2, 1, 'a', c, 2, 9, 9, 1, 'b', c, 5, 1, 2, 3, 4, 5})
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		v := (&source{p}).value(6)
		enc, err := codec.Append(nil, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := codec.Decode(enc, nil)
		if err != nil || !same(v, ours) {
			t.Fatalf("%#v comes back as %#v, %v", v, ours, err)
		}
		unordered, err := codec.AppendUnordered(nil, v, nil)
		if err != nil || len(unordered) != len(enc) {
			t.Fatalf("%#v takes %d bytes, and % x unordered, %v", v, len(enc), unordered, err)
		}
		if got, err := codec.Decode(unordered, nil); err != nil || !same(v, got) {
			t.Fatalf("%#v comes back as %#v, %v", v, got, err)
		}
		theirs, err := libraryDecode(enc)
		if err != nil || !same(v, theirs) {
			t.Fatalf("%#v: the library reads %#v, %v", v, theirs, err)
		}
		written, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := codec.Decode(written, nil); err != nil || !same(v, got) {
			t.Fatalf("%#v: the library writes % x, which is %#v, %v", v, written, got, err)
		}
		typed, err := codec.Unmarshal[any](enc, nil)
		if err != nil || !same(v, typed) {
			t.Fatalf("%#v is read as %#v, %v", v, typed, err)
		}
	})
}

// record has a field of each type that a struct may have.
type record struct {
	inner
	*Deep
	B    bool              `msgpack:"b"`
	I    int               `msgpack:"i,omitempty"`
	I8   int8              `msgpack:"i8"`
	U16  uint16            `msgpack:"u16,alias:old16"`
	U    uint64            `msgpack:",omitempty"`
	F    float64           `msgpack:"f"`
	S    string            `msgpack:"s"`
	Bin  []byte            `msgpack:"bin"`
	Hash [4]byte           `msgpack:"hash"`
	At   time.Time         `msgpack:"at"`
	Took time.Duration     `msgpack:"took"`
	Ptr  *int32            `msgpack:"ptr"`
	List []int64           `msgpack:"list"`
	Arr  [2]bool           `msgpack:"arr"`
	M    map[string]string `msgpack:"m"`
	Any  any               `msgpack:"any"`
	Sub  *record           `msgpack:"sub"`
	Gone string            `msgpack:"-"`
}

type inner struct {
	Z string `msgpack:"z"`
}

// Deep is embedded behind a pointer.
type Deep struct {
	Y uint8 `msgpack:"y"`
}

// Any bytes into a struct: an error, or a struct that the library reads the same, and that is
// written and read again without loss.
func FuzzUnmarshal(f *testing.F) {
	n := int32(-5)
	if p, err := codec.Append(nil, somePlaced(), nil); err != nil {
		f.Fatal(err)
	} else {
		f.Add(p)
	}
	for _, r := range []record{{}, {
		inner: inner{"z"}, Deep: &Deep{3}, B: true, I: -7, I8: -8, U16: 500, U: 1 << 60, F: 2.5, S: "s", Bin: []byte("b"),
		Hash: [4]byte{1, 2, 3, 4}, At: time.Unix(1e9, 5).UTC(), Took: time.Second, Ptr: &n, List: []int64{1, -1}, Arr: [2]bool{true, false},
		M: map[string]string{"k": "v"}, Any: map[string]any{"a": int64(1)}, Sub: &record{S: "sub"},
	}} {
		p, err := codec.Append(nil, r, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		// An empty record has lists that the bytes did not have.
		requireReads(t, p, nil)
		requireReads(t, p, &codec.Limits{MaxDepth: 3, MaxNodes: 20})
		r, err := codec.Unmarshal[record](p, &codec.Limits{MaxDepth: codec.DefaultMaxDepth - 1})
		if err != nil {
			return
		}
		enc, err := codec.Append(nil, r, nil)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		var theirs record
		if err := msgpack.Unmarshal(p, &theirs); err != nil {
			t.Fatalf("% x: the library says %v", p, err)
		}
		if back, err := codec.Append(nil, theirs, nil); err != nil || !bytes.Equal(back, enc) {
			t.Fatalf("% x: read as % x, by the library as % x, %v", p, enc, back, err)
		}
		again, err := codec.Unmarshal[record](enc, nil)
		if err != nil {
			t.Fatalf("%+v: % x: %v", r, enc, err)
		}
		if twice, err := codec.Append(nil, again, nil); err != nil || !bytes.Equal(enc, twice) {
			t.Fatalf("% x comes back as % x, %v", enc, twice, err)
		}
	})
}
