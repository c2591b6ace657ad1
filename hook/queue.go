package hook

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/loamdb/loam/scope"
)

// Policy says what becomes of an event that finds its queue full.
type Policy uint8

// The policies.
const (
	// Block has After wait until there is room, or its context ends; then the event is
	// dropped. An event of a change that a hook makes with its own context does not wait:
	// the worker it would wait for may be its own. It is dropped.
	Block Policy = iota
	// Drop drops the event.
	Drop
)

// shard is a bounded queue with one worker. All events of a key go to the same shard.
type shard struct {
	capacity int
	policy   Policy
	wake     chan struct{} // of one: tells the worker that there is something to do
	ended    chan struct{} // closed when the worker has left for good

	// The worker's own.
	failed     int // how often in a row it did not pay to linger
	rests, due int // how often it has had nothing to do since it last tried to, and how often until it tries
	timer      *time.Timer

	mu struct {
		sync.Mutex
		ring      []queued // grows up to the capacity
		first, n  int
		put       uint64 // events in all
		working   bool
		sleep     sleep
		closed    bool
		discarded bool            // what was queued, since Close could not wait
		waiting   []chan struct{} // callers that wait for room
		drains    []chan struct{} // callers that wait until all is done
	}
}

// sleep says how a worker sleeps.
type sleep uint8

const (
	awake     sleep = iota
	lingering       // it wakes up by itself
	parked          // the next event wakes it
)

// A caller that wakes the worker for each event pays more for that than for all else that After does, and
// then works beside it on the same memory. A worker that lingers finds what comes meanwhile without being
// woken: in bursts of 20 changes After takes 255 ns, else 480 to 1,100. That keeps waiting, for a millisecond on some
// systems, who waits for what comes of one event before making the next. So the worker tries it ever more
// seldom, and keeps it up while it pays.
const (
	lingerFor   = 100 * time.Microsecond
	lingerPays  = 4    // events that have come meanwhile
	lingerFails = 16   // times in a row that it may not have paid
	lingerSoon  = 16   // how often the worker has nothing to do until it tries again, after it has paid,
	lingerLate  = 1024 // and after it has not for long
)

// queued is an event in its place in a queue. The caller writes it and a worker on another processor reads it, so
// that each cache line of it costs both. Of most events all is in the first two; the rest is touched only where
// there is some: of a pair of hooks 20 to 60 ns, the more the busier the other processor is.
type queued struct {
	hooks *[]*registration

	id      ID
	time    time.Time
	seqNum  uint64
	op      Op
	depth   uint8
	more    bool
	scope   scope.Scope
	key     string
	version uint64

	rest struct {
		to                 scope.Scope
		collection         string
		actor, correlation string
		cause              ID
		values             *Values
	}

	_ [16]byte // so that it is as long as four cache lines, and begins with one
}

// put makes of the place, which is empty, that of an event.
func (q *queued) put(hooks *[]*registration, ev *Event, depth int) {
	q.hooks, q.depth = hooks, uint8(depth) // at most maxDepth
	q.id, q.time, q.seqNum, q.op, q.scope, q.key, q.version = ev.ID, ev.Time, ev.SeqNum, ev.Op, ev.Scope, ev.Key, ev.Version
	q.more = ev.To.Kind() != scope.AnyKind || ev.Collection != "" || ev.Actor != "" || ev.Correlation != "" || !ev.Cause.IsZero() || ev.Values != nil
	if q.more {
		r := &q.rest
		r.to, r.collection, r.actor, r.correlation, r.cause, r.values = ev.To, ev.Collection, ev.Actor, ev.Correlation, ev.Cause, ev.Values
	}
}

// take moves the event from its place to ev, which is empty.
func (q *queued) take(ev *Event) {
	ev.ID, ev.Time, ev.SeqNum, ev.Op, ev.Scope, ev.Key, ev.Version = q.id, q.time, q.seqNum, q.op, q.scope, q.key, q.version
	if !q.more {
		q.hooks, q.time, q.scope, q.key = nil, time.Time{}, scope.Scope{}, "" // what refers to memory
		return
	}
	r := &q.rest
	ev.To, ev.Collection, ev.Actor, ev.Correlation, ev.Cause, ev.Values = r.to, r.collection, r.actor, r.correlation, r.cause, r.values
	*q = queued{}
}

func newShard(capacity int, policy Policy) *shard {
	return &shard{
		capacity: capacity, policy: policy, wake: make(chan struct{}, 1), ended: make(chan struct{}),
		failed: lingerFails, due: lingerSoon,
	}
}

// shardOf returns the shard of an event's key.
func (d *Dispatcher) shardOf(ev *Event) *shard {
	if len(d.shards) == 1 {
		return d.shards[0]
	}
	h := mix(mix(d.seed, ev.Key), ev.Scope.ID())
	return d.shards[(h>>32)%uint64(len(d.shards))]
}

// mix takes a text into a hash, a word at a time. Two hashes of package maphash took 30 ns more, a seventh of what After
// does.
func mix(h uint64, s string) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h += uint64(len(s))
	for ; len(s) >= 8; s = s[8:] {
		word := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		h = (h ^ word) * odd
		h ^= h >> 32
	}
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * odd
	}
	return h ^ h>>32
}

// push appends an event for some hooks, and reports false when it must be dropped.
func (s *shard) push(ctx context.Context, hooks *[]*registration, ev *Event, depth int) bool {
	for {
		s.mu.Lock()
		if s.mu.closed {
			s.mu.Unlock()
			return false
		}
		if s.mu.n < s.capacity {
			s.putLocked(hooks, ev, depth)
			wake := s.mu.sleep == parked || s.mu.sleep == lingering && 2*s.mu.n >= s.capacity
			if wake {
				s.mu.sleep = awake
			}
			s.mu.Unlock()
			if wake {
				s.wakeUp()
			}
			return true
		}
		if s.policy == Drop || depth > 0 {
			s.mu.Unlock()
			return false
		}
		room := make(chan struct{})
		s.mu.waiting = append(s.mu.waiting, room)
		s.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			s.leave(room)
			return false
		}
	}
}

// putLocked copies the event once, straight to its place.
func (s *shard) putLocked(hooks *[]*registration, ev *Event, depth int) {
	if s.mu.n == len(s.mu.ring) {
		ring := make([]queued, min(max(2*s.mu.n, 16), s.capacity))
		n := copy(ring, s.mu.ring[s.mu.first:])
		copy(ring[n:], s.mu.ring[:s.mu.first])
		s.mu.ring, s.mu.first = ring, 0
	}
	at := s.mu.first + s.mu.n
	if at >= len(s.mu.ring) {
		at -= len(s.mu.ring)
	}
	s.mu.ring[at].put(hooks, ev, depth)
	s.mu.n++
	s.mu.put++
}

// leave takes back that a caller waits. One that was called meanwhile calls the next.
func (s *shard) leave(room chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.mu.waiting, room); i >= 0 {
		s.mu.waiting = slices.Delete(s.mu.waiting, i, i+1)
	} else {
		s.callNextLocked()
	}
}

func (s *shard) callNextLocked() {
	if len(s.mu.waiting) > 0 {
		close(s.mu.waiting[0])
		s.mu.waiting = s.mu.waiting[1:]
	}
}

// pop gives the worker's call the next event, waiting for it, and reports false when the
// queue is closed and empty.
func (s *shard) pop(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.working = false
	for lingered := false; s.mu.n == 0; {
		for _, done := range s.mu.drains {
			close(done)
		}
		s.mu.drains = nil
		if s.mu.closed {
			return false
		}
		how := parked
		if !lingered && s.lingers() {
			how = lingering
		}
		lingered = true
		s.sleepLocked(c, how)
	}
	q := &s.mu.ring[s.mu.first]
	c.mode, c.point, c.hooks, c.event = modeQueue, afterPoint(q.op), *q.hooks, Event{}
	c.parent, c.trace, c.next, c.err = context.Background(), Trace{depth: int(q.depth)}, 0, nil
	q.take(&c.event)
	if s.mu.first++; s.mu.first == len(s.mu.ring) {
		s.mu.first = 0
	}
	s.mu.n--
	s.mu.working = true
	s.callNextLocked()
	return true
}

// sleepLocked has the worker sleep until there may be something to do. mu is not held meanwhile.
func (s *shard) sleepLocked(c *call, how sleep) {
	s.mu.sleep = how
	s.mu.Unlock()
	c.clear()
	if how == lingering {
		s.linger()
	} else {
		<-s.wake
	}
	c.clock = -1
	s.mu.Lock()
	s.mu.sleep = awake
	switch {
	case how != lingering:
	case s.mu.n >= lingerPays:
		s.failed, s.due = 0, lingerSoon
	default:
		s.failed++
	}
}

// lingers reports whether the worker, which has nothing to do, is to linger before it parks.
func (s *shard) lingers() bool {
	if s.failed < lingerFails {
		return true
	}
	if s.rests++; s.rests < s.due {
		return false
	}
	s.rests, s.due = 0, min(2*s.due, lingerLate)
	return true
}

// linger waits for a moment, or until somebody wakes the worker.
func (s *shard) linger() {
	if s.timer == nil {
		s.timer = time.NewTimer(lingerFor)
	} else {
		s.timer.Reset(lingerFor)
	}
	select {
	case <-s.timer.C:
	case <-s.wake:
		s.timer.Stop()
	}
}

// wakeUp wakes the worker, which sleeps, or did so a moment ago.
func (s *shard) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// close lets the worker finish what is queued, and nobody add to it.
func (s *shard) close() {
	s.mu.Lock()
	s.mu.closed = true
	for len(s.mu.waiting) > 0 {
		s.callNextLocked()
	}
	sleeps := s.mu.sleep != awake
	s.mu.Unlock()
	if sleeps {
		s.wakeUp()
	}
}

// discard takes out what is queued.
func (s *shard) discard() []queued {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]queued, 0, s.mu.n)
	for i := range s.mu.n {
		out = append(out, s.mu.ring[(s.mu.first+i)%len(s.mu.ring)])
	}
	s.mu.ring, s.mu.first, s.mu.n, s.mu.discarded = nil, 0, 0, true
	return out
}

func (s *shard) discarded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.discarded
}

// drained returns a channel that is closed when the queue is empty and its worker idle, and how many events the
// queue has had.
func (s *shard) drained() (<-chan struct{}, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := make(chan struct{})
	if s.mu.n == 0 && !s.mu.working {
		close(done)
	} else {
		s.mu.drains = append(s.mu.drains, done)
		if s.mu.sleep == lingering {
			s.wakeUp()
		}
	}
	return done, s.mu.put
}

func (s *shard) length() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.n
}

// work is the goroutine of a shard's worker.
func (c *call) work() {
	for c.run(nil) {
		if !c.shard.pop(c) {
			c.d.watch.remove(c)
			close(c.shard.ended)
			return
		}
	}
}
