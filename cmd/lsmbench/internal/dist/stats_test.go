package dist

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// newRand is the tests' randomness: the same in every run.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0xd157)) }

// newChooser returns worker 0's chooser.
func newChooser(t testing.TB, text string, n uint64) Chooser {
	t.Helper()
	factory, err := ParseChooser(text, n)
	require.NoError(t, err)
	return factory(0)
}

// countDraws counts how often each of n records is chosen in the given draws.
func countDraws(c Chooser, rng *rand.Rand, n uint64, draws int) []int {
	counts := make([]int, n)
	for range draws {
		counts[c.Next(rng, n)]++
	}
	return counts
}

// chiSquareDeviation compares counts with the probabilities that they should follow. It
// returns how many standard deviations the chi-square statistic is away from what
// chance makes of it, by the Wilson-Hilferty approximation. Cells expected to hold few
// are taken together with their successors.
func chiSquareDeviation(counts []int, probability func(cell int) float64) float64 {
	total := 0
	for _, c := range counts {
		total += c
	}
	const enough = 10
	statistic, cells := 0.0, 0.0
	expected, got := 0.0, 0.0
	for i, c := range counts {
		expected += probability(i) * float64(total)
		got += float64(c)
		if expected >= enough {
			statistic += (got - expected) * (got - expected) / expected
			cells++
			expected, got = 0, 0
		}
	}
	if expected > 0 {
		statistic += (got - expected) * (got - expected) / expected
		cells++
	}
	free := cells - 1
	return (math.Cbrt(statistic/free) - (1 - 2/(9*free))) / math.Sqrt(2/(9*free))
}

// requireDistribution fails where counts are further from the probabilities than chance
// explains, or nearer.
func requireDistribution(t *testing.T, counts []int, probability func(cell int) float64) {
	t.Helper()
	require.InDelta(t, 0, chiSquareDeviation(counts, probability), 4)
}

// requireShare fails where count of draws is more than five standard deviations away
// from its expectation.
func requireShare(t *testing.T, share float64, count, draws int, what ...any) {
	t.Helper()
	n := float64(draws)
	require.InDelta(t, share*n, count, 5*math.Sqrt(share*(1-share)*n)+1, what...)
}

func TestChiSquareTellsDistributionsApart(t *testing.T) {
	rng := newRand(1)
	const cells, draws = 100, 1_000_000
	counts := make([]int, cells)
	for range draws {
		counts[rng.IntN(cells)]++
	}
	even := func(int) float64 { return 1.0 / cells }
	requireDistribution(t, counts, even)
	// Two percent more in the lower half than in the upper is seen.
	skewed := func(cell int) float64 {
		if cell < cells/2 {
			return 1.01 / cells
		}
		return 0.99 / cells
	}
	require.Greater(t, chiSquareDeviation(counts, skewed), 4.0)
}
