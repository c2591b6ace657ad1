package fuzz

import (
	"context"
	"fmt"

	"github.com/loamdb/loam/internal/vfs"
)

// HoldSnapshots takes so many snapshots of a store, one after each batch of a history, and
// holds all of them until so many compactions have run after the last one. Then each must
// hold what it held when it was taken, though meanwhile everything was overwritten or
// deleted, by key and by range. Explored.States counts the snapshots, Points the
// compactions that each was held over at least.
func HoldSnapshots(setup Setup, snapshots, compactions int) (x Explored, err error) {
	p := &Player{Setup: setup, FS: vfs.NewMem(), Ledger: NewLedger()}
	if err := p.Open(); err != nil {
		return x, err
	}
	defer p.Abandon()
	shape := Shape{Batches: snapshots, Keys: 60, FlushEvery: 12, CompactEvery: 40}
	if err := p.playHeld(NewHistory(setup.Seed, shape), true); err != nil {
		return x, err
	}
	x.Points, err = p.compactOver(compactions)
	if err != nil {
		return x, err
	}
	for len(p.held) > 0 {
		x.States++
		if err := p.release(); err != nil {
			x.fail(fmt.Errorf("seed %d, %s, snapshot %d: %w", setup.Seed, modeName(setup.Mode), x.States, err))
		}
	}
	return x, p.Close()
}

// playHeld plays steps, and takes a snapshot after each batch. One that is not right from the
// start fails at once.
func (p *Player) playHeld(steps []Step, hold bool) error {
	for i, s := range steps {
		err := p.Do(s)
		if err == nil && s.Kind == Apply && hold {
			err = p.holdSound()
		}
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", i, s.Kind, err)
		}
	}
	return nil
}

// holdSound takes a snapshot and looks at it.
func (p *Player) holdSound() error {
	if err := p.hold(); err != nil {
		return err
	}
	h := p.held[len(p.held)-1]
	got, _, err := read(h.snap)
	if err == nil && got != h.want {
		err = fmt.Errorf("%w: a new snapshot holds %d entries instead of %d, or other values", ErrWrong, got.entries, h.want.entries)
	}
	return err
}

// compactOver writes, deletes and compacts until so many compactions have run, and returns how
// many that were.
func (p *Player) compactOver(compactions int) (int, error) {
	ran := func() int {
		m := p.DB.Metrics()
		return int(m.Compactions)
	}
	before := ran()
	for round := uint64(1); ran()-before < compactions; round++ {
		if round > uint64(10*compactions) {
			return ran() - before, fmt.Errorf("%w: compactions do not run", ErrWrong)
		}
		steps := NewHistory(p.Setup.Seed+round<<32, Shape{Batches: 3, Keys: 60})
		steps = append(steps, Step{Kind: Apply, Ops: []Op{{Key: "k", Upper: "l"}, {Key: "shared", Upper: "t"}}}, Step{Kind: Flush})
		if err := p.playHeld(steps, false); err != nil {
			return 0, err
		}
		if err := p.DB.Compact(context.Background(), nil, nil); err != nil {
			return 0, err
		}
	}
	return ran() - before, nil
}
