package workload

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/hdr"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

// watches are about what a store tells of its present.
var watches = []Workload{
	{Name: "watchfanout", Doc: "one writer, 100 watchers of its keys: from a Set to each watcher; the next Set when all have been told", run: watchFanOut},
}

const (
	watchers = 100
	// watchedKeys is how many keys are written in turn, watchedBytes the length of values.
	watchedKeys  = 100
	watchedBytes = 100
	// watchPatience is for how long watchers are waited for.
	watchPatience = 10 * time.Second
)

var watchedPrefix = []byte("watched/")

// watchFanOut counts commits; its main latency is of the single delivery.
func watchFanOut(r *run) error {
	notifier, ok := r.store.(engine.Notifier)
	if !ok {
		return engine.ErrUnsupported
	}
	r.kinds, r.Goroutines = []string{"fan-out"}, 1
	f := &fanOut{all: make(chan struct{}, 1), value: make([]byte, watchedBytes), timer: time.NewTimer(watchPatience)}
	end, err := f.watch(r.ctx, notifier)
	if err != nil {
		return errors.Join(err, end())
	}
	err = r.each(pacing{total: r.Records, limit: r.Limit, sample: 1}, func(w *worker) (operation, error) {
		if err := f.probe(r.ctx, w); err != nil {
			return nil, err
		}
		return func(uint64) (kind, error) { return 0, f.write(r.ctx, w) }, nil
	})
	if err = errors.Join(err, end()); err != nil {
		return err
	}
	var deliveries hdr.Histogram
	for _, w := range f.watchers {
		if w.last.Load() != f.commit {
			return fmt.Errorf("%w: a watcher was told up to commit %d, not %d", ErrWrongAnswer, w.last.Load(), f.commit)
		}
		deliveries.Merge(&w.hist)
	}
	r.result.Latencies = append([]result.Latency{result.NewLatency("delivery", &deliveries)}, r.result.Latencies...)
	return nil
}

// fanOut is one writer and its watchers. Each value tells the number of its commit and when
// its Set was called; of a probe that is never.
type fanOut struct {
	watchers []*watcher
	pending  atomic.Int64  // watchers that have not been told of the last commit
	all      chan struct{} // is sent to when none is left
	failed   atomic.Pointer[error]

	// Of the writer.
	commit uint64
	value  []byte
	timer  *time.Timer
}

// watcher is what one goroutine of the store's calls.
type watcher struct {
	*fanOut
	last atomic.Uint64 // commit that it was told of
	hist hdr.Histogram
}

func (f *fanOut) fail(err error) { f.failed.CompareAndSwap(nil, &err) }

// err is what a watcher has found.
func (f *fanOut) err() error {
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// told is called for each write, in order. A probe may be left out, since the watch may
// have begun after it; nothing else may.
func (w *watcher) told(key, value []byte) {
	now := clock()
	if len(value) != watchedBytes {
		w.fail(fmt.Errorf("%w: a watcher was told of %q with %d bytes", ErrWrongAnswer, key, len(value)))
		return
	}
	commit, called, last := binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:]), w.last.Load()
	if commit <= last || called > 0 && commit != last+1 {
		w.fail(fmt.Errorf("%w: a watcher was told of commit %d after commit %d", ErrWrongAnswer, commit, last))
	}
	if called > 0 {
		w.hist.Add(now - time.Duration(called))
	}
	w.last.Store(commit)
	if called > 0 && w.pending.Add(-1) == 0 {
		w.all <- struct{}{}
	}
}

// watch starts the watchers. end, which is to be called in any case, ends them.
func (f *fanOut) watch(ctx context.Context, n engine.Notifier) (end func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var waits []func() error
	end = func() error {
		cancel()
		var errs []error
		for _, wait := range waits {
			errs = append(errs, wait())
		}
		return errors.Join(errs...)
	}
	for range watchers {
		w := &watcher{fanOut: f}
		f.watchers = append(f.watchers, w)
		wait, err := n.Watch(ctx, watchedPrefix, w.told)
		if err != nil {
			return end, err
		}
		waits = append(waits, wait)
	}
	return end, nil
}

// set writes the next commit.
func (f *fanOut) set(w *worker, called time.Duration) error {
	f.commit++
	binary.BigEndian.PutUint64(f.value, f.commit)
	binary.BigEndian.PutUint64(f.value[8:], uint64(called))
	w.key = fmt.Appendf(append(w.key[:0], watchedPrefix...), "%04d", f.commit%watchedKeys)
	w.written += int64(len(w.key) + len(f.value))
	return w.Set(w.key, f.value, false)
}

// probe writes until every watcher has been told of the last write.
func (f *fanOut) probe(ctx context.Context, w *worker) error {
	for range int(watchPatience / (10 * time.Millisecond)) {
		if err := f.set(w, 0); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
		if err := errors.Join(f.err(), ctx.Err()); err != nil {
			return err
		}
		if !slices.ContainsFunc(f.watchers, func(o *watcher) bool { return o.last.Load() != f.commit }) {
			w.written = 0
			return nil
		}
	}
	return fmt.Errorf("%w: not every watcher was told of any commit", ErrWrongAnswer)
}

// write commits, and waits until every watcher has been told.
func (f *fanOut) write(ctx context.Context, w *worker) error {
	f.pending.Store(int64(len(f.watchers)))
	if err := f.set(w, clock()); err != nil {
		return err
	}
	f.timer.Reset(watchPatience)
	select {
	case <-f.all:
		return f.err()
	case <-ctx.Done():
		return ctx.Err()
	case <-f.timer.C:
		return errors.Join(f.err(), fmt.Errorf("%w: not every watcher was told of commit %d", ErrWrongAnswer, f.commit))
	}
}
