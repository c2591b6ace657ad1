package workload

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// diffs are about what a store tells of its past.
var diffs = []Workload{
	{Name: "diff", Doc: "everything that was set since 3% of the keys were overwritten, as net changes; counts changes", Start: Spare, Reads: true, run: diff},
}

// changedShare is the part of all records that is overwritten before diff: one in 33.
const changedShare = 33

func diff(r *run) error {
	differ, ok := r.store.(engine.Differ)
	if !ok {
		return engine.ErrUnsupported
	}
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	if err := differ.Mark(); err != nil {
		return err
	}
	changed := map[uint64]bool{}
	for n := max(r.Records/changedShare, 1); uint64(len(changed)) < n; {
		i := w.rng.Uint64N(r.Records)
		changed[i] = true
		if err := w.set(r, i, false); err != nil {
			return err
		}
	}
	if _, err := r.store.Settle(r.ctx); err != nil {
		return err
	}
	r.live = r.filledBytes()
	keys := make([][]byte, 0, len(changed))
	seen := uint64(0)
	for i := range changed {
		keys = append(keys, r.data.keys.Present(nil, i))
	}
	slices.SortFunc(keys, bytes.Compare)
	var wrong error
	read := int64(0)
	err = r.onlyOnce("diff", func() error {
		return differ.Diff(r.ctx, func(key, value []byte) {
			if wrong == nil && (seen >= uint64(len(keys)) || !bytes.Equal(key, keys[seen]) || len(value) < r.data.value.Min()) {
				wrong = fmt.Errorf("%w: change %d is of %q, with %d bytes", ErrWrongAnswer, seen, key, len(value))
			}
			seen++
			read += int64(len(key) + len(value))
		})
	})
	r.result.Ops, r.result.UserRead = seen, read
	if err == nil && wrong == nil && seen != uint64(len(keys)) {
		wrong = fmt.Errorf("%w: %d changes, not %d", ErrWrongAnswer, seen, len(keys))
	}
	return errors.Join(err, wrong)
}
