package linear

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
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
	return 48
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
	if h.Operations() < 200 {
		t.Errorf("%v: only %d operations", h, h.Operations())
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

// The checker tells what is linearizable from what is not: here with one key, 0, or two.
func TestTheCheckerRefusesWhatNoOrderExplains(t *testing.T) {
	set := func(key int, token string) input {
		in := input{verb: write}
		in.writes[key] = change{remove: true, token: token}
		return in
	}
	add := func(token string) input {
		in := input{verb: write}
		in.writes[0] = change{token: token}
		return in
	}
	swap := func(expected, token string) input {
		in := set(0, token)
		in.verb, in.expected = cas, expected
		return in
	}
	var both input
	both.writes[0], both.writes[1] = change{token: "1."}, change{token: "2."}
	both.verb = write
	moved := input{verb: txn, reads: 1}
	moved.writes[1] = change{token: "3."}
	one, two := input{verb: read, reads: 1}, input{verb: read, reads: 3}
	sees := func(values ...string) (out output) {
		copy(out.seen[:], values)
		return out
	}
	lost := output{unknown: true}
	for _, c := range []struct {
		name  string
		legal bool
		ops   []porcupine.Operation
	}{
		{"what is read was written", true, []porcupine.Operation{op(1, 2, set(0, "1."), output{}), op(3, 4, one, sees("1."))}},
		{"a write that was acknowledged is lost", false, []porcupine.Operation{op(1, 2, set(0, "1."), output{}), op(3, 4, one, sees(""))}},
		{"one that is under way may come later", true, []porcupine.Operation{op(1, 4, set(0, "1."), output{}), op(2, 3, one, sees(""))}},
		{"what nobody wrote", false, []porcupine.Operation{op(1, 2, one, sees("9."))}},
		{"seen before it was called", false, []porcupine.Operation{op(1, 2, one, sees("1.")), op(3, 4, set(0, "1."), output{})}},
		{"gone back", false, []porcupine.Operation{
			op(1, 9, set(0, "1."), output{}), op(2, 3, one, sees("1.")), op(4, 5, one, sees("")),
		}},
		{"two see two orders", false, []porcupine.Operation{
			op(1, 9, set(0, "1."), output{}), op(1, 9, set(0, "2."), output{}),
			op(2, 3, one, sees("1.")), op(4, 5, one, sees("2.")), op(6, 7, one, sees("1.")),
		}},
		{"operands out of order", false, []porcupine.Operation{
			op(1, 2, add("1."), output{}), op(3, 4, add("2."), output{}), op(5, 6, one, sees("2.1.")),
		}},
		{"unknown, and happened", true, []porcupine.Operation{op(1, math.MaxInt64, set(0, "1."), lost), op(3, 4, one, sees("1."))}},
		{"unknown, and never happened", true, []porcupine.Operation{op(1, math.MaxInt64, set(0, "1."), lost), op(3, 4, one, sees(""))}},
		{"unknown, happened, and taken back", false, []porcupine.Operation{
			op(1, math.MaxInt64, set(0, "1."), lost), op(3, 4, one, sees("1.")), op(5, 6, one, sees("")),
		}},
		{"half a batch", false, []porcupine.Operation{op(1, 9, both, output{}), op(2, 3, two, sees("1.", ""))}},
		{"half an unknown batch", false, []porcupine.Operation{op(1, math.MaxInt64, both, lost), op(2, 3, two, sees("1.", ""))}},
		{"a whole batch", true, []porcupine.Operation{op(1, 9, both, output{}), op(2, 3, two, sees("1.", "2."))}},
		{"compared and set", true, []porcupine.Operation{op(1, 2, set(0, "1."), output{}), op(3, 4, swap("1.", "2."), output{})}},
		{"compared wrongly", false, []porcupine.Operation{op(1, 2, set(0, "1."), output{}), op(3, 4, swap("", "2."), output{})}},
		{"refused for nothing", false, []porcupine.Operation{op(1, 2, swap("", "2."), output{refused: true})}},
		{"two win", false, []porcupine.Operation{op(1, 9, swap("", "1."), output{}), op(1, 9, swap("", "2."), output{})}},
		{"one wins", true, []porcupine.Operation{op(1, 9, swap("", "1."), output{}), op(1, 9, swap("", "2."), output{refused: true})}},
		{"refused and written", false, []porcupine.Operation{
			op(1, 9, set(0, "1."), output{}), op(1, 9, swap("", "2."), output{refused: true}), op(10, 11, one, sees("2.")),
		}},
		{"a transaction that saw what is not so", false, []porcupine.Operation{
			op(1, 2, set(0, "1."), output{}), op(3, 4, moved, sees("")),
		}},
		{"refused, as it may be", true, []porcupine.Operation{
			op(1, 9, set(0, "1."), output{}), op(2, 8, moved, output{refused: true, seen: sees("1.").seen}), op(10, 11, two, sees("1.", "")),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := check(state{}, c.ops); c.legal {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrIllegal)
			}
		})
	}
}

// A write that somebody has seen is taken out of a history that was played.
func TestTheCheckerMissesWhatIsTakenAway(t *testing.T) {
	h, err := Play(*seed)
	require.NoError(t, err)
	require.NoError(t, h.Check())
	ops := h.processes[0]
	seen := slices.IndexFunc(ops, func(op porcupine.Operation) bool {
		return op.Input.(input).verb == read && op.Output.(output).seen != state{}
	})
	require.GreaterOrEqual(t, seen, 0)
	saw := ops[seen].Output.(output).seen
	values := strings.Join(saw[:], "")
	left := slices.DeleteFunc(slices.Clone(ops), func(op porcupine.Operation) bool {
		in := op.Input.(input)
		return slices.ContainsFunc(in.writes[:], func(c change) bool {
			return c.token != "" && strings.HasPrefix(values, c.token)
		})
	})
	require.Less(t, len(left), len(ops))
	require.ErrorIs(t, check(state{}, left), ErrIllegal)
}
