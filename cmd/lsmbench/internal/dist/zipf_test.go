package dist

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// directZeta adds up the terms from the smallest, one by one.
func directZeta(theta float64, n uint64) float64 {
	sum := 0.0
	for i := n; i > 0; i-- {
		sum += 1 / math.Pow(float64(i), theta)
	}
	return sum
}

// law is Zipf's: what rank k should get.
func law(theta float64, n uint64) func(rank int) float64 {
	sum := directZeta(theta, n)
	return func(rank int) float64 { return 1 / (math.Pow(float64(rank+1), theta) * sum) }
}

// gray is what the algorithm of Gray and others gives rank k, from its description: the
// first two as the law, of the rest each an interval of the integral of x^-theta.
func gray(theta float64, n, zetaN float64) func(rank int) float64 {
	eta := (1 - math.Pow(2/n, 1-theta)) / (1 - (1+math.Pow(0.5, theta))/zetaN)
	return func(rank int) float64 {
		if rank < 2 {
			return 1 / (math.Pow(float64(rank+1), theta) * zetaN)
		}
		k := float64(rank)
		return (math.Pow((k+1)/n, 1-theta) - math.Pow(k/n, 1-theta)) / eta
	}
}

func grayOf(theta float64, n uint64) func(rank int) float64 {
	return gray(theta, float64(n), directZeta(theta, n))
}

func TestZetaInStepsIsZetaAtOnce(t *testing.T) {
	for _, theta := range []float64{0.01, 0.5, 0.8, 0.99, 0.999999} {
		z := zeta{theta: theta}
		// By one, by a few, by many, and back.
		for _, n := range []uint64{1, 2, 3, 10, 999, 1000, 1001, 1002, 1034, 1001, 999, 5000, 5031, 5064, 5032, 3001, 100_000, 300_003, 4999, 1, 50, 100_000} {
			z.move(n)
			require.InEpsilon(t, directZeta(theta, n), z.sum, 1e-12, "theta %v, n %d", theta, n)
		}
		for n := uint64(100_001); n < 120_000; n++ {
			z.move(n)
		}
		require.InEpsilon(t, directZeta(theta, z.n), z.sum, 1e-12)
	}
}

// The constant comes from adding up ten billion terms; computing it here in another way
// checks both.
func TestZetaOfYCSBIsItsConstant(t *testing.T) {
	z := zeta{theta: defaultTheta}
	z.move(10_000_000_000)
	last := math.Pow(10_000_000_000, -defaultTheta)
	require.InDelta(t, ycsbZeta, z.sum, last/2)
}

func TestZipfFollowsItsAlgorithm(t *testing.T) {
	const draws = 1_000_000
	for _, theta := range []float64{0.5, 0.99} {
		for _, n := range []uint64{1, 2, 3, 10, 1000} {
			z, rng := newZipf(theta, n), newRand(n)
			counts := countDraws(&ranked{z}, rng, n, draws)
			if n == 1 {
				require.Equal(t, draws, counts[0])
				continue
			}
			requireDistribution(t, counts, grayOf(theta, n))
		}
	}
}

func TestZipfIsNearZipfsLaw(t *testing.T) {
	const n, draws = 1000, 2_000_000
	for _, c := range []struct {
		text  string
		theta float64
	}{{"zipf", 0.99}, {"zipf:0.8", 0.8}, {"zipf:0.5", 0.5}} {
		counts := countDraws(newChooser(t, c.text, n), newRand(11), n, draws)
		p := law(c.theta, n)
		requireShare(t, p(0), counts[0], draws, c.text)
		requireShare(t, p(1), counts[1], draws, c.text)
		got, want := 0.0, 0.0
		for rank, count := range counts {
			share := float64(count) / draws
			if rank >= 2 && rank < 50 {
				require.InEpsilon(t, p(rank), share, 0.2, "%s, rank %d", c.text, rank)
			}
			if rank >= 9 && rank < 50 {
				require.InEpsilon(t, p(rank), share, 0.06, "%s, rank %d", c.text, rank)
			}
			got, want = got+share, want+p(rank)
			require.InDelta(t, want, got, 0.02, "%s, ranks up to %d", c.text, rank)
		}
	}
}

func TestZipfOfGrownRecordsIsThatOfAsMany(t *testing.T) {
	const n, draws = 4000, 1_000_000
	c, rng := newChooser(t, "zipf", 10), newRand(12)
	for m := uint64(10); m < n; m++ {
		c.Next(rng, m)
	}
	requireDistribution(t, countDraws(c, rng, n, draws), grayOf(defaultTheta, n))
	// And fewer again.
	requireDistribution(t, countDraws(c, rng, 500, draws), grayOf(defaultTheta, 500))
}

func TestLatestFavoursTheNewest(t *testing.T) {
	const draws = 1_000_000
	c, rng := newChooser(t, "latest", 1000), newRand(13)
	for _, n := range []uint64{1000, 1001, 5000} {
		for m := n - 1; m < n; m++ { // comes here by one, and from afar
			c.Next(rng, m)
		}
		counts := countDraws(c, rng, n, draws)
		p := law(defaultTheta, n)
		requireShare(t, p(0), counts[n-1], draws)
		requireShare(t, p(1), counts[n-2], draws)
		slices.Reverse(counts) // by distance from the newest
		requireDistribution(t, counts, grayOf(defaultTheta, n))
	}
}

// scrambledCounts counts draws of zipfian by record.
func scrambledCounts(t *testing.T, text string, space, n uint64, draws int) []int {
	return countDraws(newChooser(t, text, space), newRand(14), n, draws)
}

func TestScrambledScattersTheRanks(t *testing.T) {
	const n, draws, top = 1_000_000, 1_000_000, 20
	for _, c := range []struct {
		text string
		p    func(rank int) float64
	}{
		{"zipfian", gray(defaultTheta, ycsbItems, ycsbZeta)},
		{"zipfian:0.99", gray(defaultTheta, ycsbItems, ycsbZeta)},
		{"zipfian:0.8", grayOf(0.8, n)},
	} {
		counts := scrambledCounts(t, c.text, n, n, draws)
		// A record that some popular rank falls on has that rank's share, and its part of
		// all the others.
		const others = 3e-6
		for rank := range top {
			record := fnv64(uint64(rank)) % n
			requireShare(t, c.p(rank), counts[record]-others*draws, draws, "%s, rank %d", c.text, rank)
		}
		// The sorted frequencies have the shape of the ranks'.
		sorted := slices.Clone(counts)
		slices.SortFunc(sorted, func(a, b int) int { return b - a })
		for rank := range top {
			share := float64(sorted[rank]) / draws
			require.InEpsilon(t, c.p(rank), share, 0.1, "%s, rank %d", c.text, rank)
		}
		// They are not neighbours: both halves have popular records.
		low := 0
		for rank := range top {
			if fnv64(uint64(rank))%n < n/2 {
				low++
			}
		}
		require.InDelta(t, top/2, low, top/4)
	}
}

// Records that are popular before an insert are so afterwards.
func TestScrambledKeepsItsFavouritesWithinTheSpace(t *testing.T) {
	const space, draws = 10_000, 200_000
	p := gray(defaultTheta, ycsbItems, ycsbZeta)
	for _, text := range []string{"zipfian", "zipfian:0.8"} {
		c, rng := newChooser(t, text, space), newRand(15)
		favourites := func(n uint64) []uint64 {
			counts := countDraws(c, rng, n, draws)
			records := make([]uint64, n)
			for i := range records {
				records[i] = uint64(i)
			}
			slices.SortFunc(records, func(a, b uint64) int { return counts[b] - counts[a] })
			return records[:3]
		}
		few := favourites(space * 9 / 10)
		require.Equal(t, few, favourites(space*9/10+1), text)
		require.Equal(t, few, favourites(space), text)
		// Beyond the space there are others.
		beyond := favourites(space*2 - 1)
		require.NotEqual(t, few, beyond, text)
		require.Equal(t, beyond, favourites(space*2), text)
	}
	// Drawing again takes nothing from those that exist but raises all alike.
	const n = space / 2
	counts, rest := scrambledCounts(t, "zipfian", space, n, draws), 0.0
	for rank := range 100_000 {
		if fnv64(uint64(rank))%space < n {
			rest += p(rank)
		}
	}
	// The ranks not added up fall on both halves alike.
	tail := 1.0
	for rank := range 100_000 {
		tail -= p(rank)
	}
	rest += tail * n / space
	for rank := range 5 {
		if record := fnv64(uint64(rank)) % space; record < n {
			require.InEpsilon(t, p(rank)/rest, float64(counts[record])/draws, 0.05, "rank %d", rank)
		}
	}
}

// With far fewer records than foreseen the attempts end, and all records are chosen.
func TestScrambledOfFewRecordsOfManyForeseen(t *testing.T) {
	for _, text := range []string{"zipfian", "zipfian:0.8"} {
		counts := scrambledCounts(t, text, 1<<40, 10, 20_000)
		for record, count := range counts {
			require.Positive(t, count, "%s, record %d", text, record)
		}
	}
}
