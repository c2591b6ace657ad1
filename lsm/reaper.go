package lsm

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// reaper sees to it that what dropped scopes held gives back its space. It knows the ids
// that have a death record; an id is ripe once its death is durable and no snapshot
// precedes it. From then on flushes and merges leave its entries out, and the picker is
// told which tables hold how much of them (dead.go). When no table and no memtable can hold one any
// more, the reaper deletes the death record and forgets the id.
//
// An opening finds the death records by reading the system scope, in the background, and
// only in a store that ever had scopes. It also kills the ids of copies that a crash has
// interrupted.
type reaper struct {
	db    *DB
	alarm alarm
	ripe  atomic.Pointer[deadIDs] // nil: none

	// Constant after Open.
	oldMark  scope.ID    // no id above it was given out by an earlier opening
	openedAt keys.SeqNum // the last number of the openings before this one

	loaded  bool        // by the loop: the records of earlier openings are known
	changed atomic.Bool // tables or what is flushed have, since they were looked at

	mu     sync.Mutex
	deaths map[scope.ID]death // of all ids that are not forgotten, the ripe ones included
	unripe int                // how many of them are not
	first  keys.SeqNum        // no death of an unripe one has a lower number
	soft   bool               // some of the unripe ones may not be durable
	orphan []scope.ID         // ids of copies that came to nothing, still to be killed
	tables map[tableNum]deadTable
}

// death is a death record.
type death struct {
	seq     keys.SeqNum // the number of the batch that holds it
	durable bool
	ripe    bool
}

// wake makes the reaper look again, if there is anything for it to look at.
func (r *reaper) wake() {
	r.mu.Lock()
	any := len(r.deaths)+len(r.orphan) > 0
	r.mu.Unlock()
	if any {
		r.alarm.wake()
	}
}

// installed tells of a new version.
func (r *reaper) installed() {
	r.changed.Store(true)
	r.wake()
}

// snapshotClosed tells that ids may have become ripe.
func (r *reaper) snapshotClosed() {
	r.mu.Lock()
	any := r.unripe > 0
	r.mu.Unlock()
	if any {
		r.alarm.wake()
	}
}

// died tells that an id is dead by a batch that was acknowledged.
func (r *reaper) died(id scope.ID, seq keys.SeqNum, durable bool) {
	r.mu.Lock()
	r.addLocked(id, death{seq: seq, durable: durable})
	r.mu.Unlock()
	r.alarm.wake()
}

func (r *reaper) addLocked(id scope.ID, dt death) {
	if r.deaths == nil {
		r.deaths = map[scope.ID]death{}
	}
	if _, known := r.deaths[id]; !known {
		if r.unripe++; r.unripe == 1 {
			r.first = dt.seq
		}
		r.first = min(r.first, dt.seq)
	}
	r.soft = r.soft || !dt.durable
	r.deaths[id] = dt
}

// abandoned tells that a copy has come to nothing.
func (r *reaper) abandoned(id scope.ID) {
	r.mu.Lock()
	r.orphan = append(r.orphan, id)
	r.mu.Unlock()
	r.alarm.wake()
}

// count returns how many dead ids are not forgotten yet.
func (r *reaper) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.deaths)
}

// owesAfter reports whether an id died at or above seq: a memtable that begins there, or
// one after it, may hold what flushing it gives back.
func (r *reaper) owesAfter(seq keys.SeqNum) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, dt := range r.deaths {
		if dt.seq >= seq {
			return true
		}
	}
	return false
}

func (r *reaper) loop() {
	d := r.db
	ctx := d.background.ctx
	if r.loaded = r.oldMark == 0; !r.loaded {
		r.alarm.wake()
	}
	var retry backoff
	var rest time.Duration
	for r.alarm.wait(ctx, rest) {
		rest = 0
		if d.poison.err() != nil {
			continue // nothing is merged any more
		}
		if err := r.step(); err == nil {
			retry = 0
		} else if ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			d.event("dropped scopes to be looked at again", "cause", err)
			rest = retry.next()
		}
	}
}

// step does what there is to do.
func (r *reaper) step() error {
	err := r.reap()
	if err == nil {
		err = r.db.vault.forgetDropped()
	}
	return err
}

func (r *reaper) reap() error {
	if err := r.load(); err != nil {
		return err
	}
	if err := r.killOrphans(); err != nil {
		return err
	}
	if err := r.harden(); err != nil {
		return err
	}
	ripened := r.ripen()
	if !r.changed.Swap(false) && !ripened {
		return nil
	}
	if r.weigh() || ripened {
		r.db.compactor.wake()
	}
	err := r.bury()
	if err != nil {
		r.changed.Store(true) // to be tried again
	}
	return err
}

// load reads the death records and the staged ids that earlier openings have left.
func (r *reaper) load() error {
	if r.loaded {
		return nil
	}
	d := r.db
	var staged []scope.ID
	dead := map[scope.ID]keys.SeqNum{}
	for _, kind := range []recordKind{recordDeath, recordStaged} {
		it, err := d.newIter(systemKeys, recordBounds(kind), keys.MaxSeqNum)
		if err != nil {
			return err
		}
		for it.Next() {
			id, err := decodeWholeID(it.Key()[1:])
			if err == nil {
				_, err = checkRecord(it.Value())
			}
			if err != nil {
				_ = it.Close() // the first error says what is wrong
				return err
			}
			switch seq := it.seqNum(); {
			case seq > r.openedAt: // whoever wrote it has told us
			case kind == recordDeath:
				dead[id] = seq
			default:
				staged = append(staged, id)
			}
		}
		if err := it.Close(); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, seq := range dead {
		r.addLocked(id, death{seq: seq, durable: true}) // what was replayed is synced
	}
	r.orphan = append(r.orphan, staged...)
	r.loaded = true
	return nil
}

// seqNum returns the number of the current entry of an iterator that moves forward.
func (it *Iterator) seqNum() keys.SeqNum { return it.merge.top().trailer.SeqNum() }

// maxReaperOps bounds the batches of the reaper.
const maxReaperOps = 1000

// killOrphans commits the death of copies that came to nothing.
func (r *reaper) killOrphans() error {
	d := r.db
	for {
		r.mu.Lock()
		ids := slices.Clone(r.orphan[:min(len(r.orphan), maxReaperOps)])
		r.mu.Unlock()
		if len(ids) == 0 {
			return nil
		}
		var b dirBatch
		for _, id := range ids {
			b.add(keys.KindDelete, idKey(recordStaged, id), nil)
			b.kill(id)
		}
		seq, err := d.commitDirectory(&b, NoSync)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.orphan = r.orphan[len(ids):] // others were added behind them
		for _, id := range ids {
			r.addLocked(id, death{seq: seq})
		}
		r.mu.Unlock()
		d.expirer.unstaged()
	}
}

// harden makes deaths durable that are not, in its own time: entries that are left out of
// a table must not be missed after a power cut that has taken the death.
func (r *reaper) harden() error {
	d := r.db
	r.mu.Lock()
	soft := r.soft
	r.mu.Unlock()
	if !soft {
		return nil
	}
	// One sync for many drops, and before a store that is at rest flushes what they were of.
	if !sleep(d.background.ctx, d.opts.seams.Sizing.SettleAfter/2) {
		return nil
	}
	r.mu.Lock()
	r.soft = false // a death that comes now sets it again
	var ids []scope.ID
	for id, dt := range r.deaths {
		if !dt.durable {
			ids = append(ids, id)
		}
	}
	r.mu.Unlock()
	if !(mutant.Enabled && mutant.Is(mutant.TrustSoftDeath)) {
		if err := d.wal.Sync(d.wal.End()); err != nil {
			return d.fail(err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		dt := r.deaths[id]
		dt.durable = true
		r.deaths[id] = dt
	}
	return nil
}

// ripenForFlush ripens what a flush can leave out. Called by the leader.
func (r *reaper) ripenForFlush() {
	if r.ripen() {
		r.changed.Store(true) // there are tables to be weighed
	}
}

// ripen finds ids that merges may leave out from now on, and reports whether there are
// any new ones. While the store is in use it waits until they are worth the copying.
func (r *reaper) ripen() bool {
	d := r.db
	r.mu.Lock()
	defer r.mu.Unlock()
	// Every death that is listed is visible: a snapshot that is not listed yet sees it.
	oldest := keys.MaxSeqNum
	if snapshots := d.snapshots.list(); len(snapshots) > 0 && !(mutant.Enabled && mutant.Is(mutant.DeadUnderSnapshot)) {
		oldest = snapshots[0]
	}
	old := r.ripe.Load()
	if r.unripe == 0 || oldest < r.first || !d.settler.resting() && r.unripe < old.len()/8 {
		return false
	}
	var fresh []scope.ID
	r.first = keys.MaxSeqNum
	for id, dt := range r.deaths {
		switch {
		case dt.ripe:
		case dt.durable && dt.seq <= oldest:
			dt.ripe = true
			r.deaths[id] = dt
			fresh = append(fresh, id)
		default:
			r.first = min(r.first, dt.seq)
		}
	}
	r.unripe -= len(fresh)
	if len(fresh) > 0 {
		r.ripe.Store(old.with(fresh))
	}
	return len(fresh) > 0
}

// bury deletes the death records of ids of which nothing is left, and forgets them.
func (r *reaper) bury() error {
	d := r.db
	ripe := r.ripe.Load()
	if ripe.len() == 0 {
		return nil
	}
	d.manifestMu.Lock()
	v, flushed := d.manifestLog.Version(), d.manifestLog.State().FlushedSeqNum
	d.manifestMu.Unlock()
	gone, buried := r.gone(ripe, v, flushed), 0
	var err error
	for buried < len(gone) && err == nil {
		next := gone[buried:min(buried+maxReaperOps, len(gone))]
		if err = r.buryIDs(next); err == nil {
			buried += len(next)
		}
	}
	if buried > 0 {
		r.mu.Lock()
		for _, id := range gone[:buried] {
			delete(r.deaths, id)
		}
		r.ripe.Store(r.ripe.Load().without(gone[:buried]))
		r.mu.Unlock()
	}
	return err
}

// buryIDs deletes the death records of ids, and what is on record of their keys.
func (r *reaper) buryIDs(ids []scope.ID) error {
	d := r.db
	var b dirBatch
	var left []crypto.ScopeKeyID
	for _, id := range ids {
		b.add(keys.KindDelete, idKey(recordDeath, id), nil)
		r.mu.Lock()
		died := r.deaths[id].seq
		r.mu.Unlock()
		keysLeft, err := d.vault.bury(&b, id, died)
		if err != nil {
			return err
		}
		left = append(left, keysLeft...)
	}
	if _, err := d.commitDirectory(&b, NoSync); err != nil {
		return err
	}
	d.vault.buried(ids, left)
	return nil
}
