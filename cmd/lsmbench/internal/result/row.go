package result

import "slices"

// Row is the repeats of one workload on one engine.
type Row struct {
	// Run is the repeat whose rate is in the middle, the lower of two.
	Run
	// Repeats are how many there were, Slowest and Fastest the rates at the ends.
	Repeats          int
	Slowest, Fastest float64
}

// Spread is how far the ends are apart, over the median rate.
func (r *Row) Spread() float64 {
	if r.Rate <= 0 {
		return 0
	}
	return (r.Fastest - r.Slowest) / r.Rate
}

// Rows sums up runs: one row for each group, workload and engine, in the order in which
// these appear.
func Rows(runs []Run) []Row {
	type key struct{ group, workload, engine string }
	byKey := map[key][]Run{}
	var order []key
	for _, r := range runs {
		k := key{r.Group, r.Workload, r.Engine}
		if byKey[k] == nil {
			order = append(order, k)
		}
		byKey[k] = append(byKey[k], r)
	}
	rows := make([]Row, len(order))
	for i, k := range order {
		repeats := byKey[k]
		slices.SortStableFunc(repeats, func(a, b Run) int { return compareFloat(a.Rate, b.Rate) })
		rows[i] = Row{
			Run: repeats[(len(repeats)-1)/2], Repeats: len(repeats),
			Slowest: repeats[0].Rate, Fastest: repeats[len(repeats)-1].Rate,
		}
	}
	return rows
}

func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// RateOf returns the rate, for Best and Ratio.
func RateOf(r *Row) float64 { return r.Rate }

// SettledOf returns the settled rate, for Best and Ratio.
func SettledOf(r *Row) float64 { return r.Settled }

// Best reports whether r has the greatest figure of the rows of its group and workload,
// of which there must be another.
func Best(rows []Row, r *Row, figure func(*Row) float64) bool {
	others := 0
	for i := range rows {
		o := &rows[i]
		if o.Group != r.Group || o.Workload != r.Workload || o.Engine == r.Engine {
			continue
		}
		others++
		if figure(o) >= figure(r) {
			return false
		}
	}
	return others > 0
}

// Ratio is a figure of r over that of the reference engine in the same group and
// workload; 0 where there is none, and for the reference itself.
func Ratio(rows []Row, r *Row, reference string, figure func(*Row) float64) float64 {
	if r.Engine == reference {
		return 0
	}
	for i := range rows {
		o := &rows[i]
		if o.Group == r.Group && o.Workload == r.Workload && o.Engine == reference && figure(o) > 0 {
			return figure(r) / figure(o)
		}
	}
	return 0
}
