package lsm

import (
	"errors"
	"sync/atomic"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// commitRing remembers what recent commits have written, so that the leader can judge a
// conditional commit without a read: only what was numbered after the committer's own look
// can still matter, published or not, and that is in the ring. It holds a bounded number of
// keys in two generations; when the younger is full the older is dropped.
//
// A committer enters before it looks and leaves when it has its outcome. While nobody is
// in, leaders load one atomic and leave the ring alone; the gap in the numbers tells the
// next one that uses it to begin anew. Invariants:
//
//   - G1. The ring holds every operation with a number above floor and below next, each once,
//     in the order of their numbers.
//   - G2. A leader that numbers a group while a committer is in enters the group (C5). So a
//     commit that was judged up to floor or later is judged completely by what the ring
//     holds; one that was not has met an overrun and must look again.
//     The group of a committer who is alone is held instead, and entered when it turns out that the
//     next group is judged beside others: whoever is in by then has entered after the leader looked
//     who is in, and looks from floor or later, since the lone one had found everything visible.
//   - G3. What floor is at an overrun is above 0, and has been numbered or will be with this
//     group, so that it becomes visible, or the store fails.
//
// Whatever takes a number must be entered: an ingest as a range. The death of a scope is the
// two records of its batch and no range: who relies on the scope has claimed its id, and is
// redirected before its conditions are judged (admit.go), or has read its entry, which is one
// of the two (txn_scopes.go).
type commitRing struct {
	users atomic.Int64 // committers between entering and leaving

	// Owned by the leader.
	capacity int // keys of a generation
	next     keys.SeqNum
	floor    keys.SeqNum
	older    generation
	younger  generation

	// The operations numbered from next on, if heldOps is not 0 (G2).
	held    []byte
	heldOps int
}

// generation holds the operations numbered from first on.
type generation struct {
	first  keys.SeqNum
	writes []ringWrite
	bytes  []byte // keys and upper bounds
}

// ringWrite is one operation: a key, or with an upper bound a range that begins at it.
type ringWrite struct {
	hash       uint64 // of the key
	at         uint32 // where its key begins in bytes; the upper bound follows
	key, upper uint32 // lengths; an upper bound is never empty
}

// generationBytes bounds the keys of a generation, but for the last one of them.
const generationBytes = 1 << 20

// errOverrun is the outcome of a commit that the ring could not judge.
var errOverrun = errors.New("lsm: commit overtaken by more than the ring holds")

// enter reports whether somebody is in already.
func (x *commitRing) enter() (others bool) { return x.users.Add(1) > 1 }
func (x *commitRing) leave()               { x.users.Add(-1) }

// inUse reports whether a leader must enter its group.
func (x *commitRing) inUse() bool { return x.users.Load() > 0 }

// begin makes the ring ready for a group whose first number will be next. Called by the
// leader, who then judges each member, and adds those that it admits (admit.go).
func (x *commitRing) begin(next keys.SeqNum) {
	if x.heldOps > 0 && x.next+keys.SeqNum(x.heldOps) == next {
		if mutant.Enabled && mutant.Is(mutant.ForgetHeldGroup) {
			x.held = nil
			x.next = next
		}
		x.add(opReader{rest: x.held}, x.heldOps)
	}
	x.heldOps = 0
	if x.next != next {
		x.restart(next)
	}
}

// spares reports whether r, alone in its group, need be neither judged nor entered: no other committer
// is in, and what it depends on was seen when everything up to last was visible. The payload must be
// its own, and one that syncs, which is published later, has to keep it until then.
func (x *commitRing) spares(r *request, last keys.SeqNum) bool {
	return r.depends != nil && r.depends.upTo == last && x.users.Load() == 1 &&
		!r.sync && !r.lent && r.tail == nil && len(r.payload) <= maxPooledPayload
}

// hold takes the payload of a published group that the ring has spared, numbered from first on, and
// gives the request other memory for it.
func (x *commitRing) hold(r *request, first keys.SeqNum) {
	x.restart(first)
	x.held, r.payload = r.payload, x.held[:0]
	x.heldOps = r.ops
}

// admitRange enters one operation that may change any key of [lower, upper) and takes the
// number last+1. Called by the leader.
func (x *commitRing) admitRange(lower, upper []byte, last keys.SeqNum) {
	x.begin(last + 1)
	x.push(lower, upper)
}

// restart forgets everything: the ring begins at the number next.
func (x *commitRing) restart(next keys.SeqNum) {
	x.next, x.floor, x.heldOps = next, next-1, 0
	x.older.restart(next)
	x.younger.restart(next)
}

// restart empties a generation. Memory that the last time did not need by far is let go.
func (g *generation) restart(first keys.SeqNum) {
	if cap(g.writes) > 1024 && len(g.writes) < cap(g.writes)/8 || cap(g.bytes) > 64<<10 && len(g.bytes) < cap(g.bytes)/8 {
		g.writes, g.bytes = nil, nil
	}
	g.first, g.writes, g.bytes = first, g.writes[:0], g.bytes[:0]
}

// judge says what becomes of a commit with these conditions.
func (x *commitRing) judge(c *conditions) error {
	if c == nil || mutant.Enabled && mutant.Is(mutant.SkipRingCheck) {
		return nil
	}
	if c.upTo < x.floor && !(mutant.Enabled && mutant.Is(mutant.TrustYoungRing)) {
		c.blocker = x.floor // maybe of this very group (G3)
		return errOverrun
	}
	c.seal()
	for _, g := range []*generation{&x.older, &x.younger} {
		if n := g.concerns(c); n > 0 {
			c.blocker = n // maybe of this very group
			return ErrConflict
		}
	}
	return nil
}

// concerns returns the number of an operation after c.upTo that may change c, or 0.
func (g *generation) concerns(c *conditions) keys.SeqNum {
	i := 0
	if c.upTo >= g.first {
		i = int(min(c.upTo-g.first+1, keys.SeqNum(len(g.writes))))
	}
	for ; i < len(g.writes); i++ {
		w := &g.writes[i]
		key := g.bytes[w.at : w.at+w.key]
		var upper []byte
		if w.upper > 0 {
			upper = g.bytes[w.at+w.key : w.at+w.key+w.upper]
		}
		if c.concernedBy(key, upper, w.hash) {
			return g.first + keys.SeqNum(i)
		}
	}
	return 0
}

// add enters so many operations, which take the next numbers.
func (x *commitRing) add(ops opReader, n int) {
	if n > x.capacity { // it would only push out all others and then itself
		x.restart(x.next + keys.SeqNum(n))
		return
	}
	for ops.next() {
		if ops.kind == keys.KindRangeDelete {
			x.push(ops.key, ops.value)
		} else {
			x.push(ops.key, nil)
		}
	}
}

// push enters one operation.
func (x *commitRing) push(key, upper []byte) {
	g := &x.younger
	if len(g.writes) >= x.capacity || len(g.bytes) >= generationBytes {
		x.older, x.younger = x.younger, x.older
		g.restart(x.next)
		x.floor = x.older.first - 1
	}
	w := ringWrite{hash: keys.Hash(key), at: uint32(len(g.bytes)), key: uint32(len(key)), upper: uint32(len(upper))}
	g.bytes = append(append(g.bytes, key...), upper...)
	g.writes = append(g.writes, w)
	x.next++
}
