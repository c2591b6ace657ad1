package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// RecordIngests plays a history in which every so many-th batch is followed by one that is
// ingested as a table. To the ledger it is a synced batch.
func RecordIngests(setup Setup, shape Shape, every int) (*Recording, error) {
	r := &Recording{Setup: setup, Mem: vfs.NewCrashMem(), Ledger: NewLedger()}
	p := &Player{Setup: setup, FS: r.Mem, Ops: r.Mem.Ops, Ledger: r.Ledger}
	if err := p.playIngests(NewHistory(setup.Seed, shape), every); err != nil {
		p.Abandon()
		return nil, fmt.Errorf("seed %d, %s: %w", setup.Seed, modeName(setup.Mode), err)
	}
	r.Reached = Reached{Stats: p.Stats(), Operations: r.Mem.Ops()}
	return r, nil
}

func (p *Player) playIngests(steps []Step, every int) error {
	if err := p.Open(); err != nil {
		return err
	}
	for i, s := range steps {
		if err := p.Do(s); err != nil {
			return fmt.Errorf("step %d, %s: %w", i, s.Kind, err)
		}
		if s.Kind == Apply && i%every == 0 {
			if err := p.ingest(s.Ops); err != nil {
				return fmt.Errorf("step %d, ingest: %w", i, err)
			}
		}
	}
	return p.Close()
}

// ingest commits the puts among ops as a table.
func (p *Player) ingest(ops []Op) error {
	n, file, err := p.outsideTable(ops)
	if err == nil {
		err = p.DB.Ingest(context.Background(), file)
	}
	if err != nil {
		return err
	}
	p.Ledger.Acknowledge(n, p.ops(), true)
	return p.FS.Remove(file)
}

// outsideTable issues the puts among ops as a batch, and writes it to a file.
func (p *Player) outsideTable(ops []Op) (n int, file string, err error) {
	puts := slices.DeleteFunc(slices.Clone(ops), func(o Op) bool { return o.Delete || o.Upper != "" })
	slices.SortStableFunc(puts, func(a, b Op) int { return strings.Compare(a.Key, b.Key) })
	puts = slices.CompactFunc(puts, func(a, b Op) bool { return a.Key == b.Key })
	n, all := p.Ledger.Issue(puts)
	slices.SortFunc(all, func(a, b Op) int { return strings.Compare(a.Key, b.Key) })
	file = fmt.Sprintf("outside-%d.sst", n)
	w, err := lsm.NewTableWriter(file, p.Setup.Options(p.FS))
	if err != nil {
		return n, file, err
	}
	for _, o := range all {
		if err := w.Set([]byte(o.Key), []byte(o.Value)); err != nil {
			return n, file, err
		}
	}
	return n, file, w.Finish()
}

// SweepIngest makes each call to the file system go wrong that is made while a table is
// ingested, as f says. Ingest must succeed, or fail with an error that has a type; then the
// table is not there and can be ingested, or the store has stopped, and it may be there
// when it is opened again. Nothing else is lost.
func SweepIngest(setup Setup, shape Shape, f Faulty, linked bool) (Explored, error) {
	steps := NewHistory(setup.Seed, shape)
	_, p, err := beforeCheckpoint(setup, steps, linked)
	if err != nil {
		return Explored{}, err
	}
	defer p.Abandon()
	_, file, err := p.outsideTable(ingested)
	if err != nil {
		return Explored{}, err
	}
	faults := p.FS.(*vfs.Faults)
	before := faults.Count(f.Kinds, f.Glob)
	if err := p.DB.Ingest(context.Background(), file); err != nil {
		return Explored{}, err
	}
	calls := faults.Count(f.Kinds, f.Glob) - before
	var x Explored
	sweep(&x, f.rules(calls), func(r vfs.Rule) (met bool, err error) {
		met, err = faultyIngest(setup, steps, linked, r)
		if err != nil {
			err = fmt.Errorf("seed %d, %s, linked %v, %s call %d of %d, %s, for ever %v, %v: %w",
				setup.Seed, modeName(setup.Mode), linked, r.Kinds, r.Skip, calls, effectName(r.Effect), r.Forever, r.Err, err)
		}
		return met, err
	})
	return x, nil
}

// ingested is what SweepIngest ingests: new keys, and some that histories write.
var ingested = []Op{{Key: "a new key", Value: "1"}, {Key: "key-0003", Value: "2"}, {Key: "shared/prefix/0000", Value: "3"}, {Key: "z", Value: "4"}}

// faultyIngest ingests a table under one rule and judges what comes of it.
func faultyIngest(setup Setup, steps []Step, linked bool, r vfs.Rule) (met bool, err error) {
	mem, p, err := beforeCheckpoint(setup, steps, linked)
	if err != nil {
		return false, err
	}
	defer p.Abandon()
	// Unsynced, so that there is something to flush, and to lose.
	if err := p.apply(Step{Kind: Apply, Ops: []Op{{Key: "key-0003", Value: "before"}, {Key: "m", Value: "before"}}}); err != nil {
		return false, err
	}
	n, file, err := p.outsideTable(ingested)
	if err != nil {
		return false, err
	}
	faults := p.FS.(*vfs.Faults)
	faults.Add(r)
	failure := p.DB.Ingest(context.Background(), file)
	met = slices.ContainsFunc(faults.Fired(), func(i *vfs.Injected) bool { return i.Err != noLinks.Err })
	faults.Clear()
	if err := p.afterIngest(n, file, failure, r.Effect == vfs.Drop); err != nil {
		return met, err
	}
	synced, acked := p.Ledger.Promised(math.MaxInt)
	if r.Effect == vfs.Drop {
		acked = synced
	}
	if _, err := reopen(setup, mem.Copy(), p.Ledger, acked); err != nil {
		return met, fmt.Errorf("after a kill (%v): %w", failure, err)
	}
	if _, err := reopen(setup, mem.CrashCopy(), p.Ledger, synced); err != nil {
		return met, fmt.Errorf("after a power cut (%v): %w", failure, err)
	}
	return met, nil
}

// afterIngest judges the outcome of an Ingest while the store is open, and goes on with it.
func (p *Player) afterIngest(n int, file string, failure error, lossy bool) error {
	again := false
	switch {
	case failure == nil:
		p.Ledger.Acknowledge(n, p.ops(), true)
	case !typed(failure) && !errors.Is(failure, lsm.ErrInvalidTable):
		return fmt.Errorf("%w: no type in: %w", ErrWrong, failure)
	case errors.Is(failure, lsm.ErrPoisoned):
		if p.DB.Set([]byte("probe"), nil, lsm.NoSync) == nil {
			return fmt.Errorf("%w: a store that had failed acknowledged a write", ErrWrong)
		}
	default:
		again = true
	}
	stored, err := p.Ledger.Check(p.DB, p.Ledger.Acknowledged())
	if err != nil {
		return err
	}
	if failure != nil && stored == n {
		return fmt.Errorf("%w: a table that was refused (%v) is there", ErrWrong, failure)
	}
	if again {
		err := p.DB.Ingest(context.Background(), file)
		switch {
		case err == nil:
			p.Ledger.Acknowledge(n, p.ops(), true)
		case errors.Is(err, lsm.ErrPoisoned):
			return nil // the fault was met by the log's preparer, whose work is later needed
		case !lossy:
			return fmt.Errorf("once more after %v: %w", failure, err)
		default:
			p.Ledger.Withdraw() // what the file held is gone
			return nil
		}
	}
	if failure == nil || again {
		err = p.apply(Step{Kind: Apply, Sync: true, Ops: []Op{{Key: "a new key", Value: "after"}}})
	}
	if errors.Is(err, lsm.ErrPoisoned) {
		return nil // as above
	}
	return err
}
