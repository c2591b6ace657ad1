package dist

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func parseSizeOf(t testing.TB, text string) Size {
	t.Helper()
	s, err := ParseSize(text)
	require.NoError(t, err)
	return s
}

// writeCorpus writes a file of lines and returns the size drawn from it.
func writeCorpus(t testing.TB, text string) Size {
	t.Helper()
	path := filepath.Join(t.TempDir(), "corpus:a,b.txt") // the path has what separates elsewhere
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return parseSizeOf(t, "corpus:"+path)
}

// everySize has one of each kind.
func everySize(t testing.TB) []Size {
	return []Size{
		{}, parseSizeOf(t, "100"), parseSizeOf(t, "uniform:50-150"), parseSizeOf(t, "lognormal:100,0.8"),
		parseSizeOf(t, "lognormal:100,0.8,50-400"), writeCorpus(t, "a\nbb\nbb\ndddd\n"),
	}
}

// lengths returns draws of a size, half of them by Draw and half by At.
func lengths(s Size, draws int) []int {
	rng, out := newRand(21), make([]int, 0, draws)
	for i := range draws / 2 {
		out = append(out, s.Draw(rng), s.At(uint64(i)))
	}
	return out
}

func meanOf(lengths []int) float64 {
	sum := 0
	for _, n := range lengths {
		sum += n
	}
	return float64(sum) / float64(len(lengths))
}

func TestSizesKeepTheirBoundsAndMean(t *testing.T) {
	for _, s := range everySize(t) {
		drawn := lengths(s, 1_000_000)
		require.GreaterOrEqual(t, slices.Min(drawn), s.Min(), s)
		require.LessOrEqual(t, slices.Max(drawn), s.Max(), s)
		require.InDelta(t, s.Mean(), meanOf(drawn), s.Mean()/200, s)
	}
}

func TestSizesRoundTripAsText(t *testing.T) {
	rng := newRand(1)
	for _, s := range everySize(t) {
		again := parseSizeOf(t, s.String())
		require.Equal(t, s.String(), again.String())
		require.Equal(t, s.Min(), again.Min())
		require.Equal(t, s.Max(), again.Max())
		require.Equal(t, s.Mean(), again.Mean())
		for range 1000 {
			i := rng.Uint64()
			require.Equal(t, s.At(i), again.At(i))
		}
	}
	for from, to := range map[string]string{
		"0100":                         "100",
		"uniform:050-150":              "uniform:50-150",
		"uniform:7-7":                  "uniform:7-7",
		"lognormal:1e3,.50":            "lognormal:1000,0.5",
		"lognormal:27.5,0":             "lognormal:27.5,0",
		"lognormal:1e6,2,0-67108864":   "lognormal:1000000,2,0-67108864",
		"lognormal:100,0.8,0016-00400": "lognormal:100,0.8,16-400",
	} {
		s := parseSizeOf(t, from)
		require.Equal(t, to, s.String())
		require.Equal(t, to, parseSizeOf(t, to).String())
	}
}

func TestParseSizeRefuses(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n\r\n\n"), 0o600))
	for _, text := range []string{
		"", "-1", "x", "1.5", "100 ", "67108865", "99999999999999999999", "constant:5", "uniform", "uniform:", "uniform:5",
		"uniform:150-50", "uniform:-5-5", "uniform:1-67108865", "lognormal", "lognormal:100", "lognormal:0,1", "lognormal:-3,1",
		"lognormal:NaN,1", "lognormal:Inf,1", "lognormal:100,-1", "lognormal:100,NaN", "lognormal:100,11", "lognormal:100,3",
		"lognormal:100,1,5", "lognormal:100,1,9-5", "lognormal:100,1,1-5,7", "corpus:", "corpus:" + dir,
		"corpus:" + filepath.Join(dir, "absent"), "corpus:" + empty,
	} {
		_, err := ParseSize(text)
		require.Error(t, err, text)
		require.ErrorContains(t, err, `"`+text+`"`)
	}
}

func TestUniformSizeHasAllLengthsAlike(t *testing.T) {
	s := parseSizeOf(t, "uniform:50-150")
	counts := make([]int, 101)
	for _, n := range lengths(s, 1_000_000) {
		counts[n-50]++
	}
	requireDistribution(t, counts, func(int) float64 { return 1.0 / 101 })
	require.Equal(t, 100.0, s.Mean())
}

func TestLognormalSizeHasItsMedianAndSigma(t *testing.T) {
	for _, c := range []struct {
		text          string
		median, sigma float64
	}{{"lognormal:1000,0.8", 1000, 0.8}, {"lognormal:300,0.25", 300, 0.25}, {"lognormal:5000,1.5", 5000, 1.5}} {
		s := parseSizeOf(t, c.text)
		drawn := lengths(s, 500_000)
		slices.Sort(drawn)
		require.InEpsilon(t, c.median, drawn[len(drawn)/2], 0.01, c.text)
		logs, squares := 0.0, 0.0
		for _, n := range drawn {
			v := math.Log(float64(n)) - math.Log(c.median)
			logs += v
			squares += v * v
		}
		mean := logs / float64(len(drawn))
		require.InDelta(t, 0, mean, 0.01*c.sigma, c.text)
		require.InEpsilon(t, c.sigma, math.Sqrt(squares/float64(len(drawn))-mean*mean), 0.01, c.text)
		// The share below one deviation is the normal distribution's.
		at, _ := slices.BinarySearch(drawn, int(c.median*math.Exp(c.sigma)))
		require.InDelta(t, 0.8413, float64(at)/float64(len(drawn)), 0.003, c.text)
		require.InEpsilon(t, c.median*math.Exp(5*c.sigma), s.Max(), 0.01)
	}
}

func TestLognormalSizeIsCutToItsRange(t *testing.T) {
	const draws = 1_000_000
	s := parseSizeOf(t, "lognormal:100,0.8,50-400")
	require.Equal(t, 50, s.Min())
	require.Equal(t, 400, s.Max())
	low, high := 0, 0
	for _, n := range lengths(s, draws) {
		switch n {
		case 50:
			low++
		case 400:
			high++
		}
	}
	// Where rounding and cutting meet, half a byte belongs to the ends.
	below := func(v float64) float64 { return math.Erfc(-math.Log(v/100)/0.8/math.Sqrt2) / 2 }
	requireShare(t, below(50.5), low, draws)
	requireShare(t, 1-below(399.5), high, draws)
	require.Equal(t, 42.0, parseSizeOf(t, "lognormal:42,0").Mean())
	require.Equal(t, 50.0, parseSizeOf(t, "lognormal:42,0,50-60").Mean())
}

func TestCorpusSizeIsThatOfTheLines(t *testing.T) {
	const draws = 1_000_000
	long := 300_000 // more than a buffer of the reader
	s := writeCorpus(t, "one\nthree\n\ntwo\r\nseven77\r\n\r\ncr\rcr\n"+strings.Repeat("x", long)+"\n"+
		strings.Repeat("y", long)+"\r\nlast\r")
	want := map[int]float64{3: 2, 5: 3, 7: 1, long: 2} // "cr\rcr" and "last\r" are five long
	require.Equal(t, 3, s.Min())
	require.Equal(t, long, s.Max())
	require.InDelta(t, float64(2*3+3*5+7+2*long)/8, s.Mean(), 1e-9)
	counts := map[int]int{}
	for _, n := range lengths(s, draws) {
		counts[n]++
	}
	require.Len(t, counts, len(want))
	for length, share := range want {
		requireShare(t, share/8, counts[length], draws, "length %d", length)
	}
}

func TestCorpusSizeOfManyLines(t *testing.T) {
	var text strings.Builder
	rng, have := newRand(22), make([]int, 200)
	for range 20_000 {
		n := 1 + min(rng.IntN(200), rng.IntN(200))
		have[n-1]++
		text.WriteString(strings.Repeat("k", n) + "\n")
	}
	s, counts := writeCorpus(t, text.String()), make([]int, 200)
	for _, n := range lengths(s, 1_000_000) {
		counts[n-1]++
	}
	requireDistribution(t, counts, func(cell int) float64 { return float64(have[cell]) / 20_000 })
}

// Stores outlive the program that filled them: the length of a record's key must not
// change from one version to the next.
func TestSizeAtIsFixedForever(t *testing.T) {
	for text, want := range map[string][]int{
		"100":               {100, 100, 100, 100, 100, 100, 100, 100},
		"uniform:50-150":    {139, 107, 109, 61, 93, 89, 124, 89},
		"lognormal:100,0.8": {259, 114, 120, 38, 87, 79, 167, 80},
	} {
		s := parseSizeOf(t, text)
		got := make([]int, len(want))
		for i := range got {
			got[i] = s.At(uint64(i))
			require.Equal(t, got[i], s.At(uint64(i)))
		}
		require.Equal(t, want, got, text)
	}
}

// The first two outputs of SplitMix64 from seed 0, known from elsewhere.
func TestMixIsSplitMix64(t *testing.T) {
	require.Equal(t, uint64(0xe220a8397b1dcdaf), mix(0))
	require.Equal(t, uint64(0x6e789e6aa1b965f4), mix(golden))
}

func TestSizesDoNotAllocate(t *testing.T) {
	rng, i, sum := newRand(1), uint64(0), 0
	for _, s := range everySize(t) {
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			sum += s.Draw(rng) + s.At(i)
			i++
		}), s)
	}
}
