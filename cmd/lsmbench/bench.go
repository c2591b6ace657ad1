package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

// bench runs workloads on engines, one engine after the other for each workload, so
// that both meet the same state of the machine.
type bench struct {
	opts     *options
	dir      string // of all stores; the caller removes it
	progress *progress
	bases    map[string]*openStore // by engine: the store that holds every key
	serial   int                   // of the next store's directory
}

// openStore is a store and where it is.
type openStore struct {
	Store
	dir string
}

func newBench(opts *options, dir string, pr *progress) *bench {
	return &bench{opts: opts, dir: dir, progress: pr, bases: map[string]*openStore{}}
}

// all runs the chosen workloads and returns their rows: for each workload one per
// engine, the median of the repeats.
func (b *bench) all(ctx context.Context) (rows []row, err error) {
	defer func() { err = errors.Join(err, b.closeBases()) }()
	for _, w := range b.opts.workloads {
		byEngine := make([][]row, len(b.opts.engines))
		for rep := range b.opts.repeats {
			for i := range b.opts.engines {
				// Every other repeat in reverse, so that no engine always goes first.
				if rep%2 == 1 {
					i = len(b.opts.engines) - 1 - i
				}
				e := b.opts.engines[i]
				one, err := b.one(ctx, w, e)
				if err != nil {
					return rows, fmt.Errorf("%s on %s: %w", w.name, e.Name(), err)
				}
				byEngine[i] = append(byEngine[i], one)
			}
		}
		for _, repeats := range byEngine {
			rows = append(rows, median(repeats))
		}
	}
	return rows, nil
}

// median returns the row whose rate is in the middle, the lower of two.
func median(rows []row) row {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b row) int { return compareFloat(a.Rate, b.Rate) })
	return rows[(len(rows)-1)/2]
}

// one runs one workload once on one engine.
func (b *bench) one(ctx context.Context, w workload, e Engine) (row, error) {
	store, err := b.storeFor(ctx, w, e)
	if err != nil {
		return row{}, err
	}
	runtime.GC()
	before := deviceWrites()
	r, err := b.execute(ctx, w, e, store)
	if err != nil {
		return row{}, errors.Join(err, b.release(w, e, store))
	}
	result := r.row(w, e)
	if w.writes {
		if err := result.settle(ctx, store); err != nil {
			return row{}, errors.Join(err, b.release(w, e, store))
		}
		result.setWritten(deviceWrites() - before)
	}
	result.DiskBytes, err = dirSize(store.dir)
	if live := liveBytes(w, r); live > 0 {
		result.SpaceAmp = float64(result.DiskBytes) / float64(live)
	}
	if err == nil && (w.writes || w.stirs) && (w.fills || w.filled) && !w.deletes {
		err = b.rest(ctx, store)
	}
	return result, errors.Join(err, b.release(w, e, store))
}

// rest lets a store that was written, and is kept, tidy up. Nobody is charged for it;
// but it must not go on while another engine has its turn.
func (b *bench) rest(ctx context.Context, s Store) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.opts.rest):
	}
	_, err := s.Settle(ctx)
	return err
}

func (b *bench) execute(ctx context.Context, w workload, e Engine, store Store) (*run, error) {
	p := b.opts.params
	keys, err := newKeyspace(p.n, p.keyLen)
	if err != nil {
		return nil, err
	}
	r := &run{ctx: ctx, p: p, store: store, keys: keys, values: newValues(p.valueLen, p.seed), progress: new(atomic.Int64)}
	b.progress.start(w.name+" "+e.Name(), r.progress)
	defer b.progress.stop()
	return r, w.run(r)
}

// liveBytes is how much a store's keys and values are, or 0 where that is not known.
func liveBytes(w workload, r *run) int64 {
	switch {
	case w.deletes:
		return 0
	case w.filled:
		return int64(r.p.n) * int64(r.p.keyLen+r.p.valueLen)
	}
	return r.bytes
}

func (b *bench) storeFor(ctx context.Context, w workload, e Engine) (*openStore, error) {
	if !w.filled {
		return b.open(e)
	}
	if base := b.bases[e.Name()]; base != nil {
		return base, nil
	}
	base, err := b.open(e)
	if err != nil {
		return nil, err
	}
	b.bases[e.Name()] = base
	filler := fillWorkloads[slices.IndexFunc(fillWorkloads, func(w workload) bool { return w.fills })]
	filler.name = "filling for " + w.name
	if _, err := b.execute(ctx, filler, e, base); err != nil {
		return nil, err
	}
	if _, err := base.Settle(ctx); err != nil {
		return nil, err
	}
	return base, b.rest(ctx, base)
}

func (b *bench) open(e Engine) (*openStore, error) {
	b.serial++
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", e.Name(), b.serial))
	s, err := e.Open(dir, b.opts.config)
	if err != nil {
		return nil, err
	}
	return &openStore{Store: s, dir: dir}, nil
}

// release keeps the store for the workloads that follow, or closes and removes it.
func (b *bench) release(w workload, e Engine, s *openStore) error {
	switch {
	case w.fills:
		old := b.bases[e.Name()]
		b.bases[e.Name()] = s
		if old == nil {
			return nil
		}
		return old.remove()
	case w.deletes:
		delete(b.bases, e.Name())
		return s.remove()
	case w.filled:
		return nil
	}
	return s.remove()
}

func (s *openStore) remove() error {
	return errors.Join(s.Close(), os.RemoveAll(s.dir))
}

func (b *bench) closeBases() error {
	var errs []error
	for _, s := range b.bases {
		errs = append(errs, s.remove())
	}
	clear(b.bases)
	return errors.Join(errs...)
}
