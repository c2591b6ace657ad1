package dist

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Chooser picks the records that operations touch. It is for one goroutine.
type Chooser interface {
	// Next returns a record of [0, n). n must not be zero. It may differ from call to
	// call, and is expected to grow as records are inserted.
	Next(rng *rand.Rand, n uint64) uint64
}

// Factory makes the chooser of one goroutine, whose number says where it begins if it
// goes through the records in order. It is safe for many goroutines.
type Factory func(worker int) Chooser

// ChooserForms says what ParseChooser understands.
const ChooserForms = "uniform, zipfian[:THETA], zipf[:THETA], latest[:THETA], hotspot:RECORDS,OPERATIONS or sequential"

// ParseChooser returns the choosers that text names, for about n records: those that
// exist plus, as in YCSB, those that are going to be inserted. The forms:
//
//   - uniform: all records alike.
//   - zipfian, zipfian:0.8: by Zipf's law, the popular records scattered among all, as
//     YCSB's ScrambledZipfianGenerator scatters them. The exponent theta is 0.99 unless
//     given, and lies between 0 and 1. See scrambled for what n is for.
//   - zipf, zipf:0.8: by Zipf's law, record 0 the most popular, record 1 the next.
//   - latest, latest:0.8: by Zipf's law, the newest record n-1 the most popular.
//   - hotspot:0.2,0.8: the first 20% of the records get 80% of the operations; within
//     and without, all records alike.
//   - sequential: in order, over and over, each worker from its own start.
func ParseChooser(text string, n uint64) (Factory, error) {
	name, args, given := strings.Cut(text, ":")
	fail := func(err error) (Factory, error) { return nil, fmt.Errorf("distribution %q: %w", text, err) }
	switch name {
	case "zipfian", "zipf", "latest":
		theta := defaultTheta
		if given {
			var err error
			if theta, err = parseTheta(args); err != nil {
				return fail(err)
			}
		}
		return newZipfFactory(name, theta, n), nil
	case "hotspot":
		h, err := parseHotspot(args)
		if err != nil {
			return fail(err)
		}
		return func(int) Chooser { return h }, nil
	}
	if given {
		return fail(fmt.Errorf("want %s", ChooserForms))
	}
	switch name {
	case "uniform":
		return func(int) Chooser { return uniform{} }, nil
	case "sequential":
		return func(worker int) Chooser { return &sequential{worker: uint64(worker)} }, nil
	}
	return fail(fmt.Errorf("want %s", ChooserForms))
}

// uniform chooses all records alike.
type uniform struct{}

func (uniform) Next(rng *rand.Rand, n uint64) uint64 { return rng.Uint64N(n) }

// hotspot lets a share of the operations choose among a share of the records, the
// first ones, and the rest among the rest: YCSB's HotspotIntegerGenerator.
type hotspot struct {
	records, operations float64
}

func parseHotspot(args string) (hotspot, error) {
	records, operations, both := strings.Cut(args, ",")
	if !both {
		return hotspot{}, fmt.Errorf("want the share of the records and that of the operations, as in hotspot:0.2,0.8")
	}
	var h hotspot
	var err error
	if h.records, err = parseShare(records); err != nil {
		return hotspot{}, err
	}
	h.operations, err = parseShare(operations)
	return h, err
}

func parseShare(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%q is no share from 0 to 1", text)
	}
	return v, nil
}

func (h hotspot) Next(rng *rand.Rand, n uint64) uint64 {
	hot := uint64(float64(n) * h.records)
	switch {
	case hot == 0 || hot >= n: // one of the parts has no record
		return rng.Uint64N(n)
	case rng.Float64() < h.operations:
		return rng.Uint64N(hot)
	}
	return hot + rng.Uint64N(n-hot)
}

// sequential goes through all records in order, over and over. Worker 0 begins with
// record 0, and any number of others far from each other.
type sequential struct {
	worker uint64
	next   uint64
	begun  bool
}

func (s *sequential) Next(_ *rand.Rand, n uint64) uint64 {
	if !s.begun {
		s.next, s.begun = apart(s.worker, n), true
	}
	if s.next >= n {
		s.next = 0
	}
	s.next++
	return s.next - 1
}
