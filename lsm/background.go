package lsm

import (
	"context"
	"sync"
	"time"
)

// background owns the goroutines of the store: one for each kind of work, all started
// here, all stopped by one context.
//
//	flusher    writes frozen memtables to tables, oldest first, and releases what
//	           readers have left behind
//	compactor  picks and runs compactions; as many goroutines as Options says
//	syncer     syncs unsynced commits after Options.SyncInterval
//	settler    notices that the store is at rest
//	deleter    removes obsolete files slowly
//	reaper     has what dropped scopes held left out, and forgets them when it is gone
//	expirer    has what has expired given back, and makes events of it
//	feed       wakes watchers that something concerns
//	scrubber   reads every table again, slowly, in search of damage
//	horizons   gives up horizons that have become too old or hold too much
//	rotator    brings log and manifest out of data keys that are to leave, and ends conversions
//
// The log has one of its own, the preparer, which package wal starts and stops.
type background struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func (d *DB) startBackground() {
	d.background.ctx, d.background.cancel = context.WithCancel(context.Background())
	d.settler.arm() // an opening counts as use
	d.background.wg.Go(d.settler.loop)
	d.background.wg.Go(d.flusher.loop)
	d.background.wg.Go(d.syncer.loop)
	d.background.wg.Go(d.deleter.loop)
	d.background.wg.Go(d.reaper.loop)
	d.background.wg.Go(d.scrubber.loop)
	d.background.wg.Go(d.horizons.loop)
	d.background.wg.Go(d.expirer.loop)
	d.background.wg.Go(d.rotator.loop)
	d.background.wg.Go(func() { d.feed.loop(d.background.ctx) })
	for range d.opts.CompactionWorkers {
		d.background.wg.Go(d.compactor.loop)
	}
}

// stop cancels the work and waits for it.
func (b *background) stop() {
	b.cancel()
	b.wg.Wait()
}

// alarm wakes one goroutine. Waking it twice before it looks is waking it once.
type alarm chan struct{}

func newAlarm() alarm { return make(alarm, 1) }

func (a alarm) wake() {
	select {
	case a <- struct{}{}:
	default:
	}
}

// wait returns true when woken, or after the duration if that is positive, and false
// when the context ends.
func (a alarm) wait(ctx context.Context, atMost time.Duration) bool {
	var expired <-chan time.Time
	if atMost > 0 {
		t := time.NewTimer(atMost)
		defer t.Stop()
		expired = t.C
	}
	select {
	case <-a:
		return true
	case <-expired:
		return true
	case <-ctx.Done():
		return false
	}
}
