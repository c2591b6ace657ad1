package hdr

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBucketsCoverEveryDurationInOrder(t *testing.T) {
	require.Equal(t, len(Histogram{}.counts), bucketOf(math.MaxUint64)+1)
	for i := range len(Histogram{}.counts) - 1 {
		top := bucketTop(i)
		require.Equal(t, i, bucketOf(top))
		require.Equal(t, i+1, bucketOf(top+1))
	}
}

func TestQuantilesAreWithinOnePartIn128(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(math.Exp(rng.Float64() * 20))
		all = append(all, d)
		h.Add(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.99, 0.999, 1} {
		exact := all[max(int(math.Ceil(q*float64(len(all)))), 1)-1]
		require.GreaterOrEqual(t, h.Quantile(q), exact)
		require.LessOrEqual(t, float64(h.Quantile(q)), float64(exact)*(1+1.0/subBuckets)+1)
	}
	require.Equal(t, all[len(all)-1], h.Max())
}

func TestMergedHistogramsCountAsOne(t *testing.T) {
	var a, b, both Histogram
	for i := range 1000 {
		d := time.Duration(i * i)
		both.Add(d)
		if i%3 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}
	a.Merge(&b)
	require.Equal(t, both, a)
}

func TestEmptyHistogramHasNoLatencies(t *testing.T) {
	require.Zero(t, new(Histogram).Quantile(0.99))
}

func TestHistogramsSurviveJSON(t *testing.T) {
	var h, back Histogram
	for i := range 5000 {
		h.Add(time.Duration(i*i*i) + 1)
	}
	p, err := json.Marshal(&h)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(p, &back))
	require.Equal(t, h, back)
	require.Error(t, json.Unmarshal([]byte(`{"counts":[[99999,1]]}`), &back))
}

func TestAboveCountsTheLongerOnes(t *testing.T) {
	var h Histogram
	for i := range 100 {
		h.Add(time.Duration(i) * time.Millisecond)
	}
	require.EqualValues(t, 89, h.Above(10*time.Millisecond))
	require.EqualValues(t, 99, h.Above(0))
}
