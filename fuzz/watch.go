package fuzz

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// follower keeps a copy of a history's store by watching it. Of a commit it must hear when it
// was acknowledged, of one that failed never, and after each commit its copy must be what the
// ledger says.
type follower struct {
	w    *lsm.Watcher
	copy map[string]string
	// versions are those of the events that were last applied to keys, 0 where none was.
	versions map[string]lsm.Version

	batch int           // that the copy holds
	token *lsm.Position // where the copy was; nil before the first
	heard int           // commits
	lags  int
	whole bool // nothing of a commit is still to come
}

// followEvery is after how many batches the follower looks: so many do not fit what is kept
// for it, now and then.
const followEvery = 5

// follow begins to watch the store, from where the follower was if it can.
func (p *Player) follow() error {
	if !p.Setup.Follow {
		return nil
	}
	f := &p.follower
	from := f.token
	if p.LosesCache {
		from = nil // what the failed sync dropped may be what made it durable
	}
	w, err := p.DB.Watch(context.Background(), &lsm.WatchOptions{From: from})
	if err != nil {
		return fmt.Errorf("%w: watching from %v: %w", ErrWrong, from, err)
	}
	f.w, f.whole = w, true
	if from == nil {
		f.copy, f.versions = map[string]string{}, map[string]lsm.Version{}
		for e, err := range p.DB.Scan(nil, nil) {
			if err != nil {
				_ = w.Close() // always nil
				f.w, f.token = nil, nil
				return nil // a fault was met: the next opening follows again
			}
			f.copy[string(e.Key)], f.versions[string(e.Key)] = string(e.Value), 0
		}
		f.batch = decodeBatch([]byte(f.copy[batchKey]))
	}
	return nil
}

// unfollow ends the watch, and notes where it was.
func (p *Player) unfollow() {
	f := &p.follower
	if f.w == nil {
		return
	}
	if at, err := f.w.Position(); err == nil {
		f.token = &at
	}
	_ = f.w.Close() // always nil
	f.w = nil
}

// followed lets the follower hear of everything up to a batch, which was acknowledged. Only
// wrong answers are errors: what fails is tried again with the next batch.
func (p *Player) followed(n int) error {
	f := &p.follower
	if f.w == nil || n%followEvery > 0 {
		return nil
	}
	for f.batch != n || !f.whole {
		e, err := f.w.Next()
		switch {
		case err == nil:
		case errors.Is(err, lsm.ErrHistoryGone):
			_ = f.w.Close() // always nil
			f.token = nil
			return p.follow()
		case typed(err):
			return nil
		default:
			return fmt.Errorf("%w: watching: %w", ErrWrong, err)
		}
		f.apply(e)
		if !e.Last {
			continue
		}
		f.heard++
		if got := decodeBatch([]byte(f.copy[batchKey])); got < f.batch || got > n {
			return fmt.Errorf("%w: a watcher hears of batch %d after %d, acknowledged are %d", ErrWrong, got, f.batch, n)
		} else {
			f.batch = got
		}
		if got, want := f.contents(), p.Ledger.contentsAt(f.batch); got != want {
			return fmt.Errorf("%w: a watcher's copy at batch %d has %d entries instead of %d, or other values",
				ErrWrong, f.batch, got.entries, want.entries)
		}
	}
	return nil
}

// apply does to the copy what an event says, unless that was done before: who goes on from a
// position may be shown a commit again.
func (f *follower) apply(e lsm.WatchEvent) {
	f.whole = e.Last
	key := string(e.Key)
	if e.Kind != lsm.WatchDeleteRange && e.Version <= f.versions[key] {
		return
	}
	switch e.Kind {
	case lsm.WatchSet:
		f.copy[key], f.versions[key] = string(e.Value), e.Version
		if e.Expiry.Equal(BornDead.expiry()) {
			delete(f.copy, key)
		}
	case lsm.WatchMerge:
		old, had := f.copy[key]
		f.copy[key] = merged(Op{Merge: e.Operator, Value: string(e.Value)}, old, had)
		f.versions[key] = e.Version
	case lsm.WatchDelete:
		delete(f.copy, key)
		f.versions[key] = e.Version
	case lsm.WatchDeleteRange:
		for k, v := range f.versions {
			if k >= key && (e.Upper == nil || k < string(e.Upper)) && v < e.Version {
				delete(f.copy, k)
				delete(f.versions, k)
			}
		}
	case lsm.WatchLagged:
		f.lags++
	}
}

func (f *follower) contents() contents {
	c := contents{entries: len(f.copy)}
	for k, v := range f.copy {
		c.sum += entryHash(k, v)
	}
	return c
}

// CutUnderWatch plays a history with a follower. After every so many-th step the process is
// killed, and the power is cut, in copies of the files: there the follower must be able to go
// on from where it was, and must then hold what the store holds.
func CutUnderWatch(setup Setup, shape Shape, every int) (Explored, error) {
	setup.Follow = true
	var x Explored
	mem := vfs.NewCrashMem()
	p := &Player{Setup: setup, FS: mem, Ops: mem.Ops, Ledger: NewLedger()}
	if err := p.Open(); err != nil {
		return x, err
	}
	defer p.Abandon()
	for i, s := range NewHistory(setup.Seed, shape) {
		if err := p.Do(s); err != nil {
			return x, fmt.Errorf("step %d, %s: %w", i, s.Kind, err)
		}
		if i%every > 0 {
			continue
		}
		at, err := p.follower.w.Position()
		if err != nil {
			return x, err
		}
		for _, left := range []vfs.FS{mem.Copy(), mem.CrashCopy()} {
			x.States++
			if err := goOnFollowing(setup, left, &p.follower, at); err != nil {
				x.fail(fmt.Errorf("seed %d, %s, after step %d: %w", setup.Seed, modeName(setup.Mode), i, err))
			}
		}
	}
	x.Points = p.follower.heard
	return x, p.Close()
}

// goOnFollowing opens what is left and brings a copy that was complete at a position up to
// date.
func goOnFollowing(setup Setup, left vfs.FS, was *follower, at lsm.Position) error {
	db, err := lsm.Open(Dir, setup.Options(left))
	if err != nil {
		return err
	}
	defer db.Close() // nothing depends on it
	want, _, err := read(db)
	if err != nil {
		return err
	}
	f := &follower{copy: maps.Clone(was.copy), versions: maps.Clone(was.versions)}
	w, err := db.Watch(context.Background(), &lsm.WatchOptions{From: &at})
	if err != nil {
		return fmt.Errorf("%w: a position is refused: %w", ErrLost, err)
	}
	defer w.Close() // always nil
	if err := db.Set([]byte("last"), nil, lsm.NoSync); err != nil {
		return err
	}
	for _, done := f.copy["last"]; !done || !f.whole; _, done = f.copy["last"] {
		e, err := w.Next()
		if errors.Is(err, lsm.ErrHistoryGone) {
			return nil // as it may be: deletes since then were left out
		}
		if err != nil {
			return err
		}
		f.apply(e)
	}
	delete(f.copy, "last")
	if got := f.contents(); got != want {
		return fmt.Errorf("%w: a watcher that goes on has %d entries, the store %d, or other values", ErrWrong, got.entries, want.entries)
	}
	return nil
}
