package dist

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// everyChooser has one text of each kind.
var everyChooser = []string{
	"uniform", "zipfian", "zipfian:0.8", "zipf", "latest", "hotspot:0.2,0.8", "sequential",
}

func TestChoosersStayBelowTheNumberOfRecords(t *testing.T) {
	for _, text := range append(everyChooser, "zipf:0.0001", "zipf:0.9999", "latest:0.5", "hotspot:0,1", "hotspot:1,0", "hotspot:0.01,1") {
		for _, foreseen := range []uint64{0, 1, 3, 1000, 1 << 40} {
			c, rng := newChooser(t, text, foreseen), newRand(1)
			for _, n := range []uint64{1, 2, 3, 4, 10, 1, 1000, 999, 5000, 1 << 33} {
				for range 200 {
					if got := c.Next(rng, n); got >= n {
						require.FailNow(t, "no such record", "%s: %d of %d, %d foreseen", text, got, n, foreseen)
					}
				}
			}
		}
	}
}

func TestChoosersAreReproducible(t *testing.T) {
	for _, text := range everyChooser {
		factory, err := ParseChooser(text, 1000)
		require.NoError(t, err)
		a, b := newRand(7), newRand(7)
		one, two := factory(3), factory(3)
		for n := uint64(1000); n < 3000; n++ {
			require.Equal(t, one.Next(a, n), two.Next(b, n), text)
		}
	}
}

// A chooser that grew must not have changed the others that the factory makes.
func TestChoosersOfAFactoryAreApart(t *testing.T) {
	for _, text := range everyChooser {
		factory, err := ParseChooser(text, 1000)
		require.NoError(t, err)
		rng, first := newRand(7), factory(0)
		for range 100 {
			first.Next(rng, 50_000)
		}
		fresh := newChooser(t, text, 1000)
		a, b, second := newRand(8), newRand(8), factory(0)
		for range 100 {
			require.Equal(t, fresh.Next(a, 1000), second.Next(b, 1000), text)
		}
	}
}

func TestChoosersDoNotAllocate(t *testing.T) {
	for _, text := range everyChooser {
		c, rng, n := newChooser(t, text, 1000), newRand(1), uint64(1000)
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			c.Next(rng, n)
			n++
		}), text)
	}
}

func TestParseChooserRefuses(t *testing.T) {
	for _, text := range []string{
		"", "random", "uniform:", "uniform:3", "sequential:1", "Zipfian", "zipfian:", "zipfian:0", "zipfian:1",
		"zipfian:1.2", "zipfian:-0.5", "zipfian:NaN", "zipfian:x", "zipf:", "latest:2", "hotspot", "hotspot:", "hotspot:0.2",
		"hotspot:0.2,", "hotspot:0.2,1.5", "hotspot:-0.1,0.5", "hotspot:NaN,0.5", "hotspot:0.2,0.8,0.1",
	} {
		factory, err := ParseChooser(text, 1000)
		require.Error(t, err, text)
		require.Nil(t, factory, text)
		require.ErrorContains(t, err, `"`+text+`"`)
	}
}

func TestUniformChoosesAllAlike(t *testing.T) {
	const n, draws = 1000, 1_000_000
	counts := countDraws(newChooser(t, "uniform", n), newRand(1), n, draws)
	requireDistribution(t, counts, func(int) float64 { return 1.0 / n })
}

func TestHotspotDividesOperations(t *testing.T) {
	const n, draws = 1000, 1_000_000
	for _, c := range []struct {
		text string
		hot  int     // records
		ops  float64 // share of the operations that they get
	}{
		{"hotspot:0.2,0.8", 200, 0.8},
		{"hotspot:0.01,0.5", 10, 0.5},
		{"hotspot:0.5,0.1", 500, 0.1},
		{"hotspot:0.01,1", 10, 1},
		{"hotspot:0.01,0", 10, 0},
		{"hotspot:0,0.8", n, 1}, // no hot records: all alike
		{"hotspot:1,0.8", n, 1},
	} {
		counts := countDraws(newChooser(t, c.text, n), newRand(2), n, draws)
		inHot := 0
		for _, k := range counts[:c.hot] {
			inHot += k
		}
		requireShare(t, c.ops, inHot, draws, c.text)
		if c.ops > 0 {
			requireDistribution(t, counts[:c.hot], func(int) float64 { return 1 / float64(c.hot) })
		}
		if c.ops < 1 {
			requireDistribution(t, counts[c.hot:], func(int) float64 { return 1 / float64(n-c.hot) })
		}
	}
}

func TestHotspotGrowsWithTheRecords(t *testing.T) {
	const draws = 200_000
	c, rng := newChooser(t, "hotspot:0.2,0.8", 100), newRand(3)
	c.Next(rng, 100)
	counts, inHot := countDraws(c, rng, 1000, draws), 0
	for _, k := range counts[:200] {
		inHot += k
	}
	requireShare(t, 0.8, inHot, draws)
}

func TestSequentialGoesRoundAndRound(t *testing.T) {
	c := newChooser(t, "sequential", 5)
	var got []uint64
	for range 12 {
		got = append(got, c.Next(nil, 5))
	}
	require.Equal(t, []uint64{0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1}, got)
	require.Equal(t, uint64(2), c.Next(nil, 6))
	require.Equal(t, uint64(3), c.Next(nil, 6))
	require.Equal(t, uint64(4), c.Next(nil, 6))
	require.Equal(t, uint64(5), c.Next(nil, 6), "a record that came since belongs to the round")
	require.Equal(t, uint64(0), c.Next(nil, 6))
}

func TestSequentialWorkersBeginFarApart(t *testing.T) {
	const n = 1000
	factory, err := ParseChooser("sequential", n)
	require.NoError(t, err)
	for _, workers := range []int{2, 3, 8, 64} {
		starts := make([]uint64, workers)
		for w := range starts {
			c := factory(w)
			starts[w] = c.Next(nil, n)
			seen := make([]bool, n)
			seen[starts[w]] = true
			for i := uint64(1); i < n; i++ {
				at := c.Next(nil, n)
				require.Equal(t, (starts[w]+i)%n, at)
				require.False(t, seen[at])
				seen[at] = true
			}
			require.Equal(t, starts[w], c.Next(nil, n))
			for _, other := range starts[:w] {
				distance := (starts[w] - other + n) % n
				require.Greater(t, min(distance, n-distance), uint64(n/(3*workers)))
			}
		}
	}
}
