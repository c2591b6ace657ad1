package lsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// watched is a follower with a goroutine of its own, that may be held up.
type watched struct {
	*follower
	name         scope.Scope // the zero Scope is the root
	lower, upper []byte
	gate         atomic.Pointer[chan struct{}]
	open         bool
	ended        chan error
	token        lsm.Position // some place that it has seen
}

func (f *watched) pause() {
	if f.open {
		gate := make(chan struct{})
		f.gate.Store(&gate)
		f.open = false
	}
}

func (f *watched) goOn() {
	if !f.open {
		close(*f.gate.Load())
		f.open = true
	}
}

func (f *watched) run() {
	for {
		<-*f.gate.Load()
		if _, err := f.next(); err != nil {
			f.ended <- err
			return
		}
	}
}

// holds returns what the follower must have a copy of.
func (f *watched) holds(now spaces) model {
	m := model{}
	for k, v := range now[f.name] {
		if k >= string(f.lower) && (f.upper == nil || k < string(f.upper)) {
			m[k] = v
		}
	}
	return m
}

// watchRun is a store beside its model, with followers.
type watchRun struct {
	*scopeRun
	followers []*watched
	lags      int
	droppings int
}

func (r *watchRun) start(f *watched, from *lsm.Position) {
	o := &lsm.WatchOptions{LowerBound: f.lower, UpperBound: f.upper, From: from}
	var w *lsm.Watcher
	var err error
	if f.name == (scope.Scope{}) {
		w, err = r.db.Watch(context.Background(), o)
	} else {
		sc, serr := r.db.Scope(f.name)
		require.NoError(r.t, serr)
		w, err = sc.Watch(context.Background(), o)
	}
	require.NoError(r.t, err)
	f.follower = &follower{t: r.t, w: w, copy: f.copyOf(), whole: true}
	f.ended = make(chan error, 1)
	f.token, err = w.Position()
	require.NoError(r.t, err)
	f.open = true
	f.pause()
	go f.run()
}

func (f *watched) copyOf() model {
	if f.follower == nil {
		return model{}
	}
	return f.copy
}

// watchSomething adds a follower.
func (r *watchRun) watchSomething() {
	f := &watched{}
	if r.rnd.IntN(3) > 0 {
		f.name = r.name()
	}
	if r.rnd.IntN(2) == 0 {
		f.lower, f.upper = []byte(r.key()), []byte(r.key())
		if bytes.Compare(f.lower, f.upper) > 0 {
			f.lower, f.upper = f.upper, f.lower
		}
	}
	f.follower = &follower{copy: f.holds(r.now)}
	r.start(f, nil)
	r.followers = append(r.followers, f)
}

// check lets all followers see everything, and compares.
func (r *watchRun) check() {
	for _, f := range r.followers {
		f.goOn()
	}
	for _, f := range r.followers {
		for len(f.ended) == 0 && !f.w.Idle() {
			runtime.Gosched()
		}
		select {
		case err := <-f.ended:
			if !errors.Is(err, lsm.ErrHistoryGone) { // it was held up while deletes were left out
				require.ErrorIs(r.t, err, lsm.ErrScopeDropped)
				require.Empty(r.t, f.copy)
				r.droppings++
			}
			r.lags += f.lags
			require.NoError(r.t, f.w.Close())
			f.copy = f.holds(r.now)
			r.start(f, nil)
			f.goOn()
			continue
		default:
		}
		require.True(r.t, f.whole)
		require.Equal(r.t, f.holds(r.now), f.copy, "watching %s from %q to %q", f.name, f.lower, f.upper)
		var err error
		f.token, err = f.w.Position()
		require.NoError(r.t, err)
	}
}

// restart ends all watches and goes on from their tokens.
func (r *watchRun) restart(between func()) {
	for _, f := range r.followers {
		if r.rnd.IntN(2) == 0 { // else from an older one
			var err error
			f.token, err = f.w.Position()
			require.NoError(r.t, err)
		}
		f.goOn()
		require.NoError(r.t, f.w.Close())
		require.Error(r.t, <-f.ended)
		r.lags += f.lags
	}
	between()
	for _, f := range r.followers {
		token := f.token
		r.start(f, &token)
		f.token = token
	}
}

// end lets go of everything.
func (r *watchRun) end() {
	for _, f := range r.followers {
		f.goOn()
	}
	_ = r.db.Close()
}

func (r *watchRun) play(steps int) {
	for i := range steps {
		switch n := r.rnd.IntN(200); {
		case n < 2 && len(r.followers) < 12 || i == 0:
			r.watchSomething()
		case n < 4:
			r.check()
		case n < 6:
			r.followers[r.rnd.IntN(len(r.followers))].pause()
		case n < 7:
			r.restart(func() {})
		case n < 8:
			r.restart(r.reopen)
		default:
			db := r.db
			r.step()
			if r.db != db { // it has reopened by itself
				for _, f := range r.followers {
					f.goOn()
					require.Error(r.t, <-f.ended) // it may have been dropped before
					_ = f.w.Close()
					token := f.token
					r.start(f, &token)
					f.token = token
				}
			}
		}
	}
	r.check()
}

// What watchers have shown is what the store holds: through drops, moves, copies, deleted
// ranges, batches, flushes and reopenings, to followers that keep up and to those that do not,
// from the moment of the watch or from a position.
func TestWatchersShowWhatTheStoreHolds(t *testing.T) {
	seeds, steps := 6, 1000
	if testing.Short() {
		seeds = 2
	}
	lags, droppings := 0, 0
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 16))
			r := &watchRun{scopeRun: &scopeRun{
				run: &run{t: t, rnd: rnd, fs: vfs.NewMem(), model: model{}, keys: 10 + rnd.IntN(100)},
				now: spaces{scope.Scope{}: {}}, handles: map[scope.Scope]*lsm.Scope{},
			}}
			r.opts = randomOptions(rnd, r.fs)
			r.open()
			defer r.end() // a test that fails must not leave goroutines
			r.play(steps)
			for _, f := range r.followers {
				require.NoError(t, f.w.Close())
				r.lags += f.lags
			}
			require.Zero(t, r.db.Metrics().Watchers)
			for _, f := range r.then {
				require.NoError(t, f.snap.Close())
			}
			require.NoError(t, r.db.Close())
			lags, droppings = lags+r.lags, droppings+r.droppings
		})
	}
	require.NotZero(t, lags)
	require.NotZero(t, droppings)
}

// Beside writers too every watcher sees every commit whole and in order.
func TestWatchersBesideWriters(t *testing.T) {
	for _, watch := range []int64{0, 32 << 10} {
		o := lsm.Options{InMemory: true, Encryption: encryptionIf(watch > 0)}
		seams.Inject(&o, seams.Seams{Sizing: seams.Sizing{WatchBytes: watch}})
		db, err := lsm.Open("db", &o)
		require.NoError(t, err)
		const writers, batches, keys = 4, 150, 8
		var writing, watching sync.WaitGroup
		for i := range 12 {
			prefix := fmt.Appendf(nil, "%d/", i%writers)
			if i >= 8 {
				prefix = nil
			}
			w, err := db.Watch(context.Background(), &lsm.WatchOptions{Prefix: prefix})
			require.NoError(t, err)
			watching.Go(func() {
				defer w.Close()
				f := &follower{t: t, w: w, copy: model{}, whole: true}
				for f.copy["end"] == "" && f.copy[string(prefix)+"end"] == "" {
					e, err := f.next()
					if !assertWhole(t, f, e, err, keys) {
						return
					}
				}
			})
		}
		for i := range writers {
			writing.Go(func() {
				for n := 1; n <= batches; n++ {
					b := db.NewBatch()
					for k := range keys {
						b.Set(fmt.Appendf(nil, "%d/%02d", i, k), fmt.Appendf(nil, "%d", n))
					}
					w := lsm.NoSync
					if n%10 == 0 {
						w = lsm.Sync
					}
					if err := db.Apply(b, w); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writing.Wait()
		b := db.NewBatch()
		for i := range writers {
			b.Set(fmt.Appendf(nil, "%d/end", i), []byte("x"))
		}
		b.Set([]byte("end"), []byte("x"))
		require.NoError(t, db.Apply(b, nil))
		watching.Wait()
		require.NoError(t, db.Close())
	}
}

// assertWhole checks that after a commit each writer's keys hold one number.
func assertWhole(t *testing.T, f *follower, e lsm.WatchEvent, err error, keys int) bool {
	if err != nil {
		t.Error(err)
		return false
	}
	if !e.Last {
		return true
	}
	for i := range 10 {
		first, held := f.copy[fmt.Sprintf("%d/00", i)]
		for k := range keys {
			if v, ok := f.copy[fmt.Sprintf("%d/%02d", i, k)]; ok != held || v != first {
				t.Errorf("writer %d: %q beside %q", i, v, first)
				return false
			}
		}
	}
	return true
}

// A thousand watchers, one of them concerned by each commit, and all of them by some: each
// sees what is its own, whatever the others do.
func TestAThousandWatchers(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 100
	}
	db := openMemory(t, lsm.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var told, ended sync.WaitGroup
	told.Add(n)
	for i := range n {
		w, err := db.Watch(ctx, &lsm.WatchOptions{Prefix: fmt.Appendf(nil, "session/%04d/", i)})
		require.NoError(t, err)
		ended.Go(func() {
			for turn := range 4 {
				e, err := w.Next()
				if want := fmt.Sprint(turn); turn < 3 && string(e.Value) != want || turn == 3 && e.Kind != lsm.WatchDeleteRange {
					t.Errorf("watcher %d, turn %d: %s %s %v", i, turn, e.Kind, e.Value, err)
				}
			}
			told.Done()
			if e, err := w.Next(); !errors.Is(err, context.Canceled) {
				t.Errorf("watcher %d: %s %s %v", i, e.Kind, e.Key, err)
			}
		})
	}
	for turn := range 3 {
		for i := range n {
			require.NoError(t, db.Set(fmt.Appendf(nil, "session/%04d/k", i), fmt.Append(nil, turn), lsm.NoSync))
			require.NoError(t, db.Set(fmt.Appendf(nil, "another/%04d", i), nil, lsm.NoSync))
		}
	}
	require.NoError(t, db.DeleteRange(nil, nil, lsm.NoSync))
	told.Wait()
	require.LessOrEqual(t, db.Metrics().WatchBytes, int64(16<<20))
	cancel()
	ended.Wait()
}
