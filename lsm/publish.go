package lsm

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// publisher makes parts visible in the order of their numbers (C3). It lists those
// that are applied but wait for the device, or for an earlier part that does.
//
// A synced part is settled by its first member: that writer syncs the log and then
// publishes its part and everything before it, whoever's it is. Members of other parts
// wait to be woken; a settler finds out by itself, under mu, that another was faster.
type publisher struct {
	// listed is the number of parts in the list. Zero, with the store not poisoned,
	// lets a leader publish without the mutex. A failing settler poisons the store
	// before it empties the list.
	listed atomic.Int64

	mu         sync.Mutex
	advanced   sync.Cond // visible advanced or the store was poisoned
	head, tail *request  // first members of the parts, linked by partNext
}

func (p *publisher) init() { p.advanced.L = &p.mu }

// push publishes an applied part or lists it. Called by the leader only, so that parts
// arrive in order.
func (p *publisher) push(d *DB, part *part, self *request) fate {
	first := part.head
	if mutant.Enabled && mutant.Is(mutant.WatchUnpublished) && d.feed.watched() {
		d.feed.add(first)
	}
	if !first.sync && p.listed.Load() == 0 && d.poison.err() == nil {
		d.publish(first)
		part.release(self)
		return fateDone
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := d.poison.err(); err != nil {
		p.advanced.Broadcast() // the part is applied, and will never be visible
		part.fail(err, self)
		return fateDone
	}
	if !first.sync && p.head == nil {
		d.publish(first)
		p.advanced.Broadcast()
		part.release(self)
		return fateDone
	}
	if p.tail == nil {
		p.head = first
	} else {
		p.tail.partNext = first
	}
	p.tail = first
	p.listed.Add(1)
	return fateListed
}

// publish makes the part that first heads visible, and tells watchers.
func (d *DB) publish(first *request) {
	d.visible.store(first.last)
	if d.feed.watched() && !(mutant.Enabled && mutant.Is(mutant.WatchUnpublished)) { // only now: N3
		d.feed.add(first)
	}
}

// settle makes the log durable up to the end of the part that r heads, and publishes
// every part up to it and the unsynced ones that follow. r.err says how it went.
func (p *publisher) settle(d *DB, r *request) {
	var err error
	began := d.opts.seams.Now()
	if !(mutant.Enabled && mutant.Is(mutant.AckEarly)) {
		err = d.wal.Sync(r.end)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.settled {
		return // a later part's sync covered this one
	}
	if err != nil {
		p.failAllLocked(d.fail(fmt.Errorf("log sync: %w", err)))
		return
	}
	held := false
	for !r.settled || p.head != nil && !p.head.sync {
		held = held || !p.head.sync
		p.popLocked(d, nil)
	}
	if held {
		now := d.opts.seams.Now()
		d.turns.held(now.Sub(began), now)
	}
}

// failAllLocked gives every listed part the error. The store is poisoned already, so
// none is published and no number after theirs ever will be.
func (p *publisher) failAllLocked(err error) {
	for p.head != nil {
		p.popLocked(nil, err)
	}
}

// popLocked removes the first part, publishes it into d unless err says that it failed,
// and wakes its members but for a settler.
func (p *publisher) popLocked(d *DB, err error) {
	first := p.head
	if p.head = first.partNext; p.head == nil {
		p.tail = nil
	}
	first.partNext = nil
	if err == nil {
		d.publish(first)
	}
	if invariants.Enabled {
		runtime.Gosched() // widen the window in which a leader must still see the part
	}
	// Only now: a leader that sees an empty list publishes a greater number at once, and
	// visible must not go back from it.
	p.listed.Add(-1)
	p.advanced.Broadcast()
	var settler *request
	if first.sync {
		settler = first
	}
	first.settled = true
	done := part{head: first}
	done.fail(err, settler)
}

// drain blocks until no part is listed. No leader pushes any more.
func (p *publisher) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.head != nil {
		p.advanced.Wait()
	}
}

// await blocks until everything up to seq is visible, or returns the error that keeps
// it from becoming so.
func (p *publisher) await(d *DB, seq keys.SeqNum) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for d.visible.load() < seq {
		if err := d.poison.err(); err != nil {
			return err
		}
		p.advanced.Wait()
	}
	return nil
}

// visibleSeqNum is the number below which everything is visible, on a cache line of
// its own: every read loads it and every commit stores it.
type visibleSeqNum struct {
	_ [64]byte
	n atomic.Uint64
	_ [56]byte
}

func (v *visibleSeqNum) load() keys.SeqNum { return keys.SeqNum(v.n.Load()) }

func (v *visibleSeqNum) store(s keys.SeqNum) {
	if invariants.Enabled && s < v.load() {
		panic(fmt.Sprintf("lsm: visible goes back from %d to %d (C3)", v.load(), s))
	}
	v.n.Store(uint64(s))
}
