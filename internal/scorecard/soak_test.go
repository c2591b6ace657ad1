package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What grows is told, and what does not is not.
func TestWhatASoakedProcessHoldsIsCompared(t *testing.T) {
	var flat, growing []held
	for i := range 40 {
		h := held{minutes: float64(i) / 10, descriptors: 8, goroutines: 4, heap: 900, resident: 20_000, space: 300, live: 100}
		flat = append(flat, h)
		h.descriptors += float64(i / 20)
		h.goroutines += float64(i / 30)
		h.heap += 100 * float64(i)
		h.resident += 200 * float64(i)
		h.space += 20 * float64(i)
		growing = append(growing, h)
	}
	for _, f := range growth(flat, true) {
		require.True(t, f.passes(), f.line("R40"))
	}
	for _, f := range growth(growing, true) {
		require.False(t, f.passes(), f.line("R40"))
	}
	require.InDelta(t, 2000, slope(growing), 1)
}
