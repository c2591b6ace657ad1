package dist

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// maxSize bounds keys and values, in bytes.
const maxSize = 64 << 20

// SizeForms says what ParseSize understands.
const SizeForms = "BYTES, uniform:MIN-MAX, lognormal:MEDIAN,SIGMA[,MIN-MAX] or corpus:FILE"

// Size is a distribution of lengths in bytes. The zero value is the constant 0. It is
// safe for many goroutines.
type Size struct {
	text     string
	min, max int
	mean     float64
	// quantile maps the even distribution of all 64-bit numbers to this one; nil where
	// it is constant.
	quantile func(x uint64) int
}

// Constant returns the distribution that is always n.
func Constant(n int) Size {
	return Size{text: strconv.Itoa(n), min: n, max: n, mean: float64(n)}
}

// ParseSize returns the distribution that text names:
//
//   - 100: always 100.
//   - uniform:50-150: every length from 50 to 150 alike.
//   - lognormal:100,0.8: half of the lengths below 100; their logarithms are normally
//     distributed with standard deviation 0.8. What lies beyond five such deviations,
//     one length in two millions, is cut to that, and none is less than 1.
//     lognormal:100,0.8,16-4096 cuts to 16 and 4,096 instead.
//   - corpus:FILE: each as often as among the lines of the file, line ends and empty
//     lines apart.
func ParseSize(text string) (Size, error) {
	s, err := parseSize(text)
	if err != nil {
		return Size{}, fmt.Errorf("size %q: %w", text, err)
	}
	return s, nil
}

func parseSize(text string) (Size, error) {
	name, args, given := strings.Cut(text, ":")
	if !given {
		n, err := parseLength(text)
		if err != nil {
			return Size{}, fmt.Errorf("want %s", SizeForms)
		}
		return Constant(n), nil
	}
	switch name {
	case "uniform":
		lo, hi, err := parseRange(args)
		if err != nil {
			return Size{}, err
		}
		return newUniformSize(lo, hi), nil
	case "lognormal":
		return parseLognormal(args)
	case "corpus":
		return readCorpus(args)
	}
	return Size{}, fmt.Errorf("want %s", SizeForms)
}

func parseLength(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > maxSize {
		return 0, fmt.Errorf("%q is no length from 0 to %d", text, maxSize)
	}
	return int(n), nil
}

func parseRange(text string) (lo, hi int, err error) {
	from, to, both := strings.Cut(text, "-")
	if !both {
		return 0, 0, fmt.Errorf("%q is no range such as 50-150", text)
	}
	if lo, err = parseLength(from); err != nil {
		return 0, 0, err
	}
	if hi, err = parseLength(to); err != nil {
		return 0, 0, err
	}
	if lo > hi {
		return 0, 0, fmt.Errorf("the range %q ends before it begins", text)
	}
	return lo, hi, nil
}

func newUniformSize(lo, hi int) Size {
	n := uint64(hi-lo) + 1
	return Size{
		text: fmt.Sprintf("uniform:%d-%d", lo, hi),
		min:  lo, max: hi, mean: (float64(lo) + float64(hi)) / 2,
		quantile: func(x uint64) int { return lo + int(scale(x, n)) },
	}
}

// lognormalReach is where a lognormal size ends, in standard deviations of its
// logarithm.
const lognormalReach = 5

func parseLognormal(args string) (Size, error) {
	fields := strings.Split(args, ",")
	if len(fields) != 2 && len(fields) != 3 {
		return Size{}, errors.New("want the median and the standard deviation of the logarithm, as in lognormal:100,0.8")
	}
	median, err := strconv.ParseFloat(fields[0], 64)
	if err != nil || !(median >= 1 && median <= maxSize) {
		return Size{}, fmt.Errorf("%q is no median from 1 to %d", fields[0], maxSize)
	}
	sigma, err := strconv.ParseFloat(fields[1], 64)
	if err != nil || !(sigma >= 0 && sigma <= 10) {
		return Size{}, fmt.Errorf("%q is no standard deviation from 0 to 10", fields[1])
	}
	text := "lognormal:" + decimal(median) + "," + decimal(sigma)
	if len(fields) == 3 {
		lo, hi, err := parseRange(fields[2])
		if err != nil {
			return Size{}, err
		}
		return newLognormalSize(fmt.Sprintf("%s,%d-%d", text, lo, hi), median, sigma, lo, hi), nil
	}
	reach := math.Exp(lognormalReach * sigma)
	lo, hi := max(math.Round(median/reach), 1), math.Round(median*reach)
	if hi > maxSize {
		return Size{}, fmt.Errorf("lengths up to %.3g are more than %d; add a range, as in %s,16-65536", hi, maxSize, text)
	}
	return newLognormalSize(text, median, sigma, int(lo), int(hi)), nil
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func newLognormalSize(text string, median, sigma float64, lo, hi int) Size {
	least, most := float64(lo), float64(hi)
	return Size{
		text: text, min: lo, max: hi,
		mean: clampedLognormalMean(median, sigma, least, most),
		quantile: func(x uint64) int {
			u := (float64(x>>11) + 0.5) / (1 << 53) // between 0 and 1, never either
			z := math.Sqrt2 * math.Erfinv(2*u-1)
			return int(min(max(math.Round(median*math.Exp(sigma*z)), least), most))
		},
	}
}

// clampedLognormalMean integrates over the three parts: what is raised to lo, what
// stays, and what is lowered to hi. It leaves the rounding to whole bytes out.
func clampedLognormalMean(median, sigma, lo, hi float64) float64 {
	if sigma == 0 {
		return min(max(math.Round(median), lo), hi)
	}
	below := func(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 } // of the normal distribution
	a, b := math.Log(lo/median)/sigma, math.Log(hi/median)/sigma
	between := median * math.Exp(sigma*sigma/2) * (below(b-sigma) - below(a-sigma))
	return lo*below(a) + between + hi*below(-b)
}

// Draw returns a random length.
func (s Size) Draw(rng *rand.Rand) int {
	if s.quantile == nil {
		return s.min
	}
	return s.quantile(rng.Uint64())
}

// At returns the length that belongs to record i, always the same: the distribution at
// a hash of i. Two sizes at the same i are long together and short together.
func (s Size) At(i uint64) int {
	if s.quantile == nil {
		return s.min
	}
	return s.quantile(mix(i))
}

// Min returns the least length.
func (s Size) Min() int { return s.min }

// Max returns the greatest length.
func (s Size) Max() int { return s.max }

// Mean returns the mean length.
func (s Size) Mean() float64 { return s.mean }

// String returns a text from which ParseSize makes the same distribution.
func (s Size) String() string {
	if s.text == "" {
		return "0"
	}
	return s.text
}
