package main

import (
	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
)

// wholeTables cuts the power in, kills, and fails the calls of checkpoints and ingests, with
// tables linked and copied.
func wholeTables(c config) ([]figure, error) {
	var x explored
	var cut, killed, faults, ingests fuzz.Explored
	take := func(into *fuzz.Explored, found fuzz.Explored, err error) {
		into.Add(found)
		x.Explored.Add(found)
		if err != nil {
			x.errs = append(x.errs, err)
		}
	}
	few := fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 6, Cuts: 2}}
	brief := fuzz.Shape{Batches: 12, SyncOneIn: 4, FlushEvery: 4}
	for i := range uint64(of(c.size, 1, 2, 20)) {
		setup := fuzz.Setup{Seed: c.seed*1000 + 700 + i, Mode: modes[i%2]}
		for _, linked := range []bool{true, false} {
			r, err := fuzz.RecordCheckpoint(setup, fuzz.Shape{Batches: 30, SyncOneIn: 3, FlushEvery: 5, CompactEvery: 9}, linked)
			if err == nil {
				take(&cut, r.CutCheckpoint(few), nil)
			} else {
				x.errs = append(x.errs, err)
			}
			y, err := fuzz.KillCheckpoint(setup, fuzz.Shape{Batches: 10, FlushEvery: 3}, linked, few)
			take(&killed, y, err)
			y, err = fuzz.SweepCheckpoint(setup, brief, fuzz.AnyCall, linked)
			take(&faults, y, err)
			y, err = fuzz.SweepIngest(setup, brief, fuzz.AnyCall, linked)
			take(&faults, y, err)
		}
		r, err := fuzz.RecordIngests(setup, fuzz.Shape{Batches: of(c.size, 20, 60, 200), SyncOneIn: 6, FlushEvery: 12, CompactEvery: 12, Reopens: 1}, 4)
		if err == nil {
			take(&ingests, r.CutEverywhere(fuzz.Cuts{StateOptions: few.StateOptions, Limit: of(c.size, 500, 3000, 0)}), nil)
		} else {
			x.errs = append(x.errs, err)
		}
	}
	return []figure{
		{"checkpoint-states", float64(cut.States), "states", atLeast(of(c.size, 200.0, 2_000, 20_000))},
		{"checkpoint-killed-states", float64(killed.States), "states", atLeast(of(c.size, 100.0, 500, 5_000))},
		{"ingest-states", float64(ingests.States), "states", atLeast(of(c.size, 200.0, 2_000, 20_000))},
		{"checkpoint-and-ingest-faults", float64(faults.Points), "faults", atLeast(of(c.size, 50.0, 200, 2_000))},
		{"checkpoint-and-ingest-violations", x.failures(), "states", exactly(0)},
	}, x.err()
}
