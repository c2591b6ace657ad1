package lsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/wal"
)

// Back-pressure. A writer is delayed smoothly once level 0 holds more runs than reads
// should meet, and stopped only at hard limits: no memtable free, or level 0 full. The
// delay and the stop are the leader's, so that everybody behind it shares them; no
// lock that flushes or compactions need is held meanwhile.
//
// While no memtable is free the stop lasts for the rest of one flush, without a delay
// before it. Slowing writers to the pace of the last flush while all other memtables waited
// was tried: it changed neither the longest waits nor their number beyond what shows
// between equal runs (eight fills of 120 MB with memtables of 11 MiB, alternating, two
// busy cores).

// room is where a stopped leader waits, for a flush or for a compaction.
type room struct {
	mu       sync.Mutex
	cond     sync.Cond
	attempts [2]attempts // by work
	waiters  [2]int      // callers of wait, by work
}

// work is what a stopped leader waits for.
type work uint8

const (
	flushing work = iota
	compacting
)

// attempts number the tries of one kind of work.
type attempts struct {
	begun  int
	failed int // the last one that failed, 0 when one has succeeded since
	err    error
}

func (r *room) init() { r.cond.L = &r.mu }

// wakeAll makes waiters look again.
func (r *room) wakeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cond.Broadcast()
}

// begin numbers an attempt.
func (r *room) begin(w work) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts[w].begun++
	return r.attempts[w].begun
}

// end records how an attempt went.
func (r *room) end(w work, attempt int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := &r.attempts[w]
	if err == nil {
		a.failed, a.err = 0, nil
	} else {
		a.failed, a.err = max(a.failed, attempt), err
	}
	r.cond.Broadcast()
}

// wait returns when ready does true. The end of ctx, poisoning and Close end the wait with
// their error. So does a failed attempt at the work, but only one that began after the
// call: the first write after space has returned succeeds.
func (r *room) wait(ctx context.Context, d *DB, w work, ready func() bool) error {
	stop := context.AfterFunc(ctx, r.wakeAll)
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiters[w]++
	defer func() {
		if r.waiters[w]--; r.waiters[w] == 0 {
			r.cond.Broadcast() // merges that gave way go on
		}
	}()
	before := r.attempts[w].begun
	if r.attempts[w].failed > 0 {
		d.flusher.wake()
		d.compactor.wake()
	}
	for !ready() {
		a := &r.attempts[w]
		switch {
		case d.poison.err() != nil:
			return d.poison.err()
		case d.closed.Load():
			return ErrClosed
		case a.failed > before:
			return fmt.Errorf("lsm: no room for writes: %w", a.err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		r.cond.Wait()
	}
	return nil
}

// giveWay blocks a merge for as long as somebody waits for a flush: on a machine with few
// processors, and on any device, the merge would make that wait longer. A merge has the
// same right once level 0 has so many runs that writers are slowed. ctx ends with the
// store, which wakes everybody.
func (d *DB) giveWay(ctx context.Context) {
	r := &d.room
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.waiters[flushing] > 0 && len(d.state.Load().version.Levels[0]) <= d.opts.seams.Sizing.L0Slow && ctx.Err() == nil {
		r.cond.Wait()
	}
}

// makeRoom makes sure that a group can be numbered, logged and applied (C2): the
// memtable has room, level 0 is not full, the numbers are reserved, and the log has
// space. Called by the leader.
func (d *DB) makeRoom(ops, ranges int, bytes, payload int64, batches int) error {
	if d.closed.Load() {
		return ErrClosed
	}
	if err := d.poison.err(); err != nil {
		return err
	}
	if runs := len(d.state.Load().version.Levels[0]); runs > d.opts.seams.Sizing.L0Slow {
		if err := d.slowDown(runs, bytes); err != nil {
			return err
		}
	}
	if !d.mutable.fits(ops, ranges, bytes) {
		if err := d.freeze(context.Background(), d.nextMutableBytes(ops, bytes)); err != nil {
			return err
		}
	}
	if need := uint64(d.lastSeqNum) + uint64(ops); need > d.reserved.Load() {
		if err := d.reserveSeqNums(keys.SeqNum(need)); err != nil {
			return err
		}
	}
	if err := d.wal.Reserve(payload, batches); err != nil {
		return d.logSpaceError(err)
	}
	return nil
}

// logSpaceError sorts an error of making room in the log: when no segment could be
// readied the commit is refused and can be tried again, anything else poisons.
func (d *DB) logSpaceError(err error) error {
	if errors.Is(err, wal.ErrUnready) {
		return fmt.Errorf("lsm: no room in the log: %w", err)
	}
	return d.fail(fmt.Errorf("log space: %w", err))
}

// nextMutableBytes sizes the memtable after the current one: twice as large up to the
// option, or as large as an oversized batch needs.
func (d *DB) nextMutableBytes(ops int, bytes int64) int64 {
	next := min(2*d.mutable.capacity, d.opts.MemtableBytes)
	return max(next, memtableBytesFor(ops, bytes))
}

// sameMutableBytes sizes the memtable after the current one when that is not full. One
// that was made for an oversized batch is not repeated.
func (d *DB) sameMutableBytes() int64 { return min(d.mutable.capacity, d.opts.MemtableBytes) }

// freeze replaces the mutable memtable by an empty one of n bytes and hands the old one
// to the flusher. Called by the leader.
func (d *DB) freeze(ctx context.Context, n int64) error {
	if !d.mutable.empty() {
		err := d.room.wait(ctx, d, flushing, func() bool { return len(d.state.Load().frozen) < maxMemtables-1 })
		if err != nil {
			return err
		}
	}
	fresh, err := d.newMutable(n, d.wal.Current())
	if err != nil {
		return fmt.Errorf("lsm: memory for a memtable: %w", err)
	}
	old := d.mutable
	d.stateMu.Lock()
	s := d.state.Load()
	frozen := s.frozen
	if !old.empty() {
		frozen = append([]*mutableTable{old}, s.frozen...)
	}
	d.state.Store(d.newReadState(fresh, frozen, s.version))
	d.stateMu.Unlock()
	d.mutable = fresh
	d.flusher.retire(s)
	d.flusher.wake()
	return nil
}

// pacer turns a debt of compaction into a delay of writes.
type pacer struct {
	owed time.Duration // delay earned but not yet slept: naps are at least minNap long
}

const (
	minNap = time.Millisecond
	// maxNap bounds one delay: the rest is owed by the next writes.
	maxNap = 100 * time.Millisecond
	// slowestBytesPerSec is the speed to which writes are slowed as level 0 gets full.
	slowestBytesPerSec = 8 << 20
)

// delay returns how long bytes written at the given fullness, from 0 at the first run
// too many to 1 at the stop, should take: nothing at first, growing with the square.
func (p *pacer) delay(fullness float64, bytes int64) time.Duration {
	return time.Duration(fullness * fullness * float64(bytes) / slowestBytesPerSec * float64(time.Second))
}

// slowDown delays the leader by what its bytes owe, or stops it while level 0 is full.
func (d *DB) slowDown(runs int, bytes int64) error {
	slow, stop := d.opts.seams.Sizing.L0Slow, d.opts.seams.Sizing.L0Stop
	if runs >= stop {
		d.metrics.stops.Add(1)
		d.compactor.wake()
		return d.room.wait(context.Background(), d, compacting, func() bool { return len(d.state.Load().version.Levels[0]) < stop })
	}
	d.pace.owed += d.pace.delay(float64(runs-slow)/float64(stop-slow), bytes)
	if d.pace.owed < minNap {
		return nil
	}
	length := min(d.pace.owed, maxNap)
	d.pace.owed -= length
	d.metrics.delayed.Add(int64(length))
	nap := time.NewTimer(length)
	defer nap.Stop()
	select {
	case <-nap.C:
	case <-d.closing:
	}
	return nil
}
