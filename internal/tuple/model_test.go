package tuple_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/tuple"
	"github.com/stretchr/testify/require"
)

// appendAny appends a value by its Go type; []any is a nested tuple.
func appendAny(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return tuple.AppendNil(dst)
	case bool:
		return tuple.AppendBool(dst, v)
	case int64:
		return tuple.AppendInt64(dst, v)
	case uint64:
		return tuple.AppendUint64(dst, v)
	case float64:
		return tuple.AppendFloat64(dst, v)
	case time.Time:
		return tuple.AppendTime(dst, v)
	case string:
		return tuple.AppendString(dst, v)
	case []byte:
		return tuple.AppendBytes(dst, v)
	case []any:
		dst = tuple.BeginTuple(dst)
		for _, e := range v {
			dst = appendAny(dst, e)
		}
		return tuple.EndTuple(dst)
	}
	panic(fmt.Sprintf("no tuple value: %T", v))
}

// toAny is the inverse of appendAny.
func toAny(t testing.TB, v tuple.Value) any {
	switch v.Kind() {
	case tuple.KindBool:
		return v.Bool()
	case tuple.KindInt64:
		return v.Int64()
	case tuple.KindUint64:
		return v.Uint64()
	case tuple.KindFloat64:
		return v.Float64()
	case tuple.KindTime:
		return v.Time()
	case tuple.KindString:
		return string(v.AppendContent(nil))
	case tuple.KindBytes:
		return v.AppendContent([]byte{})
	case tuple.KindTuple:
		out := []any{}
		for p := v.Tuple(); len(p) > 0; {
			e, n, err := tuple.Decode(p)
			require.NoError(t, err)
			out = append(out, toAny(t, e))
			p = p[n:]
		}
		return out
	}
	return nil
}

func rank(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case bool:
		return 1
	case int64:
		return 2
	case uint64:
		return 3
	case float64:
		return 4
	case time.Time:
		return 5
	case string:
		return 6
	case []byte:
		return 7
	}
	return 8
}

// compareAny is the order of invariant I1, by values alone.
func compareAny(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case bool:
		return cmp.Compare(map[bool]int{true: 1}[a], map[bool]int{true: 1}[b.(bool)])
	case int64:
		return cmp.Compare(a, b.(int64))
	case uint64:
		return cmp.Compare(a, b.(uint64))
	case float64:
		return compareFloats(a, b.(float64))
	case time.Time:
		return a.Compare(b.(time.Time))
	case string:
		return cmp.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case []any:
		other := b.([]any)
		for i := range min(len(a), len(other)) {
			if c := compareAny(a[i], other[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(a), len(other))
	}
	return 0
}

// compareFloats is IEEE 754's total order: by sign, then magnitude, NaNs outermost.
func compareFloats(a, b float64) int {
	if c := cmp.Compare(map[bool]int{false: 1}[math.Signbit(a)], map[bool]int{false: 1}[math.Signbit(b)]); c != 0 {
		return c
	}
	c := cmp.Compare(math.Float64bits(a)&^(1<<63), math.Float64bits(b)&^(1<<63))
	if math.Signbit(a) {
		return -c
	}
	return c
}

// source turns fuzz input into values.
type source struct{ rest []byte }

func (s *source) byte() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

// number favours short and extreme numbers: a length, then that many bytes, or their
// complement.
func (s *source) number() uint64 {
	head := s.byte()
	var u uint64
	for range head & 15 % 9 {
		u = u<<8 | uint64(s.byte())
	}
	if head&16 != 0 {
		u = ^u
	}
	return u
}

func (s *source) text() string {
	n := min(int(s.byte()&15), len(s.rest))
	text := string(s.rest[:n])
	s.rest = s.rest[n:]
	return text
}

func (s *source) value(depth int) any {
	switch kind := s.byte() % 10; kind {
	case 1, 2:
		return kind == 1
	case 3:
		return int64(s.number())
	case 4:
		return s.number()
	case 5:
		return math.Float64frombits(s.number())
	case 6:
		// Within ±2^60 seconds time.Time does not wrap.
		return time.Unix(int64(s.number())>>3, int64(s.number()%1_000_000_000))
	case 7:
		return s.text()
	case 8:
		return []byte(s.text())
	case 9:
		out := []any{}
		for n := s.byte() & 3; n > 0 && depth < tuple.MaxDepth; n-- {
			out = append(out, s.value(depth+1))
		}
		return out
	}
	return nil
}
