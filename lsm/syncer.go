package lsm

import (
	"sync/atomic"

	"github.com/loamdb/loam/wal"
)

// syncer bounds how long unsynced commits stay so: the first commit after its last look
// arms it, and it syncs the log after Options.SyncInterval. When nothing was committed
// meanwhile it has the log vouch for what was synced last: damage to that is then told
// from a torn tail. After that an idle store does not wake up.
type syncer struct {
	db    *DB
	armed atomic.Bool
	alarm alarm
}

// arm is called for every part; all but the first load one flag.
func (s *syncer) arm() {
	if !s.armed.Load() && s.armed.CompareAndSwap(false, true) {
		s.alarm.wake()
	}
}

func (s *syncer) loop() {
	d := s.db
	interval := d.opts.SyncInterval
	if interval < 0 {
		return
	}
	for s.alarm.wait(d.background.ctx, 0) {
		if !sleep(d.background.ctx, interval) {
			return // Close syncs
		}
		s.armed.Store(false) // before the sync: what comes now may miss it
		end := d.wal.End()
		err := d.wal.Sync(end)
		if err == nil {
			err = s.vouch(end)
		}
		if err != nil {
			_ = d.fail(err) // every later write reports it
			return
		}
	}
}

// vouch writes a claim mark if nothing was written since end. It needs the lead.
func (s *syncer) vouch(end wal.Position) error {
	d := s.db
	if d.wal.End() != end || d.queue.acquire(d.background.ctx) != nil {
		return nil // the next commit carries the claim, or Close does
	}
	defer d.queue.passLead()
	return d.wal.Mark()
}
