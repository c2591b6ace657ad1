package hook

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
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
	wake     chan struct{} // tells the worker, when it is parked
	ended    chan struct{} // closed when the worker has left for good

	mu struct {
		sync.Mutex
		ring            []queued // grows up to the capacity
		first, n        int
		working, parked bool
		closed          bool
		discarded       bool            // what was queued, since Close could not wait
		waiting         []chan struct{} // callers that wait for room
		drains          []chan struct{} // callers that wait until all is done
	}
}

type queued struct {
	hooks []*registration
	event Event
	depth int
}

func newShard(capacity int, policy Policy) *shard {
	return &shard{capacity: capacity, policy: policy, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// shardOf returns the shard of an event's key.
func (d *Dispatcher) shardOf(ev *Event) *shard {
	if len(d.shards) == 1 {
		return d.shards[0]
	}
	h := maphash.String(d.seed, ev.Key) + 31*maphash.String(d.seed, ev.Scope.ID())
	return d.shards[h%uint64(len(d.shards))]
}

// push appends an event for some hooks, and reports false when it must be dropped.
func (s *shard) push(ctx context.Context, hooks []*registration, ev *Event, depth int) bool {
	for {
		s.mu.Lock()
		if s.mu.closed {
			s.mu.Unlock()
			return false
		}
		if s.mu.n < s.capacity {
			s.putLocked(hooks, ev, depth)
			wake := s.mu.parked
			s.mu.parked = false
			s.mu.Unlock()
			if wake {
				s.wake <- struct{}{}
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

// putLocked copies the event once, straight to its place: it is as long as four cache lines.
func (s *shard) putLocked(hooks []*registration, ev *Event, depth int) {
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
	q := &s.mu.ring[at]
	q.hooks, q.event, q.depth = hooks, *ev, depth
	s.mu.n++
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
	for s.mu.n == 0 {
		for _, done := range s.mu.drains {
			close(done)
		}
		s.mu.drains = nil
		if s.mu.closed {
			return false
		}
		s.mu.parked = true
		s.mu.Unlock()
		c.clear()
		<-s.wake
		s.mu.Lock()
	}
	q := &s.mu.ring[s.mu.first]
	c.mode, c.point, c.hooks, c.event = modeQueue, afterPoint(q.event.Op), q.hooks, q.event
	c.parent, c.trace, c.next, c.err = context.Background(), Trace{depth: q.depth}, 0, nil
	c.clock = -1
	*q = queued{}
	if s.mu.first++; s.mu.first == len(s.mu.ring) {
		s.mu.first = 0
	}
	s.mu.n--
	s.mu.working = true
	s.callNextLocked()
	return true
}

// close lets the worker finish what is queued, and nobody add to it.
func (s *shard) close() {
	s.mu.Lock()
	s.mu.closed = true
	for len(s.mu.waiting) > 0 {
		s.callNextLocked()
	}
	wake := s.mu.parked
	s.mu.parked = false
	s.mu.Unlock()
	if wake {
		s.wake <- struct{}{}
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

// drained returns a channel that is closed when the queue is empty and its worker idle.
func (s *shard) drained() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := make(chan struct{})
	if s.mu.n == 0 && !s.mu.working {
		close(done)
	} else {
		s.mu.drains = append(s.mu.drains, done)
	}
	return done
}

func (s *shard) length() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.n
}

// work is the goroutine of a shard's worker.
func (c *call) work() {
	for c.run() {
		if !c.shard.pop(c) {
			c.d.watch.remove(c)
			close(c.shard.ended)
			return
		}
	}
}
