package main

import "github.com/loamdb/loam/fuzz/metamorphic"

// metamorphicRuns plays histories on stores with many option sets, with crashes and faults.
func metamorphicRuns(c config) ([]figure, error) {
	seeds := make([]uint64, of(c.size, 1, 4, 5))
	for i := range seeds {
		seeds[i] = c.seed*1000 + uint64(i)
	}
	sets := metamorphic.Sets(of(c.size, 30, 60, 64))
	operations := of(c.size, 200, 600, 10_000)
	r := metamorphic.Run(metamorphic.Config{
		Seeds: seeds, Operations: operations, Sets: sets, Patience: of(c.size, 50_000, 300_000, 2_000_000),
	})
	return []figure{
		{"metamorphic-option-sets", float64(len(sets)), "sets", atLeast(of(c.size, 30.0, 30, 60))},
		{"metamorphic-histories", float64(r.Histories), "histories", atLeast(float64(len(sets) * len(seeds)))},
		{"metamorphic-operations", float64(r.Operations), "operations", atLeast(float64(len(sets) * len(seeds) * operations))},
		{"metamorphic-kills", float64(r.Kills), "kills", atLeast(of(c.size, 0.0, 50, 2_000))},
		{"metamorphic-power-cuts", float64(r.Cuts), "cuts", atLeast(of(c.size, 0.0, 50, 2_000))},
		{"metamorphic-faults", float64(r.Faults), "faults", atLeast(of(c.size, 0.0, 50, 2_000))},
		{"metamorphic-compactions", float64(r.Compactions), "compactions", atLeast(of(c.size, 1.0, 1_000, 20_000))},
		{"metamorphic-differences", float64(len(r.Failures)), "histories", exactly(0)},
	}, r.Err()
}
