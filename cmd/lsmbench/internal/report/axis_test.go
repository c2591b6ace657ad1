package report

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLinearTicksAreRoundAndReachTheTop(t *testing.T) {
	require.Equal(t, []float64{0, 25, 50, 75, 100}, linearTicks(98, 4))
	require.Equal(t, []float64{0, 200e3, 400e3, 600e3}, linearTicks(590e3, 4))
	require.Equal(t, []float64{0, 1}, linearTicks(1, 1))
	require.Equal(t, []float64{0, 1}, linearTicks(0, 4))
}

func TestLogarithmicAxesEncloseTheirValues(t *testing.T) {
	for _, c := range []struct {
		lo, hi, from, to float64
		marks            []float64
	}{
		{650, 20e6, 500, 20e6, []float64{1e3, 1e4, 1e5, 1e6, 1e7}},
		{130, 1900, 100, 2000, []float64{100, 200, 500, 1000, 2000}},
		{1000, 1000, 1000, 2000, []float64{1000, 2000}},
		{1, 1, 1, 2, []float64{1, 2}},
		{7, 9, 5, 10, []float64{5, 10}},
		{100, 1e6, 100, 1e6, []float64{100, 1e3, 1e4, 1e5, 1e6}},
	} {
		from, to, marks := logAxis(c.lo, c.hi)
		require.InEpsilon(t, c.from, from, 1e-9, "%+v", c)
		require.InEpsilon(t, c.to, to, 1e-9, "%+v", c)
		require.InEpsilonSlice(t, c.marks, marks, 1e-9, "%+v", c)
	}
}

func TestScalesKeepToTheirEnds(t *testing.T) {
	linear := scale{lo: 0, hi: 10, from: 100, to: 200}
	require.Equal(t, px(150), linear.at(5))
	require.Equal(t, px(200), linear.at(11))
	require.Equal(t, px(100), linear.at(-1))
	require.Equal(t, px(100), scale{lo: 3, hi: 3, from: 100, to: 200}.at(3))
	log := scale{lo: 1, hi: 100, from: 200, to: 0, log: true}
	require.InDelta(t, 100, float64(log.at(10)), 1e-9)
	require.Equal(t, px(200), log.at(0))
}

func TestTicksAreShort(t *testing.T) {
	for want, got := range map[string]string{
		"0": rateTick(0), "500": rateTick(500), "2.5k": rateTick(2500), "1M": rateTick(1e6), "12.5M": rateTick(12.5e6),
		"500 ns": durationTick(500), "1 µs": durationTick(1e3), "20 ms": durationTick(2e7), "5 s": durationTick(5e9), "10 s": secondsTick(10),
	} {
		require.Equal(t, want, got)
	}
	require.Equal(t, "0", px(-0.01).String())
	require.Equal(t, "12.3", px(12.345).String())
}

func TestLabelsMoveApartInTheOrderOfTheirLines(t *testing.T) {
	plotted := &lineChart{Left: 0, Right: 105, Top: 10, Bottom: 200}
	ends := func(ys ...px) (traces []trace) {
		for _, y := range ys {
			traces = append(traces, trace{engine: "engine", points: []point{{0, 0}, {100, y}}})
		}
		return traces
	}
	for _, ys := range [][]px{{50, 51, 52}, {10, 10, 10}, {200, 199, 200, 198}, {20, 100, 104}} {
		labels := plotted.placeLabels(ends(ys...))
		for i := range labels {
			require.GreaterOrEqual(t, labels[i].Y, px(9.9))
			require.LessOrEqual(t, labels[i].Y, px(200.1))
			for j := range labels {
				if ys[i] < ys[j] {
					require.Less(t, labels[i].Y, labels[j].Y)
				}
				if i != j {
					require.GreaterOrEqual(t, max(labels[i].Y-labels[j].Y, labels[j].Y-labels[i].Y), px(labelPitch-1))
				}
			}
		}
	}
	alone := plotted.placeLabels(ends(20, 100))
	require.Equal(t, px(100), alone[1].Y)
	require.Equal(t, px(105+labelIndent), alone[1].X, "beside the plot when the end is near")
	require.Nil(t, alone[1].Leader)

	// Lines that end elsewhere are not in the way.
	apart := []trace{{engine: "a", points: []point{{0, 50}}}, {engine: "b", points: []point{{100, 50}}}}
	require.Equal(t, px(50), plotted.placeLabels(apart)[1].Y)
	require.Equal(t, "M0 50h0", path(apart[0].points))
}
