package fuzz

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Writers is a history of several goroutines that commit at once, so that commits form
// groups and wait for each other's syncs. Each counts upwards in two keys of its own, in
// one batch; a store may lag behind what is acknowledged only where that was not synced.
type Writers struct {
	Setup Setup
	Mem   *vfs.Mem
	acks  [][]ack // of each writer
}

// RecordWriters plays such a history: each of n writers commits so many batches, every
// other one synced.
func RecordWriters(setup Setup, n, batches int) (*Writers, error) {
	w := &Writers{Setup: setup, Mem: vfs.NewCrashMem(), acks: make([][]ack, n)}
	db, err := lsm.Open(Dir, setup.Options(w.Mem))
	if err != nil {
		return nil, err
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for count := 1; count <= batches && errs[i] == nil; count++ {
				errs[i] = w.commit(db, i, count)
			}
		})
	}
	wg.Wait()
	return w, errors.Join(append(errs, db.Close())...)
}

// writerKeys are the two keys of a writer. They stand far apart, with other writers'
// keys between them.
func writerKeys(i int) (a, b []byte) {
	return fmt.Appendf(nil, "a%02d", i), fmt.Appendf(nil, "b%02d", i)
}

func (w *Writers) commit(db *lsm.DB, i, count int) error {
	a, b := writerKeys(i)
	value := binary.BigEndian.AppendUint64(nil, uint64(count))
	batch := db.NewBatch()
	batch.Set(a, value)
	batch.Set(b, value)
	o := &lsm.WriteOptions{Unsynced: (count+i)%2 == 0}
	if err := db.Apply(batch, o); err != nil {
		return err
	}
	w.acks[i] = append(w.acks[i], ack{w.Mem.Ops(), count, !o.Unsynced})
	return nil
}

// promised returns what writer i was told to be synced by operation at.
func (w *Writers) promised(i, at int) (count int) {
	for _, a := range w.acks[i] {
		if a.at <= at && a.synced {
			count = max(count, a.batch)
		}
	}
	return count
}

// CutEverywhere opens what a power cut may leave at each operation: no writer has lost
// what was acknowledged to it as synced, and no batch is there by half.
func (w *Writers) CutEverywhere(c Cuts) Explored {
	var x Explored
	states := func(yield func(demand) bool) {
		e := w.Mem.Explore()
		for k := range c.points(e, 0) {
			x.Points++
			o := c.StateOptions
			o.Expect = 1
			for i := range w.acks {
				o.Expect = o.Expect*31 + uint64(w.promised(i, k))
			}
			for s := range e.States(o) {
				if !yield(demand{state: s}) {
					return
				}
			}
		}
	}
	r := Recording{Setup: w.Setup}
	r.explore(&x, states, c.Limit, func(d demand) error {
		if err := w.reopen(d.state); err != nil {
			return fmt.Errorf("writers: %w", err)
		}
		return nil
	})
	return x
}

func (w *Writers) reopen(s vfs.State) error {
	db, err := lsm.Open(Dir, w.Setup.Options(s.Mem()))
	if err != nil {
		return err
	}
	for i := range w.acks {
		if err = w.check(db, i, w.promised(i, s.Point())); err != nil {
			break
		}
	}
	return errors.Join(err, db.Close())
}

// check compares what a store, or a snapshot of it, holds of one writer.
func (w *Writers) check(db view, i, atLeast int) error {
	a, b := writerKeys(i)
	counts := [2]int{}
	for j, key := range [][]byte{a, b} {
		v, err := db.Get(key)
		switch {
		case errors.Is(err, lsm.ErrNotFound):
		case err != nil:
			return err
		default:
			counts[j] = decodeBatch(v)
		}
	}
	switch {
	case counts[0] != counts[1]:
		return fmt.Errorf("%w: half a batch of writer %d: %d beside %d", ErrWrong, i, counts[0], counts[1])
	case counts[0] < atLeast:
		return fmt.Errorf("%w: writer %d has %d, promised were %d", ErrLost, i, counts[0], atLeast)
	}
	return nil
}
