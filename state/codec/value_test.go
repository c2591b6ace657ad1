package codec_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/state/codec"
	"github.com/stretchr/testify/require"
)

// B1, B13, V2: every value comes back equal, of its type.
func TestValuesComeBackWithTheirTypes(t *testing.T) {
	for _, v := range append(edges(), large()...) {
		p, err := codec.Append([]byte("x"), v, nil)
		require.NoError(t, err)
		require.Equal(t, byte('x'), p[0])
		got, err := codec.Decode(p[1:], nil)
		require.NoError(t, err)
		require.IsType(t, v, got)
		require.True(t, codec.Equal(v, got), "%T", v)
	}
}

func TestNegativeZeroKeepsItsSign(t *testing.T) {
	p, err := codec.Append(nil, math.Copysign(0, -1), nil)
	require.NoError(t, err)
	got, err := codec.Decode(p, nil)
	require.NoError(t, err)
	require.True(t, math.Signbit(got.(float64)))
}

// B13: a type for each number.
func TestNumbersOfDifferentTypesDiffer(t *testing.T) {
	numbers := []any{int64(1), uint64(1), 1.0, "1", []byte("1"), true, []any{int64(1)}, nil, map[string]any{}}
	for i, a := range numbers {
		for j, b := range numbers {
			require.Equal(t, i == j, codec.Equal(a, b), "%T %T", a, b)
			pa, errA := codec.Append(nil, a, nil)
			pb, errB := codec.Append(nil, b, nil)
			require.NoError(t, errA)
			require.NoError(t, errB)
			require.Equal(t, i == j, string(pa) == string(pb))
		}
	}
	require.False(t, codec.Equal(struct{}{}, struct{}{}))
	require.True(t, codec.Equal([]byte(nil), []byte{}))
	require.False(t, codec.Equal(map[string]any{"a": nil}, map[string]any{"b": nil}))
	require.False(t, codec.Equal([]any{int64(1)}, []any{int64(1), int64(2)}))
	cet := time.FixedZone("", 3600)
	require.True(t, codec.Equal(time.Unix(5, 6), time.Unix(5, 6).In(cet)))
}

// A value read back is a copy, and so is a clone.
func TestCopiesShareNothing(t *testing.T) {
	v := map[string]any{"list": []any{[]byte("abc"), map[string]any{"k": "text"}}}
	p, err := codec.Append(nil, v, nil)
	require.NoError(t, err)
	decoded, err := codec.Decode(p, nil)
	require.NoError(t, err)
	for i := range p {
		p[i] = 0xc1
	}
	require.True(t, codec.Equal(v, decoded))

	clone := codec.Clone(v).(map[string]any)
	require.True(t, codec.Equal(v, clone))
	clone["list"].([]any)[0].([]byte)[0] = 'X'
	clone["list"].([]any)[1].(map[string]any)["k"] = nil
	require.True(t, codec.Equal(v, decoded))
}

// V3: one value, one encoding.
func TestMapsAreWrittenInTheOrderOfTheirKeys(t *testing.T) {
	want, err := codec.Append(nil, wide(100), nil)
	require.NoError(t, err)
	for range 10 {
		again, err := codec.Append(nil, codec.Clone(wide(100)), nil)
		require.NoError(t, err)
		require.Equal(t, want, again)
	}
}

// What is written without sorting is read back, obeys the limits, and is as long.
func TestUnorderedValuesAreTheSameValues(t *testing.T) {
	for name, doc := range documents() {
		sorted, err := codec.Append(nil, doc, nil)
		require.NoError(t, err)
		p, err := codec.AppendUnordered([]byte("x"), doc, &codec.Limits{MaxBytes: len(sorted)})
		require.NoError(t, err, name)
		require.Len(t, p, 1+len(sorted))
		v, err := codec.Decode(p[1:], nil)
		require.NoError(t, err)
		require.True(t, codec.Equal(doc, v), name)
		p, err = codec.AppendUnordered([]byte("x"), doc, &codec.Limits{MaxBytes: len(sorted) - 1})
		require.ErrorIs(t, err, codec.ErrTooLarge)
		require.Equal(t, "x", string(p))
	}
	_, err := codec.AppendUnordered(nil, map[string]any{"a": map[string]any{"b": math.NaN()}}, nil)
	require.ErrorIs(t, err, codec.ErrNotFinite)
	require.ErrorContains(t, err, ".a.b")
}

func TestEncodingsMatchTheirPage(t *testing.T) {
	var out strings.Builder
	for _, v := range edges() {
		p, err := codec.Append(nil, v, nil)
		require.NoError(t, err)
		if len(p) > 40 {
			continue
		}
		text := fmt.Sprint(v)
		if s, ok := v.(string); ok {
			text = fmt.Sprintf("%+q", s)
		}
		fmt.Fprintf(&out, "%-8s %-40s % x\n", codec.KindOf(v), text, p)
	}
	golden.Assert(t, "testdata/values.txt", []byte(out.String()))
}

// Errors name the rule and the place (V5).
func TestWhatIsNoValueIsRefusedWithItsPlace(t *testing.T) {
	cycle := []any{nil}
	cycle[0] = cycle
	double := map[string]any{}
	double["a"], double["b"] = double, double
	at := func(v any) any { return map[string]any{"turns": []any{int64(1), map[string]any{"te xt": v}}} }
	for name, c := range map[string]struct {
		value any
		want  error
		path  string
	}{
		"NaN":          {at(math.NaN()), codec.ErrNotFinite, `.turns[1]["te xt"]`},
		"infinity":     {at(math.Inf(-1)), codec.ErrNotFinite, `.turns[1]["te xt"]`},
		"string":       {at("a\xff"), codec.ErrNotUTF8, `.turns[1]["te xt"]`},
		"key":          {at(map[string]any{"\xff": nil}), codec.ErrNotUTF8, `.turns[1]["te xt"]["\xff"]`},
		"early":        {at(codec.MinTime.Add(-1)), codec.ErrTimeRange, `.turns[1]["te xt"]`},
		"late":         {at(codec.MaxTime.Add(1)), codec.ErrTimeRange, `.turns[1]["te xt"]`},
		"channel":      {at(make(chan int)), codec.ErrType, `.turns[1]["te xt"]`},
		"function":     {at(func() {}), codec.ErrType, `.turns[1]["te xt"]`},
		"complex":      {at(1i), codec.ErrType, `.turns[1]["te xt"]`},
		"integer keys": {at(map[int]int{}), codec.ErrType, `.turns[1]["te xt"]`},
		"top":          {math.NaN(), codec.ErrNotFinite, ""},
		"cycle":        {cycle, codec.ErrTooDeep, strings.Repeat("[0]", 33) + "["},
		"cycles":       {double, codec.ErrTooDeep, ".a.a.a"},
	} {
		dst := []byte("kept")
		got, err := codec.Append(dst, c.value, nil)
		require.Equal(t, "kept", string(got), name)
		require.ErrorIs(t, err, c.want, name)
		var ve *codec.ValueError
		require.ErrorAs(t, err, &ve, name)
		if c.want == codec.ErrTooDeep {
			require.True(t, strings.HasPrefix(ve.Path, c.path), "%s: %s", name, ve.Path)
			require.LessOrEqual(t, len(ve.Path), 500)
		} else {
			require.Equal(t, c.path, ve.Path, name)
		}
		require.Contains(t, err.Error(), ve.Path)
	}
}

func TestPathsOfErrorsAreBounded(t *testing.T) {
	var v any = math.NaN()
	for i := range 100 {
		v = map[string]any{strings.Repeat("é", 30+i): v}
	}
	_, err := codec.Append(nil, map[string]any{"first": v}, nil)
	require.ErrorIs(t, err, codec.ErrNotFinite)
	require.Less(t, len(err.Error()), 500)
	require.True(t, utf8.ValidString(err.Error()))
	require.Contains(t, err.Error(), ".first")
}

// B16: the limits on both sides, exactly.
func TestLimitsHoldForWritingAndReading(t *testing.T) {
	for name, c := range map[string]struct {
		value any
		fits  codec.Limits
		less  codec.Limits
		want  error
	}{
		"bytes":  {"12345", codec.Limits{MaxBytes: 6}, codec.Limits{MaxBytes: 5}, codec.ErrTooLarge},
		"list":   {[]any{nil, nil}, codec.Limits{MaxBytes: 3}, codec.Limits{MaxBytes: 2}, codec.ErrTooLarge},
		"depth":  {nested(3), codec.Limits{MaxDepth: 3}, codec.Limits{MaxDepth: 2}, codec.ErrTooDeep},
		"maps":   {map[string]any{"a": map[string]any{}}, codec.Limits{MaxDepth: 2}, codec.Limits{MaxDepth: 1}, codec.ErrTooDeep},
		"nodes":  {map[string]any{"a": []any{nil}}, codec.Limits{MaxNodes: 4}, codec.Limits{MaxNodes: 3}, codec.ErrTooLarge},
		"struct": {struct{ A []int }{[]int{1}}, codec.Limits{MaxNodes: 4}, codec.Limits{MaxNodes: 3}, codec.ErrTooLarge},
		"custom": {[]any{Raw{0x92, 1, 1}, nil}, codec.Limits{MaxNodes: 5}, codec.Limits{MaxNodes: 4}, codec.ErrTooLarge},
		"typed":  {[][]int{{1}}, codec.Limits{MaxDepth: 2}, codec.Limits{MaxDepth: 1}, codec.ErrTooDeep},
	} {
		p, err := codec.Append(nil, c.value, &c.fits)
		require.NoError(t, err, name)
		require.NoError(t, codec.Validate(p, &c.fits), name)
		_, err = codec.Append(nil, c.value, &c.less)
		require.ErrorIs(t, err, c.want, name)
		require.ErrorIs(t, codec.Validate(p, &c.less), c.want, name)
	}
	p, err := codec.Append(nil, nested(codec.DefaultMaxDepth), nil)
	require.NoError(t, err)
	require.NoError(t, codec.Validate(p, nil))
	_, err = codec.Append(nil, nested(codec.DefaultMaxDepth+1), nil)
	require.ErrorIs(t, err, codec.ErrTooDeep)
	_, err = codec.Append(nil, strings.Repeat("x", codec.DefaultMaxBytes), nil)
	require.ErrorIs(t, err, codec.ErrTooLarge)
	_, err = codec.Append(nil, make([]any, codec.DefaultMaxNodes), nil)
	require.ErrorIs(t, err, codec.ErrTooLarge)
}

func TestLimitsOutOfRangeAreAllReported(t *testing.T) {
	require.NoError(t, (*codec.Limits)(nil).Validate())
	require.NoError(t, (&codec.Limits{}).Validate())
	err := (&codec.Limits{MaxBytes: -1, MaxDepth: 10_001, MaxNodes: -5}).Validate()
	require.ErrorIs(t, err, codec.ErrLimits)
	for _, name := range []string{"MaxBytes", "MaxDepth", "MaxNodes"} {
		require.ErrorContains(t, err, name)
	}
}

func TestWritingAValueAllocatesNothing(t *testing.T) {
	v := turn()
	buf, err := codec.Append(nil, v, nil)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		buf, err = codec.Append(buf[:0], v, nil)
	}))
	require.NoError(t, err)
}

// B7. Each rule is named, and what breaks none is accepted.
func TestKeysAreRefusedByRule(t *testing.T) {
	for key, rule := range map[string]string{
		"": "1 to 256", strings.Repeat("k", 257): "1 to 256", "../etc/passwd": "..", "a/..": "..", "a/../b": "..", "..": "..",
		`a\b`: `\`, "a//b": "//", "//": "//", "a\nb": "LF", "a\rb": "CR", "a\x00b": "NUL", "__x": "__", "__": "__",
		"a\xffb": "UTF-8",
	} {
		err := codec.CheckKey(key)
		require.ErrorIs(t, err, codec.ErrKey, "%q", key)
		var ke *codec.KeyError
		require.ErrorAs(t, err, &ke)
		require.Contains(t, ke.Rule, rule, "%q", key)
		require.Contains(t, err.Error(), rule)
	}
	for _, key := range []string{
		"a-b", "a.b", "a:b", "v1..2", "...", "a/...", "_x", "a__b", "/a", "a/", "/", strings.Repeat("k", 256),
		strings.Repeat("é", 128), "..a/b", "a/b..", "\x01", "\u2028",
	} {
		require.NoError(t, codec.CheckKey(key), "%q", key)
	}
	require.Zero(t, testing.AllocsPerRun(10, func() { _ = codec.CheckKey("agents/a1/..") }))
}
