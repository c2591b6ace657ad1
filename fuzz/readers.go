package fuzz

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// ReadBesideWriters lets writers commit batches that write one number to all of a
// writer's keys, while as many readers take snapshots: in each, the keys of a writer
// hold the same number, and numbers never go back.
func ReadBesideWriters(setup Setup, writers, batches, keys int) error {
	db, err := lsm.Open(Dir, setup.Options(vfs.NewMem()))
	if err != nil {
		return err
	}
	errs := make([]error, 2*writers)
	var writing atomic.Int64
	writing.Store(int64(writers))
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			defer writing.Add(-1)
			for n := 1; n <= batches && errs[i] == nil; n++ {
				batch := db.NewBatch()
				for k := range keys {
					batch.Set(fmt.Appendf(nil, "%02d/%04d", i, k), []byte(encodeBatch(n)))
				}
				errs[i] = db.Apply(batch, lsm.NoSync)
			}
		})
		wg.Go(func() {
			last := 0
			for errs[writers+i] == nil && writing.Load() > 0 {
				last, errs[writers+i] = readWhole(db, i, keys, last)
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, db.Close())...)
}

// readWhole reads all keys of a writer in one snapshot.
func readWhole(db *lsm.DB, writer, keys, last int) (n int, err error) {
	snap, err := db.NewSnapshot()
	if err != nil {
		return last, err
	}
	defer snap.Close() // always nil
	found := 0
	for e, err := range snap.Scan(fmt.Appendf(nil, "%02d/", writer), fmt.Appendf(nil, "%02d0", writer)) {
		if err != nil {
			return last, err
		}
		if found++; found == 1 {
			n = decodeBatch(e.Value)
		}
		if got := decodeBatch(e.Value); got != n {
			return last, fmt.Errorf("%w: half a batch: %s has %d beside %d", ErrWrong, e.Key, got, n)
		}
	}
	switch {
	case found != 0 && found != keys:
		return last, fmt.Errorf("%w: %d keys of %d", ErrWrong, found, keys)
	case n < last:
		return last, fmt.Errorf("%w: a snapshot goes back from %d to %d", ErrWrong, last, n)
	}
	return n, nil
}

// CutNewStore makes a store in a directory that, with its parents, does not exist,
// commits one synced batch and cuts the power in the hardest way.
func CutNewStore(dir string) error {
	setup := Setup{}
	mem := vfs.NewCrashMem()
	db, err := lsm.Open(dir, setup.Options(mem))
	if err != nil {
		return err
	}
	defer db.Close() // nothing depends on it
	if err := db.Set([]byte("k"), []byte("v"), lsm.Sync); err != nil {
		return err
	}
	again, err := lsm.Open(dir, setup.Options(mem.CrashCopy()))
	if err != nil {
		return err
	}
	_, err = again.Get([]byte("k"))
	return errors.Join(err, again.Close())
}
