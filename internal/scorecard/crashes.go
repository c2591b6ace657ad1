package main

import (
	"errors"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Power cuts. Every figure explores histories in both log modes; the seeds of the
// histories follow from the program's.

var modes = []lsm.LogMode{lsm.LogMapped, lsm.LogWritten}

// explored sums up histories.
type explored struct {
	fuzz.Reached
	fuzz.Explored
	errs []error // histories that failed while they were played
}

func (x *explored) failures() float64 { return float64(x.Failed + len(x.errs)) }

func (x *explored) err() error { return errors.Join(append(x.errs, x.Explored.Err())...) }

// add takes in what other histories gave.
func (x *explored) add(o *explored) {
	x.Explored.Add(o.Explored)
	x.errs = append(x.errs, o.errs...)
	x.Batches += o.Batches
	x.Operations += o.Operations
	x.Compactions += o.Compactions
	x.Rolls += o.Rolls
	x.Recycles += o.Recycles
}

// histories records so many histories in each mode and explores them.
func histories(c config, salt uint64, n int, shape fuzz.Shape, look func(*fuzz.Recording) fuzz.Explored) *explored {
	x := &explored{}
	for i := range n {
		for _, mode := range modes {
			r, err := fuzz.Record(fuzz.Setup{Seed: c.seed*1000 + salt + uint64(i), Mode: mode}, shape)
			if err != nil {
				x.errs = append(x.errs, err)
				continue
			}
			x.Explored.Add(look(r))
			x.Batches += r.Batches
			x.Operations += r.Operations
			x.Compactions += r.Compactions
			x.Rolls += r.Rolls
			x.Recycles += r.Recycles
		}
	}
	return x
}

func powerCuts(c config) ([]figure, error) {
	shape := fuzz.Ordinary(of(c.size, 60, 220, 1200))
	o := vfs.StateOptions{Random: of(c.size, 0, 1, 4)}
	kills := fuzz.Explored{}
	x := histories(c, 0, of(c.size, 1, 1, 2), shape, func(r *fuzz.Recording) fuzz.Explored {
		kills.Add(r.KillEverywhere(fuzz.Cuts{}))
		return r.CutEverywhere(fuzz.Cuts{StateOptions: o})
	})
	// How often an ordinary history rolls the manifest depends on the scheduler. One with
	// a flush after each batch surely does.
	rolls := histories(c, 500, 1, fuzz.Shape{Batches: of(c.size, 20, 120, 300), FlushEvery: 1, SyncOneIn: 1}, func(r *fuzz.Recording) fuzz.Explored {
		return r.CutEverywhere(fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 4, Cuts: 2}, Limit: 1200})
	})
	x.add(rolls)
	x.add(blobCuts(c))
	groups := fuzz.Explored{}
	for _, mode := range modes {
		w, err := fuzz.RecordWriters(fuzz.Setup{Seed: c.seed, Mode: mode}, 4, of(c.size, 10, 40, 100))
		if err != nil {
			x.errs = append(x.errs, err)
			continue
		}
		groups.Add(w.CutEverywhere(fuzz.Cuts{}))
	}
	states := float64(x.States)
	x.Explored.Add(groups)
	x.Explored.Add(kills)
	return []figure{
		{"crash-states", states, "states", atLeast(of(c.size, 1000.0, 20_000, 100_000))},
		{"crash-states-writers", float64(groups.States), "states", atLeast(100)},
		{"kill-states", float64(kills.States), "states", atLeast(100)},
		{"crash-operations", float64(x.Operations), "operations", target{}},
		{"crash-compactions", float64(x.Compactions), "compactions", atLeast(of(c.size, 1.0, 20, 20))},
		{"crash-manifest-rolls", float64(x.Rolls), "rolls", atLeast(of(c.size, 0.0, 5, 5))},
		{"crash-segments-recycled", float64(x.Recycles), "segments", atLeast(1)},
		{"crash-violations", x.failures(), "states", exactly(0)},
	}, x.err()
}

// blobCuts cuts the power of histories that put most values into blob files.
func blobCuts(c config) *explored {
	x := &explored{}
	for i, mode := range modes {
		setup := fuzz.Setup{Seed: c.seed*1000 + 700 + uint64(i), Mode: mode, Blobs: true}
		r, err := fuzz.Record(setup, fuzz.Ordinary(of(c.size, 30, 120, 600)))
		if err != nil {
			x.errs = append(x.errs, err)
			continue
		}
		x.Explored.Add(r.CutEverywhere(fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 4, Cuts: 2}, Limit: of(c.size, 300, 1200, 0)}))
	}
	return x
}

func cutsInRecovery(c config) ([]figure, error) {
	shape := fuzz.Ordinary(of(c.size, 60, 150, 600))
	every := of(c.size, 400, 150, 100)
	deep := fuzz.Explored{}
	x := histories(c, 100, 1, shape, func(r *fuzz.Recording) fuzz.Explored {
		deep.Add(r.CutInRecovery(fuzz.Cuts{}, 4*every, 3))
		return r.CutInRecovery(fuzz.Cuts{}, every, 2)
	})
	states := float64(x.States)
	x.Explored.Add(deep)
	reopened, err := cutsAfterReopening(c)
	if err != nil {
		x.errs = append(x.errs, err)
	}
	x.Explored.Add(reopened)
	return []figure{
		{"reopened-states", float64(reopened.States), "states", atLeast(of(c.size, 100.0, 5_000, 50_000))},
		{"recovery-states", states, "states", atLeast(of(c.size, 100.0, 2_000, 20_000))},
		{"recovery-states-third-cut", float64(deep.States), "states", atLeast(of(c.size, 1.0, 100, 1_000))},
		{"recovery-violations", x.failures(), "states", exactly(0)},
	}, x.err()
}

// cutsAfterReopening cuts the power after a process has ended badly and another one, on the
// same machine, has gone on.
func cutsAfterReopening(c config) (x fuzz.Explored, err error) {
	shape := fuzz.Shape{Batches: 30, SyncOneIn: 3, FlushEvery: 3, CompactEvery: 20, LongKeys: true}
	for i, end := range fuzz.Ends {
		for _, mode := range modes {
			setup := fuzz.Setup{Seed: c.seed*1000 + 150 + uint64(i), Mode: mode}
			y, err := fuzz.CutAfterReopening(setup, shape, end, of(c.size, 1, 8, 80), fuzz.Cuts{})
			if err != nil {
				return x, err
			}
			x.Add(y)
		}
	}
	return x, nil
}

func lostRecords(c config) ([]figure, error) {
	shape := fuzz.Ordinary(of(c.size, 60, 100, 400))
	shape.SyncOneIn = 10 // so that there is something to lose
	every := of(c.size, 200, 40, 20)
	x := histories(c, 200, 1, shape, func(r *fuzz.Recording) fuzz.Explored {
		return r.WriteOnAfterCuts(fuzz.Cuts{}, every)
	})
	return []figure{
		{"written-on-states", float64(x.States), "states", atLeast(of(c.size, 100.0, 1_000, 5_000))},
		{"lost-records-returned", x.failures(), "states", exactly(0)},
	}, x.err()
}
