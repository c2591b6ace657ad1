package main

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Blocks in the wrong place, what Verify finds, and snapshots that are held for long.

// misdirectedBlocks writes each block of a small store over each other one, or exchanges the
// two, and does so to sectors of all files.
func misdirectedBlocks(c config) ([]figure, error) {
	d, err := fuzz.NewAligned(fuzz.Setup{Seed: c.seed*1000 + 800}, of(c.size, 3, 11, 20))
	if err != nil {
		return nil, err
	}
	blocks := d.MisdirectBlocks(of(c.size, 20, 1, 1))
	sectors := d.MisdirectSectors(of(c.size, 40, 5, 1))
	return []figure{
		{"misdirected-blocks", float64(blocks.States), "pairs", atLeast(of(c.size, 10.0, 1_000, 5_000))},
		{"misdirected-sectors", float64(sectors.States), "pairs", atLeast(of(c.size, 10.0, 500, 5_000))},
		{"misdirected-met-by-reads", float64(blocks.Points + sectors.Points), "pairs", target{}},
		{"misdirected-violations", float64(blocks.Failed + sectors.Failed), "pairs", exactly(0)},
	}, errors.Join(blocks.Err(), sectors.Err())
}

// verifiedStores has Verify find the damages of R13, R14 and R15, those included that no read
// would meet.
func verifiedStores(c config) ([]figure, error) {
	x, err := damaged(c, func(d *fuzz.Damaged) fuzz.Explored {
		x := d.VerifyBytes(of(c.size, 400, 17, 1))
		x.Add(d.VerifyCuts(of(c.size, 1997, 211, 3)))
		x.Add(d.VerifyMisdirected(of(c.size, 997, 37, 1)))
		return x
	})
	speed, serr := verifySpeed(of(c.size, 8<<20, 64<<20, 512<<20))
	return []figure{
		{"verified-damages", float64(x.States), "damages", atLeast(of(c.size, 500.0, 10_000, 200_000))},
		{"verified-damages-found", float64(x.Points), "damages", target{}},
		{"verify-violations", x.failures(), "damages", exactly(0)},
		{"verify-speed", speed, "MB/s", target{}},
	}, errors.Join(err, serr)
}

// verifySpeed returns how many millions of bytes of tables Verify reads in a second, of a
// store in memory with the default options.
func verifySpeed(bytes int) (float64, error) {
	fs := vfs.NewMem()
	o := &lsm.Options{ScrubBytesPerSec: -1}
	seams.Inject(o, seams.Seams{FS: fs})
	db, err := lsm.Open("db", o)
	if err != nil {
		return 0, err
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 200)
	for written := 0; err == nil && written < bytes; {
		b := db.NewBatch()
		for range 1000 {
			for i := range value {
				value[i] = 'a' + byte(rnd.Uint32()%16)
			}
			b.Set(binary.BigEndian.AppendUint64(nil, rnd.Uint64()), value)
		}
		written += int(b.Bytes())
		err = db.Apply(b, lsm.NoSync)
	}
	if err == nil {
		err = db.Compact(context.Background(), nil, nil)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, err
	}
	began := time.Now()
	r, err := lsm.Verify(context.Background(), "db", o)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return 0, err
	}
	return float64(int64(float64(r.Bytes) / 1e6 / time.Since(began).Seconds())), nil
}

// heldSnapshots compares snapshots that were held over many compactions with what they were.
func heldSnapshots(c config) ([]figure, error) {
	var x explored
	fewest := math.Inf(1)
	n := of(c.size, 50, 500, 1000)
	var g few
	for i, mode := range modes {
		g.run(func() {
			y, err := fuzz.HoldSnapshots(fuzz.Setup{Seed: c.seed*1000 + 900 + uint64(i), Mode: mode}, n, of(c.size, 10, 100, 100))
			g.mu.Lock()
			defer g.mu.Unlock()
			if err != nil {
				x.errs = append(x.errs, err)
			}
			x.Explored.Add(y)
			fewest = min(fewest, float64(y.Points))
		})
	}
	g.wait()
	return []figure{
		{"held-snapshots", float64(x.States), "snapshots", atLeast(float64(2 * n))},
		{"held-over-compactions", fewest, "compactions", atLeast(of(c.size, 10.0, 100, 100))},
		{"held-snapshots-changed", x.failures(), "snapshots", exactly(0)},
	}, x.err()
}
