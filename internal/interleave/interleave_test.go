package interleave_test

import (
	"flag"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/interleave"
)

func TestSidesTakeTurns(t *testing.T) {
	times := flag.Lookup("test.benchtime").Value
	defer func(before string) { require.NoError(t, times.Set(before)) }(times.String())
	require.NoError(t, times.Set("3x"))
	var order []string
	side := func(name string) interleave.Side {
		return interleave.Side{
			Name: name,
			Call: func() error { order = append(order, name); return nil },
			Rest: func() error { order = append(order, "rest"); return nil },
		}
	}
	r := testing.Benchmark(func(b *testing.B) {
		order = nil
		interleave.Run(b, 2, side("a"), side("b"))
	})
	forth, back := []string{"a", "a", "rest", "b", "b", "rest"}, []string{"b", "b", "rest", "a", "a", "rest"}
	require.Equal(t, slices.Concat(forth, back, forth), order)
	for _, name := range []string{"a-ns", "b-ns", "b/a", "b-added-ns"} {
		require.Contains(t, r.Extra, name)
	}
	require.NotContains(t, r.Extra, "a/a")
}
