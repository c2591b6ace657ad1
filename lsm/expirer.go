package lsm

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/expiry"
	"github.com/loamdb/loam/internal/keys"
)

// expirer wakes up when something has expired that somebody has to do with: compactors, when
// so much of a table has that it is worth a rewrite; the settler, when so much of the memtable
// has; and itself, to make events of expiries (expiry_sweep.go). While nothing in the store
// expires it sleeps.
type expirer struct {
	db    *DB
	alarm alarm

	// due is the time for which the loop sleeps, in milliseconds since 1970. While it works
	// it is MaxInt64: whoever brings something that expires before it wakes the loop.
	due atomic.Int64
	// lastListed is the number of the last part with something that expires: before the loop
	// looks at what there is, it waits until that is visible.
	lastListed atomic.Uint64
	// memtable is when so much of the mutable memtable has expired that a store at rest should
	// flush it; 0: never, or nobody knows.
	memtable atomic.Int64
	// changed: tables have, since the loop looked at them.
	changed atomic.Bool
	table   int64 // of the loop: when next a table is worth a rewrite, 0: never

	sweep sweep
}

// applied tells that a part was applied to mem. Called by the leader, before the part can
// become visible.
func (x *expirer) applied(mem *mutableTable) {
	if mem.soonest != 0 && !x.db.expires.Load() {
		x.db.expires.Store(true)
	}
}

// listed tells that a part up to the number last, which was applied to mem, is visible or waits
// for that in the publisher's list. Called by the leader.
func (x *expirer) listed(mem *mutableTable, last keys.SeqNum) {
	if mem.soonest == 0 {
		return
	}
	soonest := mem.soonest
	mem.soonest = 0
	if !x.sweep.active.Load() {
		return
	}
	x.lastListed.Store(uint64(last))
	if soonest < x.due.Load() {
		x.alarm.wake()
	}
}

// installed tells of a new version.
func (x *expirer) installed() {
	if x.db.expires.Load() {
		x.changed.Store(true)
		x.alarm.wake()
	}
}

// rests tells that the store is at rest, with a mutable memtable that it does not flush.
// Called by the leader.
func (x *expirer) rests(m *mutableTable) {
	if m.expiring == nil {
		return
	}
	by, _ := m.expiring.Steps().Reaches(uint64(x.db.opts.seams.Sizing.SettleBytes))
	x.memtable.Store(by)
	x.alarm.wake()
}

// shortestNap bounds how often the loop wakes up by itself. What is swept late was absent in
// time.
const shortestNap = time.Millisecond

// pollClock is how often the loop looks at a clock that is not the machine's, and may be
// faster.
const pollClock = 10 * time.Millisecond

func (x *expirer) loop() {
	d := x.db
	ctx := d.background.ctx
	var retry backoff
	x.alarm.wake()
	for rest := time.Duration(0); x.alarm.wait(ctx, rest); {
		rest = 0
		x.due.Store(math.MaxInt64)
		if d.poison.err() != nil {
			continue // nothing is merged or written any more
		}
		next, err := x.step()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, ErrClosed) {
				d.event("expiries to be looked at again", "cause", err)
			}
			rest = retry.next()
			continue
		}
		if retry = 0; next == 0 {
			continue
		}
		x.due.Store(next)
		rest = max(time.Duration(next-d.clock.millis())*time.Millisecond, shortestNap)
		if d.opts.Clock != nil {
			rest = min(rest, pollClock)
		}
	}
}

// step does what is due and returns when to look again, 0 for when something comes in.
func (x *expirer) step() (next int64, err error) {
	d := x.db
	if next, err = x.sweepDue(); err != nil {
		return 0, err
	}
	now := d.clock.millis()
	if by := x.memtable.Load(); by != 0 && by <= now {
		x.memtable.Store(0)
		d.settler.arm()
	}
	if changed := x.changed.Swap(false); changed || x.table != 0 && x.table <= now {
		x.table = x.nextTable(now)
		d.compactor.wake() // it finds out by itself whether there is work, and markers may go now
	}
	return sooner(next, sooner(x.memtable.Load(), x.table)), nil
}

// nextTable returns when next a table has expired so far that it is worth a rewrite.
func (x *expirer) nextTable(now int64) int64 {
	if !x.db.expires.Load() {
		return 0
	}
	guard := x.db.readers.Enter()
	defer guard.Leave()
	return compaction.NextExpiry(x.db.state.Load().version.Version, now)
}

// sooner returns the earlier of two times, of which 0 is never.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// noteTime notes an entry that carries a time.
func (m *mutableTable) noteTime(k keys.Kind, key, value []byte) {
	if k.MinValueLen() == 0 {
		return
	}
	at := max(expiryOf(value), 1)
	switch k {
	case keys.KindSetWithExpiry, keys.KindSetWithExpiryBlob, keys.KindSetSealedExpiry, keys.KindSetSealedExpiryBlob:
		if m.expiring == nil {
			m.expiring = expiry.NewBuilder(m.madeAt)
		}
		m.expiring.Add(at, len(key)+len(value))
		m.soonest = sooner(m.soonest, at)
		m.firstExpiry.Store(sooner(m.firstExpiry.Load(), at))
		m.lastExpiry.Store(max(m.lastExpiry.Load(), at))
	case keys.KindMerge, keys.KindMergeBlob:
		m.oldestMerge.Store(sooner(m.oldestMerge.Load(), at))
	}
}

// worthExpiring reports whether a store at rest should flush m for what has expired of it.
func (d *DB) worthExpiring(m *mutableTable) bool {
	return m.expiring != nil &&
		m.expiring.Steps().BytesBy(d.clock.millis()) >= uint64(d.opts.seams.Sizing.SettleBytes)
}

// findExpiring notes, when the store is opened, whether anything in it expires.
func (d *DB) findExpiring() {
	s := d.state.Load()
	found := false
	for _, m := range append(slices.Clone(s.frozen), s.mutable) {
		found = found || m.expiring != nil
		m.soonest = 0
	}
	for i := range s.version.runs {
		for _, t := range s.version.runs[i].tables {
			found = found || t.meta.Expires > 0
		}
	}
	d.expires.Store(found)
}

// expiryEnv returns what a flush or a merge needs to know of expiry. Its time is taken before
// the snapshots are listed (E2).
func (d *DB) expiryEnv() compaction.Expiry {
	if !d.expires.Load() {
		return compaction.Expiry{Now: d.clock.millis()}
	}
	now := d.clock.millis()
	by, upTo := d.markersGo(now)
	seqs, times := d.snapshots.views()
	s := d.state.Load()
	return compaction.Expiry{
		Now: now,
		ReadTime: func(seq keys.SeqNum) int64 {
			i, _ := slices.BinarySearch(seqs, seq)
			if i == len(seqs) {
				return now
			}
			return min(times[i], now)
		},
		MarkersBy: by, MarkersUpTo: upTo,
		OldestMerge: s.oldestMerge(), Tables: s.version.Version,
	}
}

// views returns the numbers of the open snapshots, ascending, each once, with the earliest
// time at which it or a later one reads. Those without a time see nothing that expires.
func (l *snapshotList) views() (seqs []keys.SeqNum, times []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	earliest := int64(math.MaxInt64)
	for i := len(l.seqs) - 1; i >= 0; i-- {
		if l.times[i] != atRead {
			earliest = min(earliest, l.times[i])
		}
		if n := len(seqs); n > 0 && seqs[n-1] == l.seqs[i] {
			times[n-1] = earliest
			continue
		}
		seqs, times = append(seqs, l.seqs[i]), append(times, earliest)
	}
	slices.Reverse(seqs)
	slices.Reverse(times)
	return seqs, times
}

// expiryParams tells the picker what has expired.
func (d *DB) expiryParams(p *compaction.Params) {
	if !d.expires.Load() {
		return
	}
	p.ExpiredBy = d.clock.millis()
	if _, times := d.snapshots.views(); len(times) > 0 {
		p.ExpiredBy = min(p.ExpiredBy, times[0])
	}
	p.MarkersBy, p.MarkersUpTo = d.markersGo(p.ExpiredBy)
	p.OldestMerge = d.state.Load().oldestMerge()
}

// markersGo returns the expiry and the number up to which merges may drop markers. What a
// leader is about to apply has been committed at committing or later: an operand for an
// entry that has expired since then is none that memtables and tables show yet. Called before
// these are looked at.
func (d *DB) markersGo(now int64) (by int64, upTo keys.SeqNum) {
	committing := d.committing.Load()
	by, upTo = d.expirer.sweep.markersGo()
	return min(by, now, committing), upTo
}

// beginCommit takes the time of a group. Called by the leader.
func (d *DB) beginCommit() {
	if d.expires.Load() {
		d.committing.Store(d.groupTime) // the last group's: not after this one's
	}
	d.groupTime = d.clock.millis()
}

// endCommit ends what beginCommit began: the group is applied, or will never be.
func (d *DB) endCommit() {
	if d.committing.Load() != math.MaxInt64 {
		d.committing.Store(math.MaxInt64)
	}
}

// oldestMerge returns the commit time of the oldest merge operand in memtables, 0 if there is
// none.
func (s *readState) oldestMerge() int64 {
	oldest := s.mutable.oldestMerge.Load()
	for _, m := range s.frozen {
		oldest = sooner(oldest, m.oldestMerge.Load())
	}
	return oldest
}

// expiresWithin returns a function that reports whether something in the store may expire, or
// have expired, within (after, upTo], as compaction.Env wants it: operands on both sides of that
// are not combined. What lies below operands that are in tables is in the state already.
func (d *DB) expiresWithin() func(after, upTo int64) bool {
	if !d.expires.Load() {
		return nil
	}
	type period struct{ first, last int64 }
	var periods []period
	s := d.state.Load()
	for _, m := range append(slices.Clone(s.frozen), s.mutable) {
		if last := m.lastExpiry.Load(); last != 0 {
			periods = append(periods, period{m.firstExpiry.Load(), last})
		}
	}
	for i := range s.version.runs {
		for _, t := range s.version.runs[i].tables {
			if last := max(t.meta.Expiring.Last(), t.meta.LastMarker); last != 0 {
				periods = append(periods, period{t.meta.FirstExpiry, last})
			}
		}
	}
	return func(after, upTo int64) bool {
		return slices.ContainsFunc(periods, func(p period) bool { return p.first <= upTo && p.last > after })
	}
}

// expiredIn counts the entries of the tables of a job, all of which have expired.
func expiredIn(j *compaction.Job) int64 {
	n := uint64(0)
	if j.Reason == compaction.ReasonExpired {
		for _, t := range j.Tables() {
			n += t.Expires
		}
	}
	return int64(n)
}
