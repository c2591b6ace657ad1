package report

import (
	"math"
	"strconv"
	"time"
)

// px is a length or place in a drawing. It is written to a tenth, which the eye cannot
// see, so that the same figures make the same page.
type px float64

// String writes the number without a unit.
func (p px) String() string {
	return strconv.FormatFloat(math.Round(float64(p)*10)/10+0, 'f', -1, 64)
}

// point is a place in a drawing.
type point struct{ X, Y px }

// scale maps the values of an axis to places.
type scale struct {
	lo, hi   float64
	from, to px
	log      bool
}

// at returns the place of a value; values beyond an end are put there.
func (s scale) at(v float64) px {
	lo, hi := s.lo, s.hi
	if s.log {
		v, lo, hi = math.Log(max(v, math.SmallestNonzeroFloat64)), math.Log(lo), math.Log(hi)
	}
	if hi <= lo {
		return s.from
	}
	share := min(max((v-lo)/(hi-lo), 0), 1)
	return s.from + px(share)*(s.to-s.from)
}

// tick is a mark of an axis.
type tick struct {
	At    px
	Label string
}

// ticks puts labels at the places of values.
func (s scale) ticks(values []float64, label func(float64) string) []tick {
	out := make([]tick, len(values))
	for i, v := range values {
		out[i] = tick{s.at(v), label(v)}
	}
	return out
}

// linearTicks returns round values from 0 to the first that is not below top, about n of
// them.
func linearTicks(top float64, n int) []float64 {
	if top <= 0 {
		return []float64{0, 1}
	}
	step := roundUp(top / float64(n))
	values := []float64{0}
	for i := 1; values[i-1] < top; i++ {
		values = append(values, float64(i)*step)
	}
	return values
}

// manyDecades is the quotient of an axis' ends from which only powers of ten are marked.
const manyDecades = 60

// logAxis returns the ends of a logarithmic axis that shows lo to hi, both of the form 1,
// 2 or 5 times a power of ten, and the values to mark between them: of this form too, or
// powers of ten alone where those are enough.
func logAxis(lo, hi float64) (from, to float64, marks []float64) {
	factors := []float64{1, 2, 5}
	var round []float64
	for e := int(math.Floor(math.Log10(lo))); len(round) == 0 || round[len(round)-1] < hi || len(round) < 2; e++ {
		for _, f := range factors {
			v := f * math.Pow10(e)
			if len(round) > 0 && v <= lo {
				round = round[:0]
			}
			if n := len(round); n < 2 || round[n-1] < hi {
				round = append(round, v)
			}
		}
	}
	from, to = round[0], round[len(round)-1]
	for _, v := range round {
		if to/from < manyDecades || isPowerOfTen(v) {
			marks = append(marks, v)
		}
	}
	return from, to, marks
}

func isPowerOfTen(v float64) bool {
	e := math.Log10(v)
	return math.Abs(e-math.Round(e)) < 1e-9
}

// roundUp returns the least of 1, 2, 2.5 and 5 times a power of ten that is not below v.
func roundUp(v float64) float64 {
	e := math.Pow10(int(math.Floor(math.Log10(v))))
	for _, f := range []float64{1, 2, 2.5, 5} {
		if f*e >= v {
			return f * e
		}
	}
	return 10 * e
}

// rateTick writes a round rate: 0, 500, 200k, 1.5M.
func rateTick(v float64) string {
	switch {
	case v >= 1e6:
		return short(v/1e6) + "M"
	case v >= 1e3:
		return short(v/1e3) + "k"
	}
	return short(v)
}

// durationTick writes a round length of time given in nanoseconds: 500 ns, 10 µs.
func durationTick(ns float64) string {
	switch {
	case ns >= float64(time.Second):
		return short(ns/1e9) + " s"
	case ns >= float64(time.Millisecond):
		return short(ns/1e6) + " ms"
	case ns >= float64(time.Microsecond):
		return short(ns/1e3) + " µs"
	}
	return short(ns) + " ns"
}

func secondsTick(s float64) string { return short(s) + " s" }

func short(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
