package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBucketsCoverEveryDurationInOrder(t *testing.T) {
	require.Equal(t, len(histogram{}.counts), bucketOf(math.MaxUint64)+1)
	for i := range len(histogram{}.counts) - 1 {
		top := bucketTop(i)
		require.Equal(t, i, bucketOf(top))
		require.Equal(t, i+1, bucketOf(top+1))
	}
}

func TestQuantilesAreWithinThreePerCent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(math.Exp(rng.Float64() * 20))
		all = append(all, d)
		h.add(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.99, 0.999, 1} {
		exact := all[max(int(math.Ceil(q*float64(len(all)))), 1)-1]
		require.GreaterOrEqual(t, h.quantile(q), exact)
		require.LessOrEqual(t, float64(h.quantile(q)), float64(exact)*(1+1.0/subBuckets)+1)
	}
	require.Equal(t, all[len(all)-1], h.max)
}

func TestMergedHistogramsCountAsOne(t *testing.T) {
	var a, b, both histogram
	for i := range 1000 {
		d := time.Duration(i * i)
		both.add(d)
		if i%3 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	a.merge(&b)
	require.Equal(t, both, a)
}

func TestEmptyHistogramHasNoLatencies(t *testing.T) {
	require.Zero(t, new(histogram).quantile(0.99))
}
