package result

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// rates are the repeats of one row, as a set.
func rates(workload, engine string, rates ...float64) []Run {
	var runs []Run
	for i, v := range rates {
		runs = append(runs, Run{Workload: workload, Engine: engine, Repeat: i, Rate: v})
	}
	return runs
}

func setOf(rows ...[]Run) *Set {
	s := &Set{Environment: Environment{Schema: Schema}}
	for _, r := range rows {
		s.Runs = append(s.Runs, r...)
	}
	return s
}

func TestAChangeMustExceedThresholdAndSpread(t *testing.T) {
	for name, c := range map[string]struct {
		old, new []float64
		want     Judgement
	}{
		"one repeat, at the threshold":       {[]float64{100}, []float64{90}, Alike},
		"one repeat, beyond it":              {[]float64{100}, []float64{89.9}, Slower},
		"one repeat, faster":                 {[]float64{100}, []float64{111}, Faster},
		"one repeat, faster at threshold":    {[]float64{100}, []float64{110}, Alike},
		"beyond both spreads":                {[]float64{99, 100, 101}, []float64{79, 80, 81}, Slower},
		"within the spread of the old":       {[]float64{75, 100, 101}, []float64{79, 80, 81}, Noise},
		"within the spread of the new":       {[]float64{99, 100, 101}, []float64{79, 80, 105}, Noise},
		"a spread on one side only":          {[]float64{100}, []float64{70, 80, 95}, Noise},
		"faster, but within the spread":      {[]float64{80, 100, 130}, []float64{140}, Noise},
		"faster beyond the spread":           {[]float64{90, 100, 110}, []float64{140}, Faster},
		"the median counts, not the extreme": {[]float64{98, 100, 101}, []float64{97, 99, 100}, Alike},
	} {
		t.Run(name, func(t *testing.T) {
			cmp := Compare(setOf(rates("fill", "loam", c.old...)), setOf(rates("fill", "loam", c.new...)), 0.10)
			require.Len(t, cmp.Rows, 1)
			require.Equal(t, c.want, cmp.Rows[0].Rate.Judgement, "%+v", cmp.Rows[0].Rate)
			require.Equal(t, c.want == Slower, len(cmp.Slower()) == 1)
			require.Equal(t, 1, cmp.Count(c.want))
		})
	}
}

func TestChangesAreOfMediansAndGiveTheGreaterSpread(t *testing.T) {
	c := Compare(setOf(rates("fill", "loam", 90, 130, 100)), setOf(rates("fill", "loam", 60, 50, 80, 70)), 0.1).Rows[0].Rate
	require.Equal(t, Sample{Repeats: 3, Median: 100, Slowest: 90, Fastest: 130}, c.Old)
	require.Equal(t, Sample{Repeats: 4, Median: 60, Slowest: 50, Fastest: 80}, c.New)
	require.InDelta(t, -0.4, c.Relative, 1e-9)
	require.InDelta(t, 0.4, c.Spread(), 1e-9)
	require.Equal(t, Noise, c.Judgement, "a change as great as the spread is noise")
	require.Zero(t, Change{}.Spread())
}

func TestRowsOfOneSideOnlyAreNamed(t *testing.T) {
	cmp := Compare(
		setOf(rates("fill", "loam", 5), rates("fill", "pebble", 5), rates("gone", "loam", 5)),
		setOf(rates("added", "loam", 7), rates("fill", "loam", 5), rates("fill", "pebble", 5)), 0.1)
	require.Len(t, cmp.Rows, 4)
	require.Equal(t, Gone, cmp.Rows[2].Rate.Judgement)
	require.Equal(t, "gone", cmp.Rows[2].Workload)
	require.Zero(t, cmp.Rows[2].Rate.Relative)
	require.Equal(t, Added, cmp.Rows[3].Rate.Judgement)
	require.Equal(t, "added", cmp.Rows[3].Workload)
	require.Empty(t, cmp.Slower(), "what is missing is not slower: the caller sees it by Count")
	require.Equal(t, 1, cmp.Count(Gone))
	require.Equal(t, 2, cmp.Count(Alike))
}

func TestRowsOfOtherGroupsAreOthers(t *testing.T) {
	old, new := rates("fill", "loam", 100), rates("fill", "loam", 50)
	old[0].Group, new[0].Group = "a", "b"
	cmp := Compare(setOf(old), setOf(new), 0.1)
	require.Len(t, cmp.Rows, 2)
	require.Equal(t, Gone, cmp.Rows[0].Rate.Judgement)
	require.Equal(t, Added, cmp.Rows[1].Rate.Judgement)
}

func TestSettledRatesAreJudgedByThemselves(t *testing.T) {
	old, new := rates("fill", "loam", 100, 101, 102), rates("fill", "loam", 100, 101, 102)
	for i := range old {
		old[i].Settled, new[i].Settled = 80+float64(i), 40+float64(i)
	}
	row := Compare(setOf(old), setOf(new), 0.1).Rows[0]
	require.Equal(t, Alike, row.Rate.Judgement)
	require.Equal(t, Slower, row.Settled.Judgement)
	require.True(t, row.Slower())
	require.InDelta(t, 41./81-1, row.Settled.Relative, 1e-9)

	reads := Compare(setOf(rates("get", "loam", 1)), setOf(rates("get", "loam", 1)), 0.1).Rows[0]
	require.Equal(t, None, reads.Settled.Judgement)
}

func TestJudgementsHaveNames(t *testing.T) {
	for j, name := range map[Judgement]string{None: "none", Gone: "gone", Added: "added", Alike: "alike", Noise: "noise", Slower: "slower", Faster: "faster"} {
		require.Equal(t, name, j.String())
	}
}
