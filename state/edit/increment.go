package edit

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/loamdb/loam/state/codec"
)

// Increment returns value + delta, of the type of value:
//
//   - an int64 or uint64 takes an int64, int or uint64, so that a uint64 can be made less; a result
//     out of its range is codec.ErrOverflow;
//   - a float64 takes a float64, or an integer of at most 2^53 either way; a sum that is infinite is
//     codec.ErrOverflow;
//   - nil, or no value, becomes delta.
//
// A float64 is not added to an integer, and nothing to what is no number: codec.ErrType.
func Increment(value, delta any) (any, error) {
	if n, ok := delta.(int); ok {
		delta = int64(n)
	}
	switch d := delta.(type) {
	case int64, uint64:
	case float64:
		if math.IsNaN(d) || math.IsInf(d, 0) {
			return nil, &codec.ValueError{Err: codec.ErrNotFinite, Detail: "an increment"}
		}
	default:
		return nil, &codec.ValueError{Err: codec.ErrType, Detail: fmt.Sprintf("an increment by %T", delta)}
	}
	var sum any
	ok := false
	switch v := value.(type) {
	case nil:
		return delta, nil
	case int64:
		switch d := delta.(type) {
		case int64:
			sum, ok = addInt(v, d)
		case uint64:
			sum, ok = addUint(v, d)
		default:
			return nil, mismatch(value, delta)
		}
	case uint64:
		switch d := delta.(type) {
		case int64:
			sum, ok = addSigned(v, d)
		case uint64:
			n, carry := bits.Add64(v, d, 0)
			sum, ok = n, carry == 0
		default:
			return nil, mismatch(value, delta)
		}
	case float64:
		d, exact := float(delta)
		f := v + d
		sum, ok = f, exact && !math.IsInf(f, 0) && !math.IsNaN(f)
	default:
		return nil, mismatch(value, delta)
	}
	if !ok {
		return nil, &codec.ValueError{Err: codec.ErrOverflow, Detail: fmt.Sprintf("%v incremented by %v", codec.KindOf(value), codec.KindOf(delta))}
	}
	return sum, nil
}

func mismatch(value, delta any) error {
	return &codec.ValueError{Err: codec.ErrType, Detail: fmt.Sprintf("%v incremented by %v", codec.KindOf(value), codec.KindOf(delta))}
}

func addInt(v, d int64) (int64, bool) {
	n := v + d
	return n, (n > v) == (d > 0)
}

// addUint adds what may not fit an int64 to one: the sum may.
func addUint(v int64, d uint64) (int64, bool) {
	return v + int64(d), d <= uint64(math.MaxInt64)-uint64(v)
}

func addSigned(v uint64, d int64) (uint64, bool) {
	n := v + uint64(d)
	if d < 0 {
		return n, n < v
	}
	return n, n >= v
}

// float returns d as a float, and whether it is exactly that.
func float(d any) (float64, bool) {
	const exact = 1 << 53
	switch d := d.(type) {
	case int64:
		return float64(d), d >= -exact && d <= exact
	case uint64:
		return float64(d), d <= exact
	case float64:
		return d, true
	}
	return 0, false
}
