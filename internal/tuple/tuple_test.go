package tuple_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/tuple"
	"github.com/stretchr/testify/require"
)

// adversarial holds values of every kind around every edge of the encoding.
func adversarial() []any {
	vs := []any{nil, false, true,
		math.Copysign(math.NaN(), -1), math.NaN(), math.Inf(-1), math.Inf(1), 0.0, math.Copysign(0, -1),
		1.0, -1.0, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64,
		time.Unix(0, 0), time.Unix(0, 1), time.Unix(-1, 999_999_999), time.Unix(1<<33, 0),
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	for shift := 0; shift < 64; shift++ {
		u := uint64(1) << shift
		vs = append(vs, u-1, u, int64(u), int64(u-1), -int64(u), ^int64(u))
	}
	vs = append(vs, uint64(math.MaxUint64))
	for _, s := range []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00\x01",
		"a\x00\xff", "a\x01", "aa", "b", "\xff", "\xff\xff", "\xff\x00"} {
		vs = append(vs, s, []byte(s), []any{s}, []any{s, nil}, []any{[]byte(s)})
	}
	return append(vs, []any{}, []any{nil}, []any{nil, nil}, []any{[]any{}}, []any{[]any{}, nil},
		[]any{int64(-1), "x"}, []any{int64(0), "x"}, []any{[]any{[]any{true}}})
}

// I1 and I2, for all pairs, against an order that does not look at bytes.
func TestPairsSortAsTheirValuesAndNoneIsAPrefix(t *testing.T) {
	vs := adversarial()
	encoded := make([][]byte, len(vs))
	for i, v := range vs {
		encoded[i] = appendAny(nil, v)
	}
	for i, a := range vs {
		for j, b := range vs {
			want := compareAny(a, b)
			require.Equal(t, want, bytes.Compare(encoded[i], encoded[j]), "%#v, %#v", a, b)
			if want != 0 {
				require.False(t, bytes.HasPrefix(encoded[j], encoded[i]), "%#v, %#v", a, b)
			}
		}
	}
}

func TestValuesSurviveWhateverFollowsThem(t *testing.T) {
	for _, v := range adversarial() {
		enc := appendAny([]byte{}, v)
		for _, suffix := range []string{"", "\x00", "\x01", "\xff\xff", "\x50"} {
			got, n, err := tuple.Decode(append(bytes.Clone(enc), suffix...))
			require.NoError(t, err, "%#v", v)
			require.Equal(t, len(enc), n, "%#v", v)
			require.Zero(t, compareAny(v, toAny(t, got)), "%#v became %#v", v, toAny(t, got))
		}
	}
}

func TestEveryCutOfAValueIsTruncated(t *testing.T) {
	for _, v := range adversarial() {
		enc := appendAny(nil, v)
		for cut := range len(enc) {
			_, n, err := tuple.Decode(enc[:cut])
			require.ErrorIs(t, err, tuple.ErrTruncated, "%#v cut at %d", v, cut)
			require.Zero(t, n)
		}
	}
}

func TestMalformedBytesAreRefused(t *testing.T) {
	for name, p := range map[string][]byte{
		"an end without a tuple":    {0x00},
		"a tag nobody has":          {0x51},
		"the byte above everything": {0xff},
		"a padded integer":          {0x1a, 0, 5},
		"a zero of one byte":        {0x19, 0},
		"a padded negative integer": {0x16, 0xff, 0xff},
		"an integer above int64":    {0x20, 0x80, 0, 0, 0, 0, 0, 0, 0},
		"an integer below int64":    {0x10, 0x7f, 255, 255, 255, 255, 255, 255, 255},
		"a padded unsigned integer": {0x23, 0, 1},
		"a second of 1e9 ns":        {0x38, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x3b, 0x9a, 0xca, 0x00},
		"a string's unknown escape": {0x40, 'a', 0x00, 0x02},
		"a malformed inner value":   {0x50, 0x01, 0x51, 0x00},
	} {
		_, n, err := tuple.Decode(p)
		require.ErrorIs(t, err, tuple.ErrMalformed, name)
		require.Zero(t, n, name)
	}
}

func TestNestingIsBounded(t *testing.T) {
	nested := func(depth int) []byte {
		var p []byte
		for range depth {
			p = tuple.BeginTuple(p)
		}
		for range depth {
			p = tuple.EndTuple(p)
		}
		return p
	}
	_, n, err := tuple.Decode(nested(tuple.MaxDepth))
	require.NoError(t, err)
	require.Equal(t, 2*tuple.MaxDepth, n)
	_, _, err = tuple.Decode(nested(tuple.MaxDepth + 1))
	require.ErrorIs(t, err, tuple.ErrTooDeep)
	_, _, err = tuple.Decode(bytes.Repeat([]byte{0x50}, 1<<20)) // costs no stack
	require.ErrorIs(t, err, tuple.ErrTooDeep)
}

// I4: a prefix and its end enclose what begins with the prefix and nothing else.
func TestPrefixEndEnclosesAPrefix(t *testing.T) {
	lower := tuple.AppendString(nil, "user")
	upper := tuple.AppendPrefixEnd(bytes.Clone(lower))
	for _, v := range adversarial() {
		inside := appendAny(bytes.Clone(lower), v)
		require.Positive(t, bytes.Compare(inside, lower))
		require.Negative(t, bytes.Compare(inside, upper))
	}
	require.Positive(t, bytes.Compare(tuple.AppendString(nil, "user\x00"), upper))
	require.Negative(t, bytes.Compare(tuple.AppendString(nil, "use"), lower))
}

func TestTextIsAString(t *testing.T) {
	for _, v := range adversarial() {
		if s, ok := v.(string); ok {
			require.Equal(t, tuple.AppendString([]byte("x"), s), tuple.AppendText([]byte("x"), []byte(s)))
		}
	}
}

func TestAccessorsOfOtherKindsReturnZero(t *testing.T) {
	for _, v := range []any{nil, true, int64(7), uint64(7), 7.0, time.Unix(7, 7), "7", []byte("7"), []any{"7"}} {
		got, _, err := tuple.Decode(appendAny(nil, v))
		require.NoError(t, err)
		is := func(kinds ...tuple.Kind) bool { return bytes.IndexByte(kindBytes(kinds), byte(got.Kind())) >= 0 }
		require.Equal(t, is(tuple.KindBool), got.Bool())
		require.Equal(t, is(tuple.KindInt64), got.Int64() != 0)
		require.Equal(t, is(tuple.KindUint64), got.Uint64() != 0)
		require.Equal(t, is(tuple.KindFloat64), got.Float64() != 0)
		require.Equal(t, is(tuple.KindTime), !got.Time().IsZero())
		require.Equal(t, is(tuple.KindString, tuple.KindBytes), len(got.AppendContent(nil)) != 0)
		require.Equal(t, is(tuple.KindTuple), len(got.Tuple()) != 0)
	}
}

func TestEncodingMatchesItsPage(t *testing.T) {
	var out strings.Builder
	for _, v := range []any{nil, false, true, int64(math.MinInt64), int64(-257), int64(-256), int64(-1), int64(0),
		int64(1), int64(255), int64(256), int64(math.MaxInt64), uint64(0), uint64(255), uint64(256),
		uint64(math.MaxUint64), math.Inf(-1), -1.5, math.Copysign(0, -1), 0.0, 1.5, math.Inf(1),
		time.Unix(-1, 5).UTC(), time.Unix(1_700_000_000, 5).UTC(), "", "ab", "a\x00b", []byte{}, []byte{0, 255},
		[]any{}, []any{"a", int64(1)}, []any{[]any{nil}}} {
		value, _, err := tuple.Decode(appendAny(nil, v))
		require.NoError(t, err)
		fmt.Fprintf(&out, "%-7s %-28q % x\n", value.Kind(), fmt.Sprint(v), appendAny(nil, v))
	}
	golden.Assert(t, "testdata/values.txt", []byte(out.String()))
	require.Equal(t, "kind(200)", tuple.Kind(200).String())
}

func kindBytes(kinds []tuple.Kind) []byte {
	var out []byte
	for _, k := range kinds {
		out = append(out, byte(k))
	}
	return out
}
