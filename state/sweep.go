package state

import (
	"container/heap"
	"errors"
	"math"
	"slices"
	"strings"

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
func (o oldest) Less(i, j int) bool { return o[i].version > o[j].version }
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
func (l *look) writtenAt(value []byte) int64 {
	h, _, err := envelope.Decode(value)
	if err != nil {
		return l.now
	}
	return int64(max(h.Created, h.Updated))
}

// wait takes a document in that can be neither counted nor deleted: a scope that it was written to is not idle.
func (l *look) wait(value []byte) {
	l.found.newest = max(l.found.newest, l.writtenAt(value))
}

// add takes an entry in. key is copied.
func (l *look) add(key []byte, value []byte, version Version) {
	c := candidate{version: version, size: int64(len(key) + len(value)), time: l.writtenAt(value)}
	l.found.entries++
	l.found.bytes += c.size
	l.found.newest = max(l.found.newest, c.time)
	if l.byAge && c.time > l.aged || len(l.heap) == l.most && version >= l.heap[0].version {
		l.passed = earlier(l.passed, c.time)
		return
	}
	if len(l.heap) == l.most {
		l.passed = earlier(l.passed, l.heap[0].time)
		c.key = string(key)
		l.heap[0] = c
		heap.Fix(&l.heap, 0)
		return
	}
	c.key = string(key)
	heap.Push(&l.heap, c)
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
		if a.version < b.version != (mutant.Enabled && mutant.Is(mutant.SweepNewest)) {
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
func (in *ruled) due(now int64) bool {
	r := &in.rule
	return r.MaxEntries > 0 && in.left.entries+in.written.Load() >= beyond(r.MaxEntries) ||
		r.MaxBytes > 0 && in.left.bytes+in.bytes.Load() >= beyond(r.MaxBytes) ||
		in.ageAt() != 0 && now >= in.ageAt() && (in.left.oldest != 0 || in.written.Load() > 0)
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
	in.written.Add(-written)
	in.bytes.Add(-bytes)
	in.room.Store(beyond(in.rule.MaxEntries) - l.entries - 1)
	in.roomFor.Store(beyond(in.rule.MaxBytes) - l.bytes - 1)
}

// pass looks at all entries of a scope.
func (k *sweeper) pass(in *ruled, docs *documents, now int64) (*look, error) {
	k.looks.Add(1)
	entries, _, err := in.most()
	if err != nil {
		return nil, err
	}
	l := in.lookAt(now, entries)
	add := func(key, value []byte, i info) bool {
		if key[0] != index.Reserved || docs.removable(key) {
			l.add(key, value, i.version)
		} else {
			l.wait(value)
		}
		return k.store.ended.Err() == nil
	}
	if in.rule.DropIdle > 0 {
		err = in.space.scan(leasesFirst, leasesEnd, false, func(_, _ []byte, _ info) bool {
			l.found.newest = now // whoever has it, nobody knows since when
			return false
		})
	}
	if err == nil {
		err = in.space.scan(documentsFirst, documentsEnd, false, add)
	}
	if err == nil {
		err = scanAround(in.space, []byte(firstKey), add)
	}
	if err == nil {
		err = k.store.ended.Err()
	}
	return l, err
}

// scanAround yields the entries from lower on, in order, but for one that cannot be read because of a blind
// change: then those behind it follow backwards. Of several the ones between them are left out.
func scanAround(sp space, lower []byte, yield func(key, value []byte, i info) bool) error {
	last := slices.Clone(lower)
	err := sp.scan(lower, nil, false, func(key, value []byte, i info) bool {
		last = append(append(last[:0], key...), 0)
		return yield(key, value, i)
	})
	if errors.Is(err, ErrMerge) {
		if err = sp.scan(last, nil, true, yield); errors.Is(err, ErrMerge) {
			err = nil
		}
	}
	return err
}

// sweep looks at a scope and deletes what has to go. It returns how many entries were deleted.
func (k *sweeper) sweep(in *ruled, now int64) (gone int, err error) {
	written, sum := in.written.Load(), in.bytes.Load()
	docs := k.documentsOf(in)
	l, err := k.pass(in, docs, now)
	if err != nil {
		return 0, err
	}
	chosen, after, full := l.choose()
	for part := range slices.Chunk(chosen, removeTogether) {
		n, err := k.remove(in, docs, part)
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

// The keys of documents.
var (
	documentsFirst = []byte{index.Reserved, areaDocuments}
	documentsEnd   = []byte{index.Reserved, areaDocuments + 1}
)

// documents deletes documents of a scope with their index entries.
type documents struct {
	k      *sweeper
	in     *ruled
	byName map[string]*removal
}

// removal is a collection whose documents can be deleted; c is nil if they cannot be.
type removal struct {
	c   *collection
	cat *catalog
	has bool // the writes have the condition on the catalog
}

func (k *sweeper) documentsOf(in *ruled) *documents {
	return &documents{k: k, in: in, byName: map[string]*removal{}}
}

// begin begins another commit.
func (d *documents) begin() {
	for _, r := range d.byName {
		r.has = false
	}
}

// removable reports whether the document of a key can be deleted: its indexes are known.
func (d *documents) removable(docKey []byte) bool {
	name, _, ok := strings.Cut(string(docKey[len(documentsFirst):]), "\x00")
	return ok && d.of(name).c != nil
}

// of returns the collection of a name.
func (d *documents) of(name string) *removal {
	if r := d.byName[name]; r != nil {
		return r
	}
	r := &removal{}
	d.byName[name] = r
	var set *index.Set
	if known, ok := d.k.sets.Load(name); ok {
		set = known.(*index.Set)
	} else {
		var err error
		if set, err = index.NewSet(name); err != nil {
			return r
		}
	}
	c := collectionOf(d.k.store.scopeIn(d.k.store.engine, d.in.name), set)
	if cat, err := c.reload(); err == nil && cat.there && cat.list.Agrees(set) {
		r.c, r.cat = c, cat
	}
	return r
}

// appendRemoval appends what deletes a document with its index entries, and returns its name for others. ok
// says that there is something to be deleted.
func (d *documents) appendRemoval(ws []write, doc *candidate) (out []write, logical string, ok bool) {
	name, key, _ := strings.Cut(doc.key[len(documentsFirst):], "\x00")
	r := d.of(name)
	if r.c == nil {
		return ws, "", false
	}
	value, i, err := r.c.scope.space.get(nil, []byte(doc.key))
	if err != nil || i.version != doc.version {
		return ws, "", false // written meanwhile (R2)
	}
	var ch index.Change
	if r.c.set.Len() > 0 {
		payload, err := soundPayload(&found{}, value)
		if err == nil {
			err = r.c.set.Change(&ch, key, payload, nil, false)
		}
		if err != nil {
			d.k.failed.Add(1) // Collection.Delete says more
			return ws, "", false
		}
	}
	if !r.has {
		ws, r.has = append(ws, r.cat.condition(r.c)), true
	}
	if !(mutant.Enabled && mutant.Is(mutant.LeaveIndexEntries)) {
		ws = r.c.appendEntries(ws, &ch, 0)
	}
	ws = append(ws, write{space: r.c.scope.space, key: []byte(doc.key), conditional: true, version: doc.version})
	return ws, r.c.logical(key), true
}

// collectionOf returns the handle to a collection whose indexes are known.
func collectionOf(s *Scope, set *index.Set) *collection {
	name := set.Collection()
	return &collection{
		scope: s, set: set,
		prefix: append([]byte{index.Reserved, areaDocuments}, name+"\x00"...),
		record: append([]byte{index.Reserved, areaCatalogs}, name...),
	}
}
