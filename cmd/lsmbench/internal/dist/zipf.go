package dist

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
)

// defaultTheta is YCSB's exponent.
const defaultTheta = 0.99

// What YCSB's ScrambledZipfianGenerator draws from, whatever the number of records: the
// ranks 0 to 10 billion inclusive, and the sum that belongs to them. The sum is that of
// 10 billion terms: YCSB's off-by-one, kept.
const (
	ycsbItems = 10_000_000_000 + 1
	ycsbZeta  = 26.46902820178302
)

func parseTheta(text string) (float64, error) {
	theta, err := strconv.ParseFloat(text, 64)
	if err != nil || !(theta > 0 && theta < 1) {
		return 0, fmt.Errorf("%q is no exponent between 0 and 1", text)
	}
	return theta, nil
}

// newZipfFactory prepares a chooser once and hands out copies: the sum of many terms is
// not computed again for every goroutine.
func newZipfFactory(name string, theta float64, n uint64) Factory {
	n = max(n, 1)
	switch name {
	case "zipfian":
		s := newScrambled(theta, n)
		return func(int) Chooser { c := s; return &c }
	case "zipf":
		r := ranked{newZipf(theta, n)}
		return func(int) Chooser { c := r; return &c }
	}
	l := latest{newZipf(theta, n)}
	return func(int) Chooser { c := l; return &c }
}

// zeta is the sum of 1/i^theta for i from 1 to n, the constant by which Zipf's law
// divides. It follows n up and down by the terms between.
type zeta struct {
	theta float64
	n     uint64
	sum   float64
}

func (z *zeta) move(n uint64) {
	if n < z.n/2 { // subtracting most of a sum would leave its rounding errors
		z.n, z.sum = 0, 0
	}
	if n >= z.n {
		z.sum += powers(z.theta, z.n, n)
	} else {
		z.sum -= powers(z.theta, n, z.n)
	}
	z.n = n
}

// powers returns the sum of 1/i^theta for a < i <= b. A few terms are added up one by
// one. Many are taken together by the Euler-Maclaurin formula, whose first three terms
// from i = 1,000 on are off by less than a float64 is, and cost the same for a billion.
func powers(theta float64, a, b uint64) float64 {
	const first, few = 1000, 32
	sum := 0.0
	for ; a < b && (a < first || b-a <= few); a++ {
		sum += math.Pow(float64(a+1), -theta)
	}
	if a == b {
		return sum
	}
	x, y := float64(a), float64(b)
	fx, fy := math.Pow(x, -theta), math.Pow(y, -theta)
	// The integral of x^-theta, so written that it loses nothing as theta nears 1.
	sum += x * fx * math.Expm1((1-theta)*math.Log(y/x)) / (1 - theta)
	sum += (fy - fx) / 2
	return sum - theta*(fy/y-fx/x)/12
}

// zipf draws ranks by Zipf's law: rank k, counted from 0, with probability
// 1/((k+1)^theta·zeta(n)). The algorithm is that of J. Gray and others, "Quickly
// Generating Billion-Record Synthetic Databases", SIGMOD 1994, which YCSB's
// ZipfianGenerator uses too. It takes one random number and one power for each rank.
// Ranks 0 and 1 are exact. The rest are read off the integral of the law instead of its
// sum: that gives rank 2 up to a fifth too much and the far ranks a few percent less
// than their due, while the first k ranks together, for any k, are never off by more
// than 2% of all draws.
//
// YCSB keeps computing eta from the number of items it began with when there are more.
// Here eta follows n, as in the paper.
type zipf struct {
	zeta   zeta
	alpha  float64 // 1/(1-theta)
	second float64 // 1/2^theta, the share of rank 1 where that of rank 0 is 1
	eta    float64
}

func newZipf(theta float64, n uint64) zipf {
	z := zipf{zeta: zeta{theta: theta}, alpha: 1 / (1 - theta), second: math.Pow(0.5, theta)}
	z.resize(n)
	return z
}

// newYCSBZipf returns the one that YCSB scrambles.
func newYCSBZipf() zipf {
	z := zipf{alpha: 1 / (1 - defaultTheta), second: math.Pow(0.5, defaultTheta)}
	z.zeta = zeta{theta: defaultTheta, n: ycsbItems, sum: ycsbZeta}
	z.resize(ycsbItems)
	return z
}

func (z *zipf) resize(n uint64) {
	z.zeta.move(n)
	// eta divides zero by zero for two ranks; draw does not get that far then.
	z.eta = (1 - math.Pow(2/float64(n), 1-z.zeta.theta)) / (1 - (1+z.second)/z.zeta.sum)
}

// draw returns a rank of [0, n).
func (z *zipf) draw(rng *rand.Rand, n uint64) uint64 {
	if n != z.zeta.n {
		z.resize(n)
	}
	u := rng.Float64()
	uz := u * z.zeta.sum
	if uz < 1 || n == 1 {
		return 0
	}
	if uz < 1+z.second || n == 2 {
		return 1
	}
	// A power, but by its definition, which takes half the time of math.Pow's last bit.
	rank := uint64(float64(n) * math.Exp(z.alpha*math.Log(z.eta*u-z.eta+1)))
	return min(rank, n-1) // u may be so near 1 that the power is 1
}

// ranked chooses record 0 most often, record 1 next: ranks are records.
type ranked struct{ zipf zipf }

func (r *ranked) Next(rng *rand.Rand, n uint64) uint64 { return r.zipf.draw(rng, n) }

// latest chooses the newest record most often: YCSB's SkewedLatestGenerator, of
// workload D. What was inserted last is popular at once, and its popularity passes on.
type latest struct{ zipf zipf }

func (l *latest) Next(rng *rand.Rand, n uint64) uint64 { return n - 1 - l.zipf.draw(rng, n) }

// scrambled scatters the popular ranks among the records by a hash: YCSB's
// ScrambledZipfianGenerator, of workloads A to C, E and F. As in YCSB,
//
//   - ranks are drawn from 10 billion, whose zeta is known, however many records there
//     are, when theta is 0.99. For another theta YCSB would draw from as many, after
//     minutes of adding up; here there are as many ranks as records.
//   - A rank's record is its hash modulo a space that does not follow the number of
//     records, since that would make other records popular with each insert. The space
//     is the number of records foreseen, and a record that does not exist yet is drawn
//     again. Where YCSB would never choose a record beyond the space, here it doubles:
//     then other records become popular, seldom.
type scrambled struct {
	zipf  zipf
	space uint64
	ycsb  bool // ranks are YCSB's, not those of the space
}

func newScrambled(theta float64, space uint64) scrambled {
	if theta == defaultTheta {
		return scrambled{zipf: newYCSBZipf(), space: space, ycsb: true}
	}
	return scrambled{zipf: newZipf(theta, space), space: space}
}

func (s *scrambled) Next(rng *rand.Rand, n uint64) uint64 {
	for s.space < n {
		if s.space *= 2; s.space == 0 || s.space > math.MaxInt64 {
			s.space = n
		}
	}
	items := s.space
	if s.ycsb {
		items = ycsbItems
	}
	// With half of the space in use, the attempts fail once in 2^64. Only where much
	// fewer records exist than were foreseen does the last line choose.
	for range 64 {
		if i := fnv64(s.zipf.draw(rng, items)) % s.space; i < n {
			return i
		}
	}
	return fnv64(s.zipf.draw(rng, items)) % n
}
