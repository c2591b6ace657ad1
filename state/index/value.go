package index

import (
	"errors"
	"math"

	"github.com/loamdb/loam/internal/tuple"
	"github.com/loamdb/loam/state/codec"
)

// Why a value has no place in an index.
var (
	errMap  = errors.New("a map has no order")
	errDeep = errors.New("lists lie too deep within each other")
)

// appendValue appends the form of a value that sorts as values do: nil, false, true, numbers by
// amount, times, strings, bytes, lists. What is not there is nil.
//
// A number is two tuple values, so that integers and floats stand in one order: the nearest
// float64, and what the number is above or below that, which is 0 for every float and for
// integers up to 2^53.
func appendValue(dst []byte, n codec.Node, depth int) ([]byte, error) {
	switch n.Kind() {
	case codec.Bool:
		return tuple.AppendBool(dst, n.Bool()), nil
	case codec.Int64:
		f := float64(n.Int64())
		return appendNumber(dst, f, uint64(n.Int64())-wrapped(f)), nil
	case codec.Uint64:
		f := float64(n.Uint64())
		return appendNumber(dst, f, n.Uint64()-wrapped(f)), nil
	case codec.Float64:
		return appendNumber(dst, n.Float64(), 0), nil
	case codec.Time:
		return tuple.AppendTime(dst, n.Time()), nil
	case codec.String:
		return tuple.AppendText(dst, n.Raw()), nil
	case codec.Bytes:
		return tuple.AppendBytes(dst, n.Raw()), nil
	case codec.List:
		return appendList(dst, n, depth)
	case codec.Map:
		return dst, errMap
	}
	return tuple.AppendNil(dst), nil
}

func appendList(dst []byte, n codec.Node, depth int) ([]byte, error) {
	if depth == tuple.MaxDepth {
		return dst, errDeep
	}
	dst = tuple.BeginTuple(dst)
	for e := range n.Elements() {
		var err error
		if dst, err = appendValue(dst, e, depth+1); err != nil {
			return dst, err
		}
		if len(dst) > 2*MaxValuesLen {
			break // too long already; whoever compares the length says so
		}
	}
	return tuple.EndTuple(dst), nil
}

// appendNumber appends the number f + above, above in two's complement.
func appendNumber(dst []byte, f float64, above uint64) []byte {
	if f == 0 {
		f = 0 // and not -0
	}
	return tuple.AppendInt64(tuple.AppendFloat64(dst, f), int64(above))
}

// wrapped returns the integer f, from -2^63 to 2^64, modulo 2^64.
func wrapped(f float64) uint64 {
	switch {
	case f >= 1<<64:
		return 0
	case f >= 1<<63:
		return uint64(f)
	}
	return uint64(int64(f))
}

// appendAny appends the form of a Go value, by way of its encoding, which is made in scratch.
func appendAny(dst, scratch []byte, v any) (out, grown []byte, err error) {
	p, err := codec.Append(scratch[:0], v, nil)
	if err != nil {
		return dst, p, err
	}
	out, err = appendValue(dst, codec.NodeOf(p), 0)
	return out, p, err
}

// valueLen returns how long the value at the front of p is.
func valueLen(p []byte) (int, error) {
	v, n, err := tuple.Decode(p)
	if err != nil {
		return 0, ErrMalformed
	}
	switch v.Kind() {
	case tuple.KindInt64, tuple.KindUint64:
		return 0, ErrMalformed // these stand behind a float only
	case tuple.KindFloat64:
		above, m, err := tuple.Decode(p[n:])
		if err != nil || above.Kind() != tuple.KindInt64 || math.IsNaN(v.Float64()) {
			return 0, ErrMalformed
		}
		n += m
	}
	return n, nil
}

// bracket returns the bounds of all values that compare with the one whose form p is: those of
// its kind, and of one kind are all numbers.
func bracket(p []byte) (lower, upper []byte) {
	if p[0] == tuple.AppendBool(nil, true)[0] || p[0] == tuple.AppendBool(nil, false)[0] {
		return tuple.AppendBool(nil, false), tuple.AppendPrefixEnd(tuple.AppendBool(nil, true))
	}
	return []byte{p[0]}, []byte{p[0] + 1}
}

// successor returns the smallest string above all that begin with p, or nil if there is none. It
// changes p.
func successor(p []byte) []byte {
	for len(p) > 0 && p[len(p)-1] == 0xFF {
		p = p[:len(p)-1]
	}
	if len(p) == 0 {
		return nil
	}
	p[len(p)-1]++
	return p
}
