package state

import (
	"container/heap"
	"errors"
	"math"
	"slices"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/index"
)

// A look at a scope: which of its entries are to go, and what is left. Entries are users' and documents.

// slack is the part of a limit by which it may be exceeded before somebody looks.
const slack = 20

// beyond returns the least figure that is too much for a limit.
func beyond(limit int64) int64 {
	if limit > math.MaxInt64-limit/slack-1 {
		return math.MaxInt64
	}
	return limit + limit/slack + 1
}

// candidate is an entry that may have to go.
type candidate struct {
	key     string // behind the scope
	version Version
	size    int64
	time    int64 // of its last write
}

// oldest are the entries with the least versions, the greatest of these on top.
type oldest []candidate

func (o oldest) Len() int           { return len(o) }
func (o oldest) Less(i, j int) bool { return older(o[j], o[i]) }
func (o oldest) Swap(i, j int)      { o[i], o[j] = o[j], o[i] }

// Push implements heap.Interface.
func (o *oldest) Push(x any) { *o = append(*o, x.(candidate)) }

// Pop implements heap.Interface.
func (o *oldest) Pop() any {
	last := (*o)[len(*o)-1]
	*o = (*o)[:len(*o)-1]
	return last
}

// left is what a look has found, less what was deleted then.
type left struct {
	entries, bytes int64
	oldest, newest int64 // times of writes, 0 if there are none
	at             int64 // when that was
}

// look is one pass over the entries of a scope.
type look struct {
	rule  *rule
	now   int64
	most  int   // candidates that are kept
	aged  int64 // what was written by then is too old
	byAge bool  // nothing else has to go
	found left
	heap  oldest
	// passed is the time of the oldest entry that is not among the candidates, 0 if there is none.
	passed int64
}

// Bounds of a look and of a commit that deletes.
const (
	mostCandidates = 1 << 16
	removeTogether = 256
)

// lookAt returns a look at a scope, whose entries may be as many as said.
func (in *ruled) lookAt(now, entries int64) *look {
	r := &in.rule
	l := &look{rule: r, now: now, most: mostCandidates, aged: now - ceilMillis(r.MaxAge)}
	l.byAge = r.MaxEntries == 0 && r.MaxBytes == 0
	switch {
	case l.byAge && r.MaxAge == 0: // it is looked when something was written
		l.aged = 0
	case r.MaxAge == 0 && r.MaxBytes == 0:
		l.most = int(min(max(entries-r.MaxEntries, 1), mostCandidates))
	}
	return l
}

// writtenAt returns when a value was written last: now, of one of which nobody knows.
func writtenAt(value []byte, now int64) int64 {
	h, _, err := envelope.Decode(value)
	if err != nil {
		return now
	}
	return int64(max(h.Created, h.Updated))
}

// candidateOf returns what a look knows of an entry, but for its key.
func candidateOf(key, value []byte, version Version, now int64) candidate {
	return candidate{version: version, size: int64(len(key) + len(value)), time: writtenAt(value, now)}
}

// wait takes a document in that can be neither counted nor deleted: a scope that it was written to is not idle.
func (l *look) wait(value []byte) {
	l.found.newest = max(l.found.newest, writtenAt(value, l.now))
}

// take takes an entry in. Its key is copied from key, if it has none.
func (l *look) take(c candidate, key []byte) {
	l.found.entries++
	l.found.bytes += c.size
	l.found.newest = max(l.found.newest, c.time)
	if l.byAge && c.time > l.aged || len(l.heap) == l.most && !older(c, l.heap[0]) {
		l.passed = earlier(l.passed, c.time)
		return
	}
	if len(l.heap) == l.most {
		l.passed = earlier(l.passed, l.heap[0].time)
		l.heap[0] = c.named(key)
		heap.Fix(&l.heap, 0)
		return
	}
	heap.Push(&l.heap, c.named(key))
}

// older reports whether a was written before b, and goes before it.
func older(a, b candidate) bool {
	return a.version < b.version != (mutant.Enabled && mutant.Is(mutant.SweepNewest))
}

func (c candidate) named(key []byte) candidate {
	if c.key == "" {
		c.key = string(key)
	}
	return c
}

// earlier returns the earlier of two times, of which 0 is none.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// choose returns the entries that have to go, the oldest writes first. full says that there may be more.
func (l *look) choose() (gone []candidate, after left, full bool) {
	slices.SortFunc(l.heap, func(a, b candidate) int {
		if older(a, b) {
			return -1
		}
		return 1
	})
	after = l.found
	after.at = l.now
	after.oldest = l.passed
	n := 0
	for i := range l.heap {
		c := &l.heap[i]
		if !l.over(c, &after) {
			after.oldest = earlier(after.oldest, c.time)
			continue
		}
		after.entries--
		after.bytes -= c.size
		l.heap[n] = *c
		n++
	}
	return l.heap[:n], after, n == l.most
}

// over reports whether c, the oldest of what is left, has to go.
func (l *look) over(c *candidate, after *left) bool {
	r := l.rule
	return r.MaxEntries > 0 && after.entries > r.MaxEntries || r.MaxBytes > 0 && after.bytes > r.MaxBytes ||
		r.MaxAge > 0 && c.time <= l.aged
}

// due reports whether the scope is to be looked at.
func (in *ruled) due(now int64) bool { return in.dueWith(now, in.written.Load(), in.bytes.Load()) }

// dueWith is due where so much was written since the last look.
func (in *ruled) dueWith(now, written, bytes int64) bool {
	r := &in.rule
	return r.MaxEntries > 0 && in.left.entries+written >= beyond(r.MaxEntries) ||
		r.MaxBytes > 0 && in.left.bytes+bytes >= beyond(r.MaxBytes) ||
		in.ageAt() != 0 && now >= in.ageAt() && (in.left.oldest != 0 || written > 0)
}

// ageAt returns when entries may be so old that somebody has to look, 0 for never.
func (in *ruled) ageAt() int64 {
	if in.rule.MaxAge == 0 {
		return 0
	}
	first := in.left.oldest
	if first == 0 {
		first = in.left.at // what has come since is not older
	}
	age := ceilMillis(in.rule.MaxAge)
	return first + age + age/slack
}

// idleAt returns when the scope will have been idle for long enough.
func (in *ruled) idleAt() int64 {
	return max(in.last.Load(), in.left.newest) + ceilMillis(in.rule.DropIdle)
}

// wakeAt returns when time alone makes something due, 0 for never.
func (in *ruled) wakeAt() int64 {
	next := in.ageAt()
	if in.rule.DropIdle > 0 {
		next = earlier(next, in.idleAt())
	}
	return next
}

// below reports whether the scope's statistics, which are never too low, show that nothing of it has to go, of
// a rule without times.
func (in *ruled) below() (bool, error) {
	r := &in.rule
	if r.MaxAge > 0 || r.DropIdle > 0 {
		return false, nil
	}
	written, sum := in.written.Load(), in.bytes.Load()
	entries, bytes, err := in.most()
	if err != nil || r.MaxEntries > 0 && entries >= beyond(r.MaxEntries) || r.MaxBytes > 0 && bytes >= beyond(r.MaxBytes) {
		return false, err
	}
	in.leave(left{entries: entries, bytes: bytes, at: in.last.Load()}, written, sum)
	return true, nil
}

// most returns how many entries the scope has at most, and bytes.
func (in *ruled) most() (entries, bytes int64, err error) {
	has, err := in.space.stats(true)
	if errors.Is(err, ErrMerge) { // of a scope so small that it was counted
		return math.MaxInt64, math.MaxInt64, nil
	}
	return has.entries, has.bytes, err
}

// leave makes what a look has left what is counted on from. written and bytes are what had been counted
// before it.
func (in *ruled) leave(l left, written, bytes int64) {
	in.left = l
	in.room.Store(beyond(in.rule.MaxEntries) - l.entries - 1)
	in.roomFor.Store(beyond(in.rule.MaxBytes) - l.bytes - 1)
	in.spare.Store(tenth(in.rule.MaxEntries) - l.entries)
	in.spareFor.Store(tenth(in.rule.MaxBytes) - l.bytes)
	in.written.Add(-written) // last: meanwhile too much is counted, and never too little
	in.bytes.Add(-bytes)
}

// pass looks at all entries of a scope, and has them remembered if they are few and none can go by itself.
func (k *sweeper) pass(in *ruled, docs *documents, now int64) (*look, error) {
	entries, _, err := in.most()
	if err != nil {
		return nil, err
	}
	l := in.lookAt(now, entries)
	in.kept = nil
	in.recent.take(true) // from here on
	kept := map[string]candidate{}
	add := func(key, value []byte, i info) bool {
		if key[0] == index.Reserved && !docs.removable(key) {
			l.wait(value)
			kept = nil
			return k.store.ended.Err() == nil
		}
		c := candidateOf(key, value, i.version, now)
		if kept != nil {
			c = c.named(key)
			kept[c.key] = c
			if i.expires != 0 || i.unread != nil || len(kept) > mostRemembered {
				kept = nil
			}
		}
		l.take(c, key)
		return k.store.ended.Err() == nil
	}
	err = scan(in.space, documentsFirst, documentsEnd, false, add)
	if err == nil {
		var whole bool
		if whole, err = scanAround(in.space, []byte(firstKey), add); !whole {
			kept = nil
		}
	}
	if err == nil {
		err = k.store.ended.Err()
	}
	if err != nil {
		kept = nil
	}
	k.remember(in, kept)
	return l, err
}

// look looks at a scope.
func (k *sweeper) look(in *ruled, docs *documents, now int64) (*look, error) {
	k.looks.Add(1)
	l, known := k.again(in, docs, now)
	var err error
	if !known {
		l, err = k.pass(in, docs, now)
	}
	if err == nil && in.rule.DropIdle > 0 {
		err = scan(in.space, leasesFirst, leasesEnd, false, func(_, _ []byte, _ info) bool {
			l.found.newest = now // whoever has it, nobody knows since when
			return false
		})
	}
	return l, err
}

// scanAround yields the entries from lower on, in order, but for one that cannot be read because of a blind
// change: then those behind it follow backwards. Of several the ones between them are left out. whole says that there was
// none.
func scanAround(sp space, lower []byte, yield func(key, value []byte, i info) bool) (whole bool, err error) {
	last := slices.Clone(lower)
	err = scan(sp, lower, nil, false, func(key, value []byte, i info) bool {
		last = append(append(last[:0], key...), 0)
		return yield(key, value, i)
	})
	if !errors.Is(err, ErrMerge) {
		return true, err
	}
	if err = scan(sp, last, nil, true, yield); errors.Is(err, ErrMerge) {
		err = nil
	}
	return false, err
}

// sweep looks at a scope and deletes what has to go. It returns how many entries were deleted.
func (k *sweeper) sweep(in *ruled, now int64) (gone int, err error) {
	written, sum := in.written.Load(), in.bytes.Load()
	docs := k.documentsOf(in)
	l, err := k.look(in, docs, now)
	if err != nil {
		return 0, err
	}
	chosen, after, full := l.choose()
	for part := range slices.Chunk(chosen, removeTogether) {
		n, err := k.remove(in, docs, part)
		in.swept(part, n)
		if gone += n; err != nil {
			return gone, err
		}
		if err := k.store.ended.Err(); err != nil {
			return gone, err
		}
	}
	if missed := int64(len(chosen) - gone); missed > 0 {
		// Written meanwhile, and counted then; or not to be had, and there.
		after.entries += missed
		for i := range chosen {
			after.bytes += chosen[i].size
		}
		after.oldest = earlier(after.oldest, now)
	}
	if full {
		after.oldest = earlier(after.oldest, 1)
	}
	in.leave(after, written, sum)
	return gone, nil
}
