package dist

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
)

// Values makes values that compress to a given fraction: each consists of random bytes
// and of repetitions of them. They are cut from a pool that is larger than what a
// compressor looks back on, so that it finds the repetitions within a value and no
// others. A generator is for one goroutine; Fork makes another one over the same pool.
type Values struct {
	pool   []byte
	bounds []int // value k is pool[bounds[k]:bounds[k+1]]
	next   int   // value
}

const (
	poolBytes = 4 << 20
	// maxPoolValues bounds the memory for bounds where values are tiny; minPoolValues
	// keeps values from being all the same where they are huge.
	maxPoolValues = 1 << 18
	minPoolValues = 4
	// blockBytes is how far a value's repetitions reach back at most, and how long they
	// last: even what cuts values into pages finds them.
	blockBytes = 1024
)

// ParseFraction reads the fraction to which values compress: above 0, at most 1.
func ParseFraction(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no fraction above 0, at most 1", text)
	}
	return f, checkFraction(f)
}

func checkFraction(f float64) error {
	if !(f > 0 && f <= 1) {
		return fmt.Errorf("%v is no fraction above 0, at most 1", f)
	}
	return nil
}

// NewValues returns values of the given lengths that compress to fraction of them; 1 is
// incompressible. What a compressor spends on telling repetitions comes on top, a few
// bytes for each kilobyte, or value if that is shorter: values below about 30 bytes
// compress less than asked for. The lengths of the pool's values are spread evenly over
// the distribution, and then shuffled: they have its mean however few they are.
func NewValues(size Size, fraction float64, seed uint64) (*Values, error) {
	if err := checkFraction(fraction); err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	rng := rand.New(rand.NewPCG(seed, 0x7a1))
	count := min(int(poolBytes/max(size.Mean(), 1))+minPoolValues, maxPoolValues)
	lengths := make([]int, count)
	total := 0
	for k := range lengths {
		lengths[k] = size.spread(k, count)
		total += lengths[k]
	}
	rng.Shuffle(count, func(i, j int) { lengths[i], lengths[j] = lengths[j], lengths[i] })
	v := &Values{pool: make([]byte, total), bounds: make([]int, 1, count+1)}
	at := 0
	for _, n := range lengths {
		fillValue(v.pool[at:at+n], fraction, rng)
		at += n
		v.bounds = append(v.bounds, at)
	}
	return v, nil
}

// spread returns member k of count that lie evenly over the distribution.
func (s Size) spread(k, count int) int {
	if s.quantile == nil {
		return s.min
	}
	step := math.MaxUint64 / uint64(count)
	return s.quantile(uint64(k)*step + step/2)
}

// fillValue writes blocks, each random to the fraction and then repeating itself.
func fillValue(dst []byte, fraction float64, rng *rand.Rand) {
	for len(dst) > 0 {
		block := dst[:min(len(dst), blockBytes)]
		dst = dst[len(block):]
		random := min(max(int(math.Round(fraction*float64(len(block)))), 1), len(block))
		fillRandom(block[:random], rng)
		for done := random; done < len(block); done *= 2 {
			copy(block[done:], block[:done])
		}
	}
}

func fillRandom(dst []byte, rng *rand.Rand) {
	for ; len(dst) >= 8; dst = dst[8:] {
		binary.LittleEndian.PutUint64(dst, rng.Uint64())
	}
	for i := range dst {
		dst[i] = byte(rng.Uint64())
	}
}

// Fork returns a generator for another goroutine, which begins elsewhere in the pool.
func (v *Values) Fork(worker int) *Values {
	f := *v
	f.next = int(apart(uint64(worker), uint64(len(v.bounds)-1)))
	return &f
}

// Take returns the next value. It must not be written to.
func (v *Values) Take() []byte {
	from, to := v.bounds[v.next], v.bounds[v.next+1]
	if v.next++; v.next == len(v.bounds)-1 {
		v.next = 0
	}
	return v.pool[from:to:to]
}
