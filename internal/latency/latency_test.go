package latency_test

import (
	"testing"
	"time"

	"github.com/loamdb/loam/internal/latency"
	"github.com/stretchr/testify/require"
)

// A quantile is never below the duration in its place, nor above it by more than an eighth.
func TestQuantilesAreRoundedUpByAnEighthAtMost(t *testing.T) {
	var h latency.Histogram
	total, q := h.Quantiles(0.5)
	require.Zero(t, total)
	require.Zero(t, q[0])
	const n = 10_000
	for i := range n {
		h.Add(time.Duration(i+1) * time.Microsecond)
	}
	parts := []float64{0.5, 0.95, 0.99, 0.999}
	total, q = h.Quantiles(parts...)
	require.Equal(t, uint64(n), total)
	for i, part := range parts {
		exact := time.Duration(part*n) * time.Microsecond
		require.GreaterOrEqual(t, q[i], exact)
		require.LessOrEqual(t, q[i], exact+exact/8)
	}
}

func TestDurationsBeyondTheBuckets(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{-1: 64, 0: 64, 63: 64, 64: 72, 1 << 62: 1 << 42} {
		var h latency.Histogram
		h.Add(d)
		_, q := h.Quantiles(1)
		require.Equal(t, want, q[0], d)
	}
}
