package lsm

import (
	"sync/atomic"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/wal"
)

// settler notices that the store is at rest, which it is when for Sizing.SettleAfter
// nothing was committed and no flush or compaction was at work. It then has the mutable
// memtable flushed if that gives back enough space, and lets the compactors do what nothing
// urges: in the end there is one run a level, and nothing in it that could be left out. After
// that an idle store does not wake up.
type settler struct {
	db    *DB
	alarm alarm
	// armed: something was committed since the store was last found at rest.
	armed atomic.Bool
}

// arm is called for every part, after the log has it; all but the first load one flag.
func (s *settler) arm() {
	if !s.armed.Load() && s.armed.CompareAndSwap(false, true) {
		s.alarm.wake()
	}
}

// resting reports whether the store is at rest.
func (s *settler) resting() bool {
	if mutant.Enabled && mutant.Is(mutant.NeverIdle) {
		return false
	}
	return !s.armed.Load()
}

func (s *settler) loop() {
	d := s.db
	for s.alarm.wait(d.background.ctx, 0) {
		for s.armed.Load() {
			end, ok := s.awaitRest()
			if !ok {
				return
			}
			s.armed.Store(false)
			if d.wal.End() != end {
				s.armed.Store(true) // it came before the flag, and did not wake us
				continue
			}
			s.settle()
		}
	}
}

// awaitRest blocks until the store is at rest and returns the end of its log, or false
// when the store is being closed. It looks a few times in SettleAfter, so that rest is
// noticed soon after it is one.
func (s *settler) awaitRest() (end wal.Position, ok bool) {
	const looks = 4
	d := s.db
	end, before := d.wal.End(), d.Metrics()
	for quiet := 0; quiet < looks; quiet++ {
		if !sleep(d.background.ctx, d.opts.seams.Sizing.SettleAfter/looks) {
			return end, false
		}
		if now := d.Metrics(); d.wal.End() != end || worked(before, now) {
			end, before, quiet = d.wal.End(), now, -1
		}
	}
	return end, true
}

// worked reports whether a flush or a compaction is at work, or was in between.
func worked(before, now Metrics) bool {
	return now.FrozenMemtables > 0 || now.RunningCompactions > 0 ||
		now.Flushes != before.Flushes || now.Compactions != before.Compactions
}

// settle is called when the store has come to rest.
func (s *settler) settle() {
	d := s.db
	if !s.resting() || d.queue.acquire(d.background.ctx) != nil {
		return
	}
	m := d.mutable
	switch {
	case d.poison.err() != nil, m.empty() || !d.worthFlushing(m):
		d.expirer.rests(m)
	case len(d.state.Load().frozen) >= maxMemtables-1:
		s.armed.Store(true) // there is no room yet: after another rest
	default:
		d.reaper.ripenForFlush()
		// Without the memory for a new memtable the old one stays.
		_ = d.freeze(d.background.ctx, d.sameMutableBytes())
	}
	d.giveMemoryBack() // readers can use it until writers come back
	d.queue.passLead()
	d.compactor.wake()
	d.reaper.wake()
}

// worthFlushing reports whether a store at rest should flush its mutable memtable m, which
// costs a table and three syncs: a store that is written a little every few seconds must
// not do it each time. It should when what m deletes, or the log that is kept for its
// sake alone, takes much more space than m. Called by the leader.
func (d *DB) worthFlushing(m *mutableTable) bool {
	z := &d.opts.seams.Sizing
	if m.deletes >= z.SettleDeletes || d.worthExpiring(m) {
		return true
	}
	if m.tombstones > 0 {
		return true // nobody knows how much a range tombstone deletes
	}
	if m.logical >= z.SettleBytes && d.reaper.owesAfter(m.firstSeqNum) {
		return true
	}
	var entries, bytes int64
	for _, level := range d.state.Load().version.Levels {
		l := levelMetrics(level)
		entries, bytes = entries+l.Entries, bytes+l.Bytes
	}
	bytes += d.state.Load().version.BlobBytes()
	if entries > 0 && float64(m.deletes)*float64(bytes)/float64(entries) >= float64(z.SettleBytes) {
		return true
	}
	return d.logBefore(d.wal.Current()) >= m.logical+max(m.logical, z.SettleBytes)
}

// logBefore returns the length of the log's segments before the given one: what a flush
// of all that is in them gives back.
func (d *DB) logBefore(segment wal.SegmentNum) int64 {
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	n := int64(0)
	for _, s := range d.manifestLog.State().Segments {
		if wal.SegmentNum(s.Num) < segment {
			n += s.Bytes
		}
	}
	return n
}
