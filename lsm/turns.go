package lsm

import (
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/internal/keys"
)

// turns keeps writers that sync one commit after the other from holding up those that do
// not. An unsynced commit that comes while a synced one is on its way to the device becomes
// visible only behind it (C3), so that beside a writer who does nothing but sync it would
// nearly always wait for the device.
//
// Therefore, after a sync for which unsynced commits had to wait, the next synced commit
// begins when they pause, or when they have had as long as that sync took. Synced commits
// that nobody waits behind are never delayed. Measured, one writer of each kind doing all
// it can: 15,700 unsynced sets a second without turns, 312,000 with them (p50 66 and
// 2.0 µs). docs/adr/0012-turns.md has the other side.
type turns struct {
	until atomic.Int64 // end of the turn, nanoseconds since 1970; 0: none is due
}

const (
	// longestTurn bounds what a slow device adds to a synced commit.
	longestTurn = 2 * time.Millisecond
	// turnPause is how long no unsynced commit comes when they pause.
	turnPause = 50 * time.Microsecond
)

// held notes that unsynced commits have waited for a sync that took so long and ends now.
func (t *turns) held(took time.Duration, now time.Time) {
	t.until.Store(now.Add(min(took, longestTurn)).UnixNano())
}

// wait is for a writer who is about to commit synced.
func (t *turns) wait(d *DB) {
	until := t.until.Load()
	if until == 0 {
		return
	}
	last := keys.SeqNum(0)
	for d.opts.seams.Now().UnixNano() < until && sleep(d.background.ctx, turnPause) {
		now := d.visible.load()
		if now == last {
			break
		}
		last = now
	}
	t.until.CompareAndSwap(until, 0)
}
