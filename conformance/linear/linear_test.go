package linear

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

var (
	histories = flag.Int("histories", 0, "how many are played; 0: as many as the lane has time for")
	seed      = flag.Uint64("seed", 1, "of the first one, times a million")
)

// lane returns how many histories are played where no flag says so.
func lane() int {
	switch {
	case *histories > 0:
		return *histories
	case os.Getenv("LOAM_LONG") != "":
		return 2000
	case testing.Short():
		return 24
	}
	return 96
}

// census is what histories were like.
type census struct {
	played, illegal, undecided, operations, unknown, flushes, compactions atomic.Int64
}

// report hands out the figures: internal/scorecard reads them.
func (c *census) report(t *testing.T) {
	for name, n := range map[string]*atomic.Int64{
		"histories": &c.played, "illegal": &c.illegal, "undecided": &c.undecided, "operations": &c.operations,
		"unknown": &c.unknown, "flushes": &c.flushes, "compactions": &c.compactions,
	} {
		t.Attr(name, fmt.Sprint(n.Load()))
	}
}

// play plays a history and has it checked.
func (c *census) play(t *testing.T, seed uint64) {
	h, err := Play(seed)
	if !assert(t, err) {
		return
	}
	c.played.Add(1)
	c.operations.Add(int64(h.Operations()))
	c.unknown.Add(int64(h.Unknown))
	c.flushes.Add(int64(h.Flushes))
	c.compactions.Add(int64(h.Compactions))
	err = h.Check()
	switch {
	case errors.Is(err, ErrIllegal):
		c.illegal.Add(1)
	case errors.Is(err, ErrUndecided):
		c.undecided.Add(1)
	}
	assert(t, err)
}

func assert(t *testing.T, err error) bool {
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

// R21. Clients of a store, through closing and reopening, kills and power cuts, are told what
// one after the other could have been told.
func TestHistoriesAreLinearizable(t *testing.T) {
	var c census
	var next atomic.Uint64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for n := next.Add(1); n <= uint64(lane()) && !t.Failed(); n = next.Add(1) {
				c.play(t, *seed*1_000_000+n)
			}
		})
	}
	wg.Wait()
	c.report(t)
	if t.Failed() {
		return
	}
	n := int64(lane())
	require.Equal(t, n, c.played.Load())
	require.GreaterOrEqual(t, c.operations.Load(), n*operations)
	require.Greater(t, c.unknown.Load(), n, "few were under way when their process ended")
	require.Greater(t, c.flushes.Load(), n)
	require.Greater(t, c.compactions.Load(), n)
}

// op returns an operation that was called and returned at these moments.
func op(call, end int64, in input, out output) porcupine.Operation {
	return porcupine.Operation{Call: call, Return: end, Input: in, Output: out}
}
