package cache_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Each block that is found is one hit, each that was brought one load; bringing it is no hit.
func TestHitsAreCounted(t *testing.T) {
	c := newCache(t, 4<<20)
	f := c.NewFile(10)
	defer f.Close()
	for i := range 10 {
		put(c, f, 1, i, 4000)
	}
	require.Equal(t, []uint64{0, 10}, []uint64{c.Metrics().Hits, c.Metrics().Loads})
	hits := uint64(0)
	for i := range 10 {
		for range i * 50 {
			h, ok := f.Get(i)
			require.True(t, ok)
			h.Release()
			hits++
		}
		require.Equal(t, hits, c.Metrics().Hits)
	}
	require.Equal(t, uint64(10), c.Metrics().Loads)
}
