package dist

import (
	"bytes"
	"compress/flate"
	"math"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func newValuesOf(t testing.TB, size string, fraction float64) *Values {
	t.Helper()
	v, err := NewValues(parseSizeOf(t, size), fraction, 1)
	require.NoError(t, err)
	return v
}

// count returns how many values the pool has.
func (v *Values) count() int { return len(v.bounds) - 1 }

// packed returns to what fraction flate brings data.
func packed(t *testing.T, data []byte) float64 {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return float64(out.Len()) / float64(len(data))
}

func TestValuesCompressToTheirFraction(t *testing.T) {
	const enough = 256 << 10
	for _, size := range []string{"100", "1000", "100000", "uniform:50-150", "lognormal:400,0.8"} {
		for _, fraction := range []float64{0.1, 0.25, 0.5, 0.75, 1} {
			v := newValuesOf(t, size, fraction)
			var data []byte
			for len(data) < enough {
				data = append(data, v.Take()...)
			}
			require.InDelta(t, fraction, packed(t, data), 0.035, "size %s, fraction %v", size, fraction)
			// In another order too: stores sort values by key.
			order, i := NewPermutation(uint64(v.count()), 1), uint64(0)
			data = data[:0]
			for len(data) < enough {
				k := order.At(i)
				data = append(data, v.pool[v.bounds[k]:v.bounds[k+1]]...)
				i++
			}
			require.InDelta(t, fraction, packed(t, data), 0.035, "size %s, fraction %v, shuffled", size, fraction)
		}
	}
}

// Compressed one by one, a value has its fraction too, and what flate takes for a
// stream.
func TestEachValueCompressesByItself(t *testing.T) {
	v := newValuesOf(t, "1000", 0.5)
	for range 100 {
		require.InDelta(t, 0.5, packed(t, v.Take()), 0.05)
	}
}

// What a compressor sees at once must not hold a value twice.
func TestValuesDoNotRepeatSoon(t *testing.T) {
	for _, size := range []string{"100", "1000", "uniform:20-200"} {
		v, seen, taken := newValuesOf(t, size, 0.5), map[string]bool{}, 0
		for range v.count() {
			value := v.Take()
			if seen[string(value)] {
				require.FailNow(t, "a value comes twice", "size %s", size)
			}
			seen[string(value)] = true
			taken += len(value)
		}
		require.GreaterOrEqual(t, taken, 4<<20)
		require.True(t, seen[string(v.Take())], "then they begin again")
	}
}

func TestValuesHaveTheLengthsOfTheirSize(t *testing.T) {
	v := newValuesOf(t, "1000", 0.5) // a YCSB record
	for range 2 * v.count() {
		require.Len(t, v.Take(), 1000)
	}
	for _, size := range everySize(t) {
		v, err := NewValues(size, 0.5, 1)
		require.NoError(t, err)
		drawn := make([]int, v.count())
		for i := range drawn {
			drawn[i] = len(v.Take())
		}
		require.InDelta(t, size.Mean(), meanOf(drawn), size.Mean()/500, size)
		require.GreaterOrEqual(t, slices.Min(drawn), size.Min())
		require.LessOrEqual(t, slices.Max(drawn), size.Max())
		squares, want := 0.0, 0.0
		rng := newRand(41)
		for _, n := range drawn {
			d := size.Draw(rng)
			squares += float64(n) * float64(n)
			want += float64(d) * float64(d)
		}
		require.InDelta(t, math.Sqrt(want), math.Sqrt(squares), math.Sqrt(want)/10, size)
	}
}

// Few values of a wide distribution still have its mean, and come in no order.
func TestFewValuesRepresentTheirSize(t *testing.T) {
	v := newValuesOf(t, "uniform:0-2000000", 1)
	require.Less(t, v.count(), 20)
	sum, rising := 0, 0
	last := -1
	for range v.count() {
		n := len(v.Take())
		sum += n
		if n > last {
			rising++
		}
		last = n
	}
	require.InEpsilon(t, 1_000_000, float64(sum)/float64(v.count()), 0.01)
	require.Less(t, rising, v.count())
}

func TestForkedValuesBeginElsewhere(t *testing.T) {
	v := newValuesOf(t, "64", 0.5)
	starts := map[string]bool{}
	for worker := range 64 {
		f := v.Fork(worker)
		require.Same(t, unsafe.SliceData(v.pool), unsafe.SliceData(f.pool), "the pool is shared")
		starts[string(f.Take())] = true
	}
	require.Len(t, starts, 64)
	first := string(v.Fork(0).Take())
	v.Take()
	require.Equal(t, first, string(v.Fork(0).Take()), "whatever the other took")
	require.NotPanics(t, func() { v.Fork(-1).Take(); v.Fork(math.MaxInt).Take() })
}

func TestValuesAreTheirSeeds(t *testing.T) {
	size := parseSizeOf(t, "uniform:10-100")
	a, err := NewValues(size, 0.5, 1)
	require.NoError(t, err)
	b, err := NewValues(size, 0.5, 1)
	require.NoError(t, err)
	c, err := NewValues(size, 0.5, 2)
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.NotEqual(t, a.Take(), c.Take())
}

func TestValuesOfExtremeSizes(t *testing.T) {
	require.Empty(t, newValuesOf(t, "0", 1).Take())
	require.Len(t, newValuesOf(t, "1", 0.01).Take(), 1)
	require.Len(t, newValuesOf(t, "8388608", 0.01).Take(), 8<<20)
	value := newValuesOf(t, "10", 1).Take()
	require.Equal(t, len(value), cap(value), "appending must not write into the pool")
}

func TestFractions(t *testing.T) {
	for text, want := range map[string]float64{"1": 1, "0.5": 0.5, ".25": 0.25, "1e-3": 0.001} {
		f, err := ParseFraction(text)
		require.NoError(t, err)
		require.Equal(t, want, f)
	}
	for _, text := range []string{"", "0", "-0.5", "1.01", "NaN", "Inf", "half", "50%"} {
		_, err := ParseFraction(text)
		require.Error(t, err, text)
	}
	for _, f := range []float64{0, -1, 1.5, math.NaN(), math.Inf(1)} {
		_, err := NewValues(Constant(100), f, 1)
		require.Error(t, err)
	}
}

func TestTakeDoesNotAllocate(t *testing.T) {
	v := newValuesOf(t, "uniform:50-150", 0.5)
	require.Zero(t, testing.AllocsPerRun(100_000, func() { v.Take() }))
}
