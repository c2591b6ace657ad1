package codec_test

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/loamdb/loam/state/codec"
)

// source makes values of the bytes that a fuzzer chooses.
type source struct{ p []byte }

func (s *source) byte() byte {
	if len(s.p) == 0 {
		return 0
	}
	c := s.p[0]
	s.p = s.p[1:]
	return c
}

func (s *source) word() uint64 {
	n := uint64(0)
	for range s.byte() % 9 {
		n = n<<8 | uint64(s.byte())
	}
	return n
}

func (s *source) text() string {
	n := min(int(s.byte()), len(s.p))
	text := strings.ToValidUTF8(string(s.p[:n]), "é")
	s.p = s.p[n:]
	return text
}

// value returns a value that Append takes under the default limits.
func (s *source) value(depth int) any {
	switch c := s.byte(); c % 12 {
	case 0:
		return nil
	case 1:
		return c&0x80 == 0
	case 2:
		return int64(s.word())
	case 3:
		return -int64(s.word())
	case 4:
		return s.word()
	case 5:
		if f := math.Float64frombits(s.word()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return math.Copysign(0, -1)
	case 6, 7:
		return s.text()
	case 8:
		return []byte(s.text())
	case 9:
		span := codec.MaxTime.Unix() - codec.MinTime.Unix() + 1
		return time.Unix(codec.MinTime.Unix()+int64(s.word()%uint64(span)), int64(s.word()%1e9)).UTC()
	case 10:
		list := []any{}
		for range s.byte() % 20 {
			if depth == 0 || len(s.p) == 0 {
				break
			}
			list = append(list, s.value(depth-1))
		}
		return list
	default:
		m := map[string]any{}
		for range s.byte() % 20 {
			if depth == 0 || len(s.p) == 0 {
				break
			}
			m[s.text()] = s.value(depth - 1)
		}
		return m
	}
}

// edges are values around every change of form.
func edges() []any {
	out := []any{
		nil, false, true, "", "a", strings.Repeat("x", 31), strings.Repeat("x", 32), strings.Repeat("é", 128),
		"\x00\u2028\U0010ffff",
		[]byte{}, []byte{0}, make([]byte, 255), make([]byte, 256),
		0.0, math.Copysign(0, -1), 1.0, -1.5, math.MaxFloat64, math.SmallestNonzeroFloat64,
		codec.MinTime, codec.MaxTime, time.Unix(0, 0).UTC(), time.Unix(0, 1).UTC(), time.Unix(-1, 999999999).UTC(),
		time.Unix(1<<32-1, 0).UTC(), time.Unix(1<<32, 0).UTC(), time.Unix(1<<34-1, 5).UTC(), time.Unix(1<<34, 5).UTC(),
		[]any{}, make([]any, 15), make([]any, 16),
		map[string]any{}, wide(15), wide(16), wide(33),
		map[string]any{"b": []any{int64(1), uint64(1), 1.0, "1", []byte("1")}, "a": map[string]any{"": nil}, "B": false},
	}
	for _, shift := range []int{0, 5, 7, 8, 15, 16, 31, 32, 62} {
		n := int64(1) << shift
		out = append(out, n-1, n, n+1, -n-1, -n, -n+1, uint64(n-1), uint64(n), uint64(n+1))
	}
	return append(out, int64(math.MaxInt64), int64(math.MinInt64), uint64(math.MaxUint64), uint64(1)<<63)
}

// large are values around the change to lengths of 4 bytes.
func large() []any {
	return []any{
		strings.Repeat("x", 65535), strings.Repeat("x", 65536), make([]byte, 65535), make([]byte, 65536), make([]any, 65535),
		make([]any, 65536), wide(65535), wide(65536),
	}
}

// wide returns a map of n keys.
func wide(n int) map[string]any {
	m := make(map[string]any, n)
	for i := range n {
		m[strconv.Itoa(i)] = nil
	}
	return m
}

// nested returns a list in a list, depth times.
func nested(depth int) any {
	var v any = []any{}
	for range depth - 1 {
		v = []any{v}
	}
	return v
}
