package typedjson_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/typedjson"
	"github.com/stretchr/testify/require"
)

func samples() []any {
	return []any{
		nil, true, false, int64(0), int64(-5), int64(math.MaxInt64), int64(math.MinInt64), uint64(0), uint64(5), uint64(math.MaxUint64),
		0.0, math.Copysign(0, -1), 5.0, -1.5, 1e21, 1e-7, math.MaxFloat64, math.SmallestNonzeroFloat64, 0.1,
		"", "text", "\"\\/\b\f\n\r\t\x00\x1f\x7f<>&\u2028é\U0001f600", []byte{}, []byte{0, 1, 255}, codec.MinTime, codec.MaxTime,
		time.Date(2026, 3, 1, 12, 30, 5, 500_000_000, time.UTC), []any{}, []any{int64(1), 2.0, []any{nil}}, map[string]any{},
		map[string]any{"b": int64(1), "a": uint64(1), "": nil}, map[string]any{"$uint": "5"}, map[string]any{"$": int64(1), "$$": nil, "$bytes": "AA=="},
		map[string]any{"$time": map[string]any{"$bytes": []byte("x")}},
	}
}

// B13, J1, J2. Each line is JSON to others as well.
func TestValuesComeBackWithTheirTypes(t *testing.T) {
	var out strings.Builder
	for _, v := range samples() {
		p, err := typedjson.Append([]byte("x"), v, nil)
		require.NoError(t, err)
		p = p[1:]
		require.True(t, json.Valid(p), "%s", p)
		require.NotContains(t, string(p), "\n")
		got, err := typedjson.Decode(p, nil)
		require.NoError(t, err, "%s", p)
		require.IsType(t, v, got, "%s", p)
		require.True(t, codec.Equal(v, got), "%s", p)
		if f, ok := v.(float64); ok {
			require.Equal(t, math.Signbit(f), math.Signbit(got.(float64)))
		}
		fmt.Fprintf(&out, "%-8s %s\n", codec.KindOf(v), p)
	}
	golden.Assert(t, "testdata/values.txt", []byte(out.String()))
}

func TestOtherSpellingsAreAccepted(t *testing.T) {
	for text, want := range map[string]any{
		" \t\r\n[ 1 , 2 ] \n":          []any{int64(1), int64(2)},
		`{ "b" : 1 , "a" : 2 }`:        map[string]any{"a": int64(2), "b": int64(1)},
		`"\u0041\/\ud83d\ude00\u00E9"`: "A/\U0001f600é",
		"-0":                           int64(0),
		"-0e0":                         math.Copysign(0, -1),
		"1E2":                          100.0,
		"1e-400":                       0.0,
		"18446744073709551615":         uint64(math.MaxUint64),
		`{ "$uint" : "7" }`:            uint64(7),
	} {
		got, err := typedjson.Decode([]byte(text), nil)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

// J3.
func TestWhatWouldLoseSomethingIsRefused(t *testing.T) {
	for text, want := range map[string]error{
		"": typedjson.ErrSyntax, " ": typedjson.ErrSyntax, "nul": typedjson.ErrSyntax, "nulll": typedjson.ErrSyntax, "1 2": typedjson.ErrSyntax,
		"01": typedjson.ErrSyntax, "+1": typedjson.ErrSyntax, "1.": typedjson.ErrSyntax, ".5": typedjson.ErrSyntax, "1e": typedjson.ErrSyntax,
		"-": typedjson.ErrSyntax, "NaN": typedjson.ErrSyntax, "[1,]": typedjson.ErrSyntax, "[1": typedjson.ErrSyntax, "[,1]": typedjson.ErrSyntax,
		`{"a":1,}`: typedjson.ErrSyntax, `{"a"}`: typedjson.ErrSyntax, `{a:1}`: typedjson.ErrSyntax, `{"a":1`: typedjson.ErrSyntax, `"a`: typedjson.ErrSyntax,
		"\"a\nb\"": typedjson.ErrSyntax, `"\x"`: typedjson.ErrSyntax, `"\u12"`: typedjson.ErrSyntax, `"\u12G4"`: typedjson.ErrSyntax, `"\`: typedjson.ErrSyntax,
		"\"\xff\"": codec.ErrNotUTF8, "\"\xff\\n\"": codec.ErrNotUTF8, "\"\\n\xff\"": codec.ErrNotUTF8, "\"\xe2\\n\x80\xa8\"": codec.ErrNotUTF8, `"\ud800"`: codec.ErrNotUTF8, `"\ud800\u0041"`: codec.ErrNotUTF8,
		`"\udc00\ud800"`: codec.ErrNotUTF8, `{"a":1,"a":1}`: typedjson.ErrDuplicateKey, `{"a":1,"\u0061":1}`: typedjson.ErrDuplicateKey,
		"18446744073709551616": codec.ErrOverflow, "-9223372036854775809": codec.ErrOverflow, "1e999": codec.ErrOverflow,
		`{"$ref":"x"}`: typedjson.ErrTag, `{"$":1}`: typedjson.ErrTag, `{"$uint":5}`: typedjson.ErrTag, `{"$uint":"5","a":1}`: typedjson.ErrTag,
		`{"a":1,"$uint":"5"}`: typedjson.ErrTag, `{"$uint":"05"}`: typedjson.ErrTag, `{"$uint":"-5"}`: typedjson.ErrTag, `{"$uint":"18446744073709551616"}`: typedjson.ErrTag,
		`{"$bytes":"AA"}`: typedjson.ErrTag, `{"$bytes":"AB=="}`: typedjson.ErrTag, `{"$bytes":"AA\n=="}`: typedjson.ErrTag, `{"$bytes":null}`: typedjson.ErrTag,
		`{"$time":"2026-03-01"}`: typedjson.ErrTag, `{"$time":"2026-03-01T12:30:05.50Z"}`: typedjson.ErrTag, `{"$time":"2026-03-01T12:30:05+01:00"}`: typedjson.ErrTag,
		`{"$time":"2026-02-30T12:30:05Z"}`: typedjson.ErrTag, `{"$time":"0000-01-01T00:00:00Z"}`: codec.ErrTimeRange,
	} {
		_, err := typedjson.Decode([]byte(text), nil)
		require.ErrorIs(t, err, want, "%q", text)
		var te *typedjson.TextError
		require.ErrorAs(t, err, &te)
	}
	_, err := typedjson.Decode([]byte(`{"name":"secret","$x":1}`), nil)
	require.EqualError(t, err, "typedjson: unknown or malformed $ object, at byte 17")
}

func TestLimitsHold(t *testing.T) {
	lim := &codec.Limits{MaxDepth: 2, MaxNodes: 5}
	for text, want := range map[string]error{
		"[[]]": nil, "[[[]]]": codec.ErrTooDeep, "[1,2,3,4]": nil, "[1,2,3,4,5]": codec.ErrTooLarge,
		`{"a":1,"b":2}`: nil, `{"a":1,"b":[2]}`: codec.ErrTooLarge, `[{"$uint":"1"},{"$uint":"2"},1,1]`: nil,
	} {
		v, err := typedjson.Decode([]byte(text), lim)
		require.ErrorIs(t, err, want, text)
		if want == nil {
			_, err := typedjson.Append(nil, v, lim)
			require.NoError(t, err)
			continue
		}
		v, err = typedjson.Decode([]byte(text), nil)
		require.NoError(t, err)
		_, err = typedjson.Append(nil, v, lim)
		require.ErrorIs(t, err, want, text)
	}
	_, err := typedjson.Decode([]byte(strings.Repeat("[", 1_000_000)), nil)
	require.ErrorIs(t, err, codec.ErrTooDeep)
	_, err = typedjson.Decode([]byte(strings.Repeat(" ", 80)+"1"), &codec.Limits{MaxBytes: 10})
	require.ErrorIs(t, err, codec.ErrTooLarge)
}

// The longest texts: none is refused whose value is within the limits.
func TestNoTextIsEightTimesAsLongAsItsValue(t *testing.T) {
	for _, v := range append(samples(), "\x01", map[string]any{"$": false}) {
		list := []any{}
		for range 2000 {
			list = append(list, v)
		}
		p, err := codec.Append(nil, list, nil)
		require.NoError(t, err)
		text, err := typedjson.Append(nil, list, nil)
		require.NoError(t, err)
		require.Less(t, len(text), 8*len(p), "%T", v)
	}
}

func TestWhatIsNoValueIsRefusedWithItsPlace(t *testing.T) {
	cycle := map[string]any{}
	cycle["a"] = cycle
	for _, c := range []struct {
		value any
		want  error
	}{
		{math.NaN(), codec.ErrNotFinite}, {"\xff", codec.ErrNotUTF8}, {5, codec.ErrType}, {codec.MaxTime.Add(1), codec.ErrTimeRange},
		{cycle, codec.ErrTooDeep}, {map[string]any{"\xff": nil}, codec.ErrNotUTF8},
	} {
		p, err := typedjson.Append([]byte("kept"), []any{nil, map[string]any{"k": c.value}}, nil)
		require.ErrorIs(t, err, c.want)
		require.Equal(t, "kept", string(p))
		var ve *codec.ValueError
		require.ErrorAs(t, err, &ve)
		require.True(t, strings.HasPrefix(ve.Path, "[1].k"), ve.Path)
	}
}

// Any text: what is accepted has one text, which is accepted; and it is JSON.
func FuzzDecode(f *testing.F) {
	for _, v := range samples() {
		p, err := typedjson.Append(nil, v, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Add([]byte(` {"a":[1E2,-0,"\ud83d\ude00"],"$$x":{"$bytes":"AAE="}} `))
	f.Fuzz(func(t *testing.T, p []byte) {
		v, err := typedjson.Decode(p, nil)
		if err != nil {
			return
		}
		if !json.Valid(p) {
			t.Fatalf("%q is accepted, and is no JSON", p)
		}
		text, err := typedjson.Append(nil, v, nil)
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		again, err := typedjson.Decode(text, nil)
		if err != nil || !codec.Equal(v, again) {
			t.Fatalf("%q becomes %q: %v", p, text, err)
		}
		if twice, err := typedjson.Append(nil, again, nil); err != nil || string(twice) != string(text) {
			t.Fatalf("%q becomes %q, then %q", p, text, twice)
		}
	})
}

// Any value that is stored: from MessagePack to JSON and back to the same bytes.
func FuzzRoundTrip(f *testing.F) {
	for _, v := range samples() {
		p, err := codec.Append(nil, v, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		v, err := codec.Decode(p, nil)
		if err != nil {
			return
		}
		want, err := codec.Append(nil, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := typedjson.Append(nil, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := typedjson.Decode(text, nil)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got, err := codec.Append(nil, back, nil); err != nil || string(got) != string(want) {
			t.Fatalf("% x becomes %s, which is % x: %v", want, text, got, err)
		}
	})
}

func BenchmarkTypedJSON(b *testing.B) {
	v := map[string]any{"role": "assistant", "content": strings.Repeat("some words ", 20), "turn": int64(7), "at": time.Unix(1e9, 5).UTC(), "tags": []any{"a", "b"}}
	b.ReportAllocs()
	var p []byte
	for b.Loop() {
		var err error
		if p, err = typedjson.Append(p[:0], v, nil); err != nil {
			b.Fatal(err)
		}
		if _, err = typedjson.Decode(p, nil); err != nil {
			b.Fatal(err)
		}
	}
}
