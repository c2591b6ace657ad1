package metamorphic

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// Config says how much Run tries.
type Config struct {
	// Seeds are those of the histories, each of so many Operations and played with each set.
	Seeds      []uint64
	Operations int
	Sets       []Set
	// Patience is how many operations may be played to make a failing history shorter.
	Patience int
}

// Report says what Run has tried and what failed.
type Report struct {
	Counts
	// Histories is how many were played, one for each seed and set.
	Histories int
	// Failures are the histories that failed, the first of them made as short as can be.
	Failures []*Failure
}

// Err returns nil when nothing failed, else an error that prints the first failure as a file
// for testdata/regress.
func (r *Report) Err() error {
	if len(r.Failures) == 0 {
		return nil
	}
	f := r.Failures[0]
	return errors.Join(fmt.Errorf("%d of %d histories failed, such as: %w", len(r.Failures), r.Histories, f), errors.New(f.Format()))
}

// maxFailures is after how many failures Run gives up.
const maxFailures = 3

// Run makes a history from each seed and plays it with each option set, on all processors.
// Every store must give the lines of the model, and so those of every other.
func Run(c Config) *Report {
	type job struct {
		ref  *reference
		seed uint64
		set  *Set
	}
	var r Report
	var mu sync.Mutex // guards r
	work := make(chan job)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for j := range work {
				counts, failure := play(j.set, j.ref)
				mu.Lock()
				r.Add(counts)
				if r.Histories++; failure != nil {
					failure.Seed = j.seed
					r.Failures = append(r.Failures, failure)
				}
				mu.Unlock()
			}
		})
	}
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(r.Failures) >= maxFailures
	}
	for _, seed := range c.Seeds {
		ref := consult(Generate(seed, c.Operations))
		for i := range c.Sets {
			if !enough() {
				work <- job{ref, seed, &c.Sets[i]}
			}
		}
	}
	close(work)
	wg.Wait()
	if len(r.Failures) > 0 {
		r.Failures[0] = Shrink(r.Failures[0], c.Patience)
	}
	return &r
}
