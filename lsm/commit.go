package lsm

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/memtable"
	"github.com/loamdb/loam/wal"
)

// The commit path. A writer frames and checksums its batch, then joins a queue. The
// first to find nobody leading leads: it takes those that wait, numbers them, appends
// them to the log in one go, applies them to the memtable, hands the lead to the next
// in the queue, and only then waits for the device. So a lone writer meets two
// uncontended mutexes and no channel, and while one group is synced the next is
// numbered, written and applied.
//
// Invariants:
//
//   - C1. One leader at a time; numbers, log order and memtable order are the same.
//   - C2. Whatever can be refused is refused before numbers are given: limits, room in
//     the memtable, space for the log, numbers reserved in the manifest. An error
//     after that poisons the store.
//   - C3. Groups become visible in the order of their numbers, a synced one only when
//     the log is durable up to its end. In a mixed group the unsynced members have the
//     lower numbers and do not wait for the sync.
//   - C4. visible is always the number of the last operation of a batch.
//   - C5. While the ring is in use every number given is entered in it before the next
//     group is taken (ring.go).

// request is one batch on its way to the log. It belongs to its writer but for the
// time between join and wake.
type request struct {
	payload []byte
	tail    []byte // the end of the payload, if it is a long value of the caller's
	crc     uint32
	ops     int
	ranges  int // of them, those that delete a range
	bytes   int64
	sync    bool
	err     error
	depends *conditions // what it depends on; nil for a plain write

	lent   bool        // the payload is a batch's
	merges bool        // there are operands in it
	folds  attached    // what it brings along for them: merge_chain.go
	wake   chan signal // capacity 1; made once, kept with the pooled request

	lasting bool // it is known that no operation writes an entry that expires
	indexed bool // expiry_index.go

	scoped  bool   // claims count
	claims  claims // what it relies on of the directory: scope_commit.go
	refused bool   // by admit; err says why

	next *request // in the queue, then in its part

	// Of the first member of a part, once pushed: guarded by publisher.mu.
	end      wal.Position
	last     keys.SeqNum
	settled  bool
	partNext *request
}

// signal is what a waiting writer is woken with.
type signal uint8

const (
	signalDone   signal = iota // err is set; the request is the writer's again
	signalLead                 // nobody leads: lead
	signalSettle               // the part is written: sync and publish it
)

// newRequest returns a request with an empty payload. Requests are kept for each store
// apart: a channel that a test made under testing/synctest is of no use elsewhere.
func (q *commitQueue) newRequest(w *WriteOptions) *request {
	r, _ := q.requests.Get().(*request)
	if r == nil {
		r = &request{wake: make(chan signal, 1)}
	}
	r.sync = w == nil || !w.Unsynced
	r.err, r.next, r.partNext, r.settled = nil, nil, nil, false
	r.ranges, r.tail, r.lent = 0, nil, false
	r.lasting, r.indexed, r.scoped, r.refused, r.merges, r.claims.conflict = false, false, false, false, false, 0
	return r
}

// operations returns a reader of what r writes.
func (r *request) operations() opReader { return opReader{rest: r.payload, tail: r.tail} }

// size is the length of the whole payload.
func (r *request) size() int64 { return int64(len(r.payload)) + int64(len(r.tail)) }

// maxPooledPayload keeps one giant value from staying in the pool for ever.
const maxPooledPayload = 64 << 10

func (q *commitQueue) recycle(r *request) {
	r.tail = nil
	if cap(r.payload) > maxPooledPayload {
		r.payload = nil
	}
	r.folds.drop()
	q.requests.Put(r)
}

// commitQueue is where writers wait for the lead.
type commitQueue struct {
	mu         sync.Mutex
	led        bool
	closed     bool
	head, tail *request

	requests sync.Pool // of *request

	// Owned by the leader.
	batches []wal.Batch
}

// maxGroupBytes bounds what a leader takes along, so that a group's writers do not
// wait for megabytes of others.
const maxGroupBytes = 1 << 20

// join enqueues r and reports whether its writer must lead. With an error it does
// neither.
func (q *commitQueue) join(r *request) (lead bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, ErrClosed
	}
	if !q.led {
		q.led = true
		return true, nil
	}
	if q.tail == nil {
		q.head = r
	} else {
		q.tail.next = r
	}
	q.tail = r
	return false, nil
}

// acquire takes the lead without a batch, for work that no commit may run beside. A
// stopped leader keeps it waiting until ctx ends.
func (q *commitQueue) acquire(ctx context.Context) error {
	r := q.newRequest(nil)
	defer q.recycle(r)
	r.payload, r.ops, r.bytes = r.payload[:0], 0, 0
	lead, err := q.join(r)
	if lead || err != nil {
		return err
	}
	// An empty request is never taken into a group: it is woken to lead, or by close.
	select {
	case s := <-r.wake:
		return r.outcome(s)
	case <-ctx.Done():
	}
	if q.leave(r) {
		return ctx.Err()
	}
	// It is being woken: the lead, if it is that, goes on to the next.
	if err := r.outcome(<-r.wake); err != nil {
		return err
	}
	q.passLead()
	return ctx.Err()
}

// outcome is what the signal means to a request without a batch.
func (r *request) outcome(s signal) error {
	if s == signalDone {
		return r.err
	}
	return nil
}

// leave takes a request out of the queue and reports whether it was there.
func (q *commitQueue) leave(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	var prev *request
	for o := q.head; o != nil; prev, o = o, o.next {
		if o != r {
			continue
		}
		if prev == nil {
			q.head = r.next
		} else {
			prev.next = r.next
		}
		if q.tail == r {
			q.tail = prev
		}
		r.next = nil
		return true
	}
	return false
}

// close takes the lead for ever: whoever waits or comes later gets ErrClosed.
func (q *commitQueue) close() {
	if q.acquire(context.Background()) != nil {
		return
	}
	q.mu.Lock()
	q.closed = true
	rest := part{head: q.head}
	q.head, q.tail = nil, nil
	q.mu.Unlock()
	rest.fail(ErrClosed, nil)
}

// take removes from the queue the requests that fit into one group with r, and
// returns the group as two lists: unsynced members, then synced ones.
func (q *commitQueue) take(r *request, limit int64) (unsynced, synced part) {
	unsynced.pushIf(r, !r.sync)
	synced.pushIf(r, r.sync)
	total := r.size()
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.head != nil && q.head.ops > 0 && total+q.head.size() <= limit {
		m := q.head
		total += m.size()
		if q.head = m.next; q.head == nil {
			q.tail = nil
		}
		m.next = nil
		unsynced.pushIf(m, !m.sync)
		synced.pushIf(m, m.sync)
	}
	return unsynced, synced
}

// passLead gives the lead to the next in the queue, if any.
func (q *commitQueue) passLead() {
	q.mu.Lock()
	next := q.head
	if next == nil {
		q.led = false
	} else if q.head = next.next; q.head == nil {
		q.tail = nil
	}
	q.mu.Unlock()
	if next != nil {
		next.next = nil
		next.wake <- signalLead
	}
}

// waiting reports whether somebody waits for the lead.
func (q *commitQueue) waiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head != nil
}

// unsyncedWaits reports whether the first who waits for the lead does not want to sync.
func (q *commitQueue) unsyncedWaits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head != nil && q.head.ops > 0 && !q.head.sync
}

// commit takes a framed request through the pipeline and returns its outcome.
func (d *DB) commit(r *request) error {
	if d.opts.ExpiryEvents && !r.indexed && !r.lasting {
		if err := d.indexExpiries(r); err != nil {
			return err
		}
	}
	if r.sync {
		d.turns.wait(d)
	}
	if r.merges {
		if r.err = d.attachFolds(r); r.err != nil {
			return r.err
		}
	}
	d.sumUp(r)
	lead, err := d.queue.join(r)
	if err != nil {
		return err
	}
	if lead {
		d.lead(r)
		return r.err
	}
	switch <-r.wake {
	case signalLead:
		d.lead(r)
	case signalSettle:
		d.publisher.settle(d, r)
	}
	return r.err
}

// lead runs one group, of r and of those that wait behind it. On return r.err is set; every
// other member has been woken, or will be by whoever publishes its part.
func (d *DB) lead(r *request) { d.leadGroup(r, min(maxGroupBytes, d.mutable.capacity/4)) }

// leadGroup is lead for a group of at most so many bytes, or of r alone.
func (d *DB) leadGroup(r *request, limit int64) {
	unsynced, synced := d.queue.take(r, limit)
	ops, bytes := unsynced.ops+synced.ops, unsynced.bytes+synced.bytes
	err := d.makeRoomForFolds(ops, bytes, unsynced.folds+synced.folds, unsynced.foldBytes+synced.foldBytes)
	if err == nil {
		err = d.makeRoom(ops, unsynced.ranges+synced.ranges, bytes, unsynced.payload+synced.payload, unsynced.members+synced.members)
	}
	if err != nil {
		d.queue.passLead()
		unsynced.fail(err, r)
		synced.fail(err, r)
		return
	}
	d.beginCommit()
	var refused part
	first, spared := d.lastSeqNum+1, false
	if d.ring.inUse() || unsynced.scoped || synced.scoped {
		spared = unsynced.members+synced.members == 1 && d.ring.spares(r, d.lastSeqNum)
		refused = d.admit(&unsynced, &synced, spared)
	}
	// The device is waited for under the lead only when there is nothing else to do: a
	// lone synced writer saves the second system call of write and sync.
	intent := wal.WillSync
	if synced.head == r && r.next == nil && unsynced.head == nil && !d.queue.waiting() {
		intent = wal.TrySync
	}
	settler := synced.head // read before the part can be published and its members leave
	mine := d.writePart(&unsynced, r, wal.NoSync)
	began := time.Time{}
	if intent == wal.TrySync {
		began = d.opts.seams.Now()
	}
	fate := d.writePart(&synced, r, intent)
	if intent == wal.TrySync && d.queue.unsyncedWaits() {
		now := d.opts.seams.Now()
		d.turns.held(now.Sub(began), now)
	}
	if fate == fateListed && settler != r {
		settler.wake <- signalSettle
	}
	if spared && d.lastSeqNum >= first && mine == fateDone {
		d.ring.hold(r, first)
	}
	d.endCommit()
	d.queue.passLead()
	refused.wake(r)
	switch {
	case r.refused: // r.err says why
	case r.sync && fate == fateListed:
		d.publisher.settle(d, r)
	case !r.sync && mine == fateListed:
		<-r.wake
	}
}

// fate is what became of a part.
type fate uint8

const (
	fateDone   fate = iota // empty, failed or published: nothing to wait for
	fateListed             // the publisher has it
)

// writePart numbers, logs and applies a part, then publishes it or, when it waits for
// the device or for a part that does, lists it. Members other than self are woken when
// the part fails or is published. Called by the leader only.
func (d *DB) writePart(p *part, self *request, intent wal.Intent) fate {
	if p.head == nil {
		return fateDone
	}
	if err := d.poison.err(); err != nil {
		p.fail(err, self)
		return fateDone
	}
	batches := d.queue.batches[:0]
	last, now := d.lastSeqNum, d.groupTime
	for r := p.head; r != nil; r = r.next {
		batches = append(batches, wal.Batch{
			Payload: r.payload, Tail: r.tail, PayloadCRC: r.crc,
			FirstSeqNum: last + 1, Count: uint32(r.ops), CommitTime: uint64(now),
		})
		last += keys.SeqNum(r.ops)
	}
	d.queue.batches = batches
	end, err := d.wal.Append(batches, intent)
	clear(batches) // keep no writer's payload alive
	if err != nil {
		p.fail(d.fail(fmt.Errorf("log append: %w", err)), self)
		return fateDone
	}
	d.apply(p, now)
	d.lastSeqNum = last
	p.head.end, p.head.last = end, last
	d.syncer.arm()
	d.settler.arm()
	fate := d.publisher.push(d, p, self)
	d.expirer.listed(d.mutable, last)
	return fate
}

// apply inserts a part, committed at now, into the mutable memtable. makeRoom has made sure it
// fits.
func (d *DB) apply(p *part, now int64) {
	mem := d.mutable
	seq := d.lastSeqNum
	var readers rangedel.Readers // of the part's range tombstones, once there is one
	for r := p.head; r != nil; r = r.next {
		d.applyFolds(mem, &r.folds)
		ops := r.operations()
		for i := 0; ops.next(); i++ {
			seq++
			if mutant.Enabled && mutant.Is(mutant.PartialBatch) && i > 0 && i == r.ops/2 {
				d.visible.store(seq)
				for range 100 {
					runtime.Gosched() // let readers look, on however few processors
				}
			}
			if ops.kind == keys.KindRangeDelete {
				if readers.Unread == 0 {
					readers = d.rangeReaders(d.lastSeqNum + 1)
				}
				mem.insertRange(ops.key, ops.value, seq, readers)
				continue
			}
			if ops.kind == keys.KindMerge {
				d.applyMerge(mem, ops.key, ops.value, seq, now, len(r.folds.list) > 0)
				continue
			}
			finger := 0
			if r.ops <= memtable.Fingers {
				finger = r.ops - 1 - i // batches of one shape, or of one end, follow each other
			}
			again := ops.kind == keys.KindDelete || r.depends != nil && r.depends.hasSince(ops.key, mem.firstSeqNum)
			mem.insertBy(finger, again, ops.key, keys.MakeTrailer(seq, ops.kind), ops.value)
		}
		mem.logical += r.bytes
	}
	d.expirer.applied(mem)
}
