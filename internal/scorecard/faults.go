package main

import (
	"errors"

	"github.com/loamdb/loam/fuzz"
)

// Faults and damage. A violation is a wrong answer, an acknowledgement that should not
// have been given, an error without a type, a goroutine left behind, or a promise broken
// afterwards. A panic ends the program.

// sweeps runs sweeps over so many histories of the shape in each mode. One in three is encrypted,
// so of two at least one is not.
func sweeps(c config, salt uint64, n int, shape fuzz.Shape, kinds ...fuzz.Faulty) (*explored, error) {
	x := &explored{}
	for i := range n {
		for m, mode := range modes {
			for _, f := range kinds {
				if c.size == short {
					f.Every = 20
				}
				found, err := fuzz.SweepFaults(fuzz.Setup{Seed: c.seed*1000 + salt + uint64(i+m), Mode: mode}, shape, f)
				if err != nil {
					x.errs = append(x.errs, err)
				}
				x.Explored.Add(found)
			}
		}
	}
	return x, x.err()
}

func failedSyncs(c config) ([]figure, error) {
	x, err := sweeps(c, 300, of(c.size, 1, 3, 20), fuzz.Ordinary(60), fuzz.AnySync)
	return []figure{
		{"failed-syncs", float64(x.Points), "faults", atLeast(of(c.size, 2.0, 200, 1_000))},
		{"failed-sync-violations", x.failures(), "runs", exactly(0)},
	}, err
}

// failedCalls makes every call of a short history fail in every way, and every call of
// longer ones in one way each.
func failedCalls(c config) ([]figure, error) {
	brief := fuzz.Shape{Batches: of(c.size, 12, 18, 60), FlushEvery: 5, CompactEvery: 10, Reopens: 1, SyncOneIn: 3}
	every, err := sweeps(c, 451, of(c.size, 1, 1, 4), brief, fuzz.EveryError)
	turns, err2 := sweeps(c, 400, of(c.size, 1, 2, 60), fuzz.Ordinary(60), fuzz.AnyCall)
	return []figure{
		{"failed-calls-every-error", float64(every.Points), "faults", atLeast(of(c.size, 100.0, 5_000, 40_000))},
		{"failed-calls-in-turn", float64(turns.Points), "faults", atLeast(of(c.size, 20.0, 1_000, 40_000))},
		{"failed-call-violations", every.failures() + turns.failures(), "runs", exactly(0)},
	}, errors.Join(err, err2)
}

func failedReads(c config) ([]figure, error) {
	x, err := sweeps(c, 500, of(c.size, 1, 4, 20), fuzz.Ordinary(60), fuzz.AnyRead, fuzz.AnyFlip)
	return []figure{
		{"failed-reads", float64(x.Points), "faults", atLeast(of(c.size, 5.0, 500, 2_000))},
		{"failed-read-violations", x.failures(), "runs", exactly(0)},
	}, err
}

// fullDevice fills a simulated device: calls that ask for space are refused. A real one is
// filled by fuzz's TestARealDeviceFillsAndIsFreed, where one can be mounted.
func fullDevice(c config) ([]figure, error) {
	rounds := of(c.size, 10, 200, 1000) // in each mode
	x := &explored{}
	var g few
	for _, mode := range modes {
		g.run(func() {
			found, err := fuzz.FillAndFree(fuzz.Setup{Seed: c.seed, Mode: mode}, rounds)
			g.mu.Lock()
			defer g.mu.Unlock()
			if err != nil {
				x.errs = append(x.errs, err)
			}
			x.Explored.Add(found)
		})
	}
	g.wait()
	return []figure{
		{"simulated-device-filled", float64(x.States), "rounds", atLeast(float64(len(modes) * rounds))},
		{"writes-refused", float64(x.Points), "writes", atLeast(1)},
		{"full-device-violations", x.failures(), "rounds", exactly(0)},
	}, x.err()
}

// damaged plays the histories whose files are damaged: one closed, one killed.
func damaged(c config, look func(*fuzz.Damaged) fuzz.Explored) (*explored, error) {
	x := &explored{}
	for _, clean := range []bool{true, false} {
		for _, mode := range modes {
			d, err := fuzz.NewDamaged(fuzz.Setup{Seed: c.seed + 600, Mode: mode}, fuzz.Shape{
				Batches: 40, SyncOneIn: 3, FlushEvery: 15, CompactEvery: 30,
			}, clean)
			if err != nil {
				x.errs = append(x.errs, err)
				continue
			}
			x.Explored.Add(look(d))
		}
	}
	return x, x.err()
}

func damagedBytes(c config) ([]figure, error) {
	x, err := damaged(c, func(d *fuzz.Damaged) fuzz.Explored {
		return d.EveryByte(of(c.size, 100, 1, 1))
	})
	return []figure{
		{"damaged-bytes", float64(x.States), "damages", atLeast(of(c.size, 1_000.0, 100_000, 200_000))},
		{"damages-detected", float64(x.Points), "damages", target{}},
		{"damage-violations", x.failures(), "damages", exactly(0)},
	}, err
}

// salvagedStores verifies and salvages stores with damage of both kinds.
func salvagedStores(c config) ([]figure, error) {
	x, err := damaged(c, func(d *fuzz.Damaged) fuzz.Explored {
		x := d.SalvageBytes(of(c.size, 400, 23, 1))
		x.Add(d.SalvageCuts(of(c.size, 1997, 499, 11)))
		return x
	})
	return []figure{
		{"salvaged-stores", float64(x.States), "damages", atLeast(of(c.size, 300.0, 5_000, 100_000))},
		{"damages-verified", float64(x.Points), "damages", target{}},
		{"salvage-violations", x.failures(), "damages", exactly(0)},
	}, err
}

func damagedFiles(c config) ([]figure, error) {
	x, err := damaged(c, func(d *fuzz.Damaged) fuzz.Explored { return d.EveryCut(of(c.size, 997, 53, 1)) })
	return []figure{
		{"cut-and-swapped-files", float64(x.States), "damages", atLeast(of(c.size, 100.0, 2_000, 50_000))},
		{"cuts-detected", float64(x.Points), "damages", target{}},
		{"cut-violations", x.failures(), "damages", exactly(0)},
	}, err
}
