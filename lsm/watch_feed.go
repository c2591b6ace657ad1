package lsm

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/wal"
)

// feed keeps what recent commits have written, for watchers: one copy for all of them, in
// pieces, of which each watcher knows the next one that it has not seen. The publisher adds a
// part right after it has become visible, and before its members are told. While nobody
// watches it loads one atomic and leaves the feed alone. Invariants:
//
//   - N1. What is in the feed is visible.
//   - N2. The feed holds every commit with a number above floor that was published by now, but
//     for those whose publisher is about to add them, in the order of their numbers.
//   - N3. Whoever has joined, and then loads the visible number, finds every later commit in
//     the feed, or finds that floor has passed it: a publisher stores the number first and
//     looks for watchers afterwards.
//   - N4. A watcher that is parked is not concerned by anything between its own place and seen.
type feed struct {
	users atomic.Int64 // watchers

	// Constant.
	limit  int64         // of bytes
	failed chan struct{} // closed when the store is poisoned
	alarm  alarm         // wakes the dispatcher

	mu     sync.Mutex
	pieces []piece     // from the oldest; mu
	base   uint64      // the place of pieces[0] among all that ever were; mu
	floor  keys.SeqNum // mu
	last   keys.SeqNum // of the newest commit, 0 for none since somebody joined; mu
	bytes  int64       // mu
	room   []byte      // for small pieces: what the chunk in use has left; mu

	// Taken before mu.
	parkMu  sync.Mutex
	seen    uint64      // the place up to which the dispatcher has looked; parkMu
	seenSeq keys.SeqNum // the last commit that it has seen all of; parkMu
	parked  int         // watchers that wait; parkMu
	index   watchIndex  // of those that may have to be woken; parkMu
}

// piece is a commit, or a part of a large one: whole operations, as the log holds them.
type piece struct {
	before keys.SeqNum // the last number before the commit
	first  keys.SeqNum // of its first operation
	last   keys.SeqNum // of the commit's last operation
	end    wal.Position
	final  bool   // the commit ends with it
	data   []byte // never changed
	// ingested are the bounds of tables that entered at the number; data is empty.
	ingested span
}

// span is a range of the engine's keys, the upper bound exclusive.
type span struct{ lower, upper []byte }

func (s span) holds(key []byte) bool {
	return bytes.Compare(s.lower, key) <= 0 && bytes.Compare(key, s.upper) < 0
}

func (s span) meets(o span) bool {
	return bytes.Compare(s.lower, o.upper) < 0 && bytes.Compare(o.lower, s.upper) < 0
}

const (
	// pieceBytes is the length of a piece, but for one operation that is longer by itself. A
	// watcher that stands in a piece keeps it, or the chunk that it shares.
	pieceBytes = 8 << 10
	pieceCost  = int64(unsafe.Sizeof(piece{}))
	maxFeed    = 16 << 20
)

func (f *feed) init(budget, limit int64) {
	f.limit = orDefault(limit, min(budget/16, maxFeed))
	f.failed, f.alarm = make(chan struct{}), newAlarm()
}

// watched reports whether a publisher must add what it has published.
func (f *feed) watched() bool { return f.users.Load() > 0 }

// add takes over the part that first heads, which has just become visible, and copies it.
// Parts are added in the order of their numbers, by the publisher.
func (f *feed) add(first *request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.watched() {
		return // the last one has left
	}
	ops := 0
	for r := first; r != nil; r = r.next {
		ops += r.ops
	}
	seq := first.last - keys.SeqNum(ops)
	for r := first; r != nil; r = r.next {
		last := seq + keys.SeqNum(r.ops)
		f.addLocked(piece{before: seq, first: seq + 1, last: last, end: first.end}, r.payload, r.tail)
		seq = last
	}
	f.alarm.wake()
}

// addIngest notes that tables within bounds have become visible at a number of their own.
func (f *feed) addIngest(bounds span, seq keys.SeqNum) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.watched() {
		return
	}
	f.addLocked(piece{before: seq - 1, first: seq, last: seq, ingested: bounds}, nil, nil)
	f.alarm.wake()
}

// addLocked adds a commit. tail is the value of its only operation, where that does not stand
// in the payload (request.tail).
func (f *feed) addLocked(p piece, payload, tail []byte) {
	if invariants.Enabled && f.last != 0 && p.before != f.last {
		panic(fmt.Sprintf("lsm: the feed is at %d, and is given %d (N2)", f.last, p.first))
	}
	f.last = p.last
	switch {
	case int64(len(payload)+len(tail))+pieceCost > f.limit:
		f.forgetLocked(len(f.pieces))
		f.base++ // a place that nobody finds
		f.floor = p.last
		return
	case tail != nil:
		p.data, p.final = slices.Concat(payload, tail), true
		f.pushLocked(p)
	case len(payload) <= pieceBytes:
		p.data, p.final = f.copyLocked(payload), true
		f.pushLocked(p)
	default:
		f.splitLocked(p, payload)
	}
	n, over := 0, f.bytes-f.limit
	for ; over > 0; n++ {
		over -= pieceCost + int64(len(f.pieces[n].data))
	}
	f.forgetLocked(n)
}

// splitLocked adds a commit in pieces.
func (f *feed) splitLocked(p piece, payload []byte) {
	ops, seq := opReader{rest: payload}, p.first
	begin, at := 0, 0 // of the piece, of the next operation
	for ops.next() {
		next := len(payload) - len(ops.rest)
		if next-begin > pieceBytes && at > begin {
			p.data, p.final = f.copyLocked(payload[begin:at]), mutant.Enabled && mutant.Is(mutant.PieceIsCommit)
			f.pushLocked(p)
			p.first, begin = seq, at
		}
		at = next
		seq++
	}
	p.data, p.final = f.copyLocked(payload[begin:]), true
	f.pushLocked(p)
}

// copyLocked returns a copy that is never changed.
func (f *feed) copyLocked(b []byte) []byte {
	if len(b) > pieceBytes/2 {
		return bytes.Clone(b)
	}
	if cap(f.room)-len(f.room) < len(b) {
		f.room = make([]byte, 0, pieceBytes)
	}
	n := len(f.room)
	f.room = append(f.room, b...)
	return f.room[n:len(f.room):len(f.room)]
}

func (f *feed) pushLocked(p piece) {
	f.pieces = append(f.pieces, p)
	f.bytes += pieceCost + int64(len(p.data))
}

// forgetLocked drops the n oldest pieces. Who has not seen them lags.
func (f *feed) forgetLocked(n int) {
	if n == 0 {
		return
	}
	for i := range f.pieces[:n] {
		f.bytes -= pieceCost + int64(len(f.pieces[i].data))
	}
	f.floor = f.pieces[n-1].last
	clear(f.pieces[:n])
	f.pieces = f.pieces[n:]
	f.base += uint64(n)
}

// join adds a watcher, which is to see everything above from, and returns its place. With now
// that is everything that is not visible yet, and from is returned. Otherwise lags says that
// the feed does not reach back so far.
func (f *feed) join(d *DB, w *Watcher, from keys.SeqNum, now bool) (place uint64, at keys.SeqNum, lags bool) {
	f.mu.Lock()
	first := f.users.Add(1) == 1
	visible := d.visible.load() // behind users: N3
	if first {
		f.floor, f.last = visible, 0
	}
	if now {
		from = visible // everything in the feed is at or below it
	}
	place, lags = f.placeLocked(from)
	f.mu.Unlock()
	f.setSpans(w, w.spansOf())
	return place, from, lags
}

// placeLocked returns the place of the first piece of a commit above seq, and whether some of
// them are missing.
func (f *feed) placeLocked(seq keys.SeqNum) (place uint64, lags bool) {
	n := sort.Search(len(f.pieces), func(i int) bool { return f.pieces[i].last > seq })
	return f.base + uint64(n), seq < f.floor
}

// placeAfter is placeLocked, for a watcher that has caught up to seq by reading.
func (f *feed) placeAfter(seq keys.SeqNum) (place uint64, lags bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.placeLocked(seq)
}

// at returns the piece at a place. Not ok, there is none yet, or, if lost, none any more.
func (f *feed) at(place uint64) (p piece, ok, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if place < f.base && mutant.Enabled && mutant.Is(mutant.ForgetLag) {
		place = f.base
	}
	if place < f.base {
		return piece{}, false, true
	}
	if n := place - f.base; n < uint64(len(f.pieces)) {
		return f.pieces[n], true, false
	}
	return piece{}, false, false
}

// leave removes a watcher. The last one takes everything with it.
func (f *feed) leave(w *Watcher) {
	f.parkMu.Lock()
	f.unparkLocked(w)
	f.index.remove(w)
	w.left = true
	f.parkMu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users.Add(-1) == 0 {
		f.forgetLocked(len(f.pieces))
		f.pieces, f.room = nil, nil
	}
}

// size returns the number of watchers and what the feed holds for them.
func (f *feed) size() (watchers int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int(f.users.Load()), f.bytes
}

// park lets a watcher wait, if the dispatcher has not looked beyond its place yet.
func (f *feed) park(w *Watcher, place uint64) bool {
	f.parkMu.Lock()
	defer f.parkMu.Unlock()
	if f.seen > place {
		return false
	}
	w.parked, w.woken = true, place
	f.parked++
	return true
}

// unpark ends a wait and returns the place where the watcher goes on: what was woken for, or
// whatever the dispatcher has got to.
func (f *feed) unpark(w *Watcher) uint64 {
	f.parkMu.Lock()
	defer f.parkMu.Unlock()
	f.unparkLocked(w)
	return w.woken
}

func (f *feed) unparkLocked(w *Watcher) {
	if !w.parked {
		return
	}
	w.parked = false
	f.parked--
	if w.woken = max(w.woken, f.seen); w.woken == f.seen { // N4
		w.shown(f.seenSeq)
	}
}

// catchParkedUp notes what a waiting watcher need not be shown.
func (f *feed) catchParkedUp(w *Watcher) {
	f.parkMu.Lock()
	defer f.parkMu.Unlock()
	if w.parked && f.seen >= w.woken {
		w.shown(f.seenSeq)
	}
}

func (f *feed) setSpans(w *Watcher, spans []span) {
	f.parkMu.Lock()
	defer f.parkMu.Unlock()
	if w.left {
		return // Close came in between
	}
	w.spans = spans
	f.index.add(w)
}

// loop is the dispatcher: it wakes those that new pieces concern. Publishers would otherwise
// wake a thousand watchers one after the other for a commit that concerns one.
func (f *feed) loop(ctx context.Context) {
	for f.alarm.wait(ctx, 0) {
		for f.dispatch() {
		}
	}
}

// dispatchPieces is how many pieces are looked at between two looks at the feed.
const dispatchPieces = 16

// dispatch looks at some pieces that it has not seen, and reports whether there were any.
func (f *feed) dispatch() bool {
	var batch [dispatchPieces]piece
	f.parkMu.Lock()
	defer f.parkMu.Unlock()
	f.mu.Lock()
	lost := f.seen < f.base
	if lost {
		f.wakeLaggingLocked()
		f.seen = f.base
	}
	n := copy(batch[:], f.pieces[f.seen-f.base:])
	f.mu.Unlock()
	for i := range batch[:n] {
		p := &batch[i]
		if f.parked > 0 {
			f.wakeConcernedLocked(p)
		}
		f.seen++
		if p.final {
			f.seenSeq = p.last
		}
	}
	return n > 0
}

// wakeConcernedLocked wakes those that wait and are concerned by the piece that is at seen.
func (f *feed) wakeConcernedLocked(p *piece) {
	wake := func(w *Watcher) {
		if w.parked && f.seen >= w.woken {
			f.unparkLocked(w)
			w.alarm.wake()
		}
	}
	if p.ingested.upper != nil {
		f.index.visit(p.ingested, wake)
		return
	}
	ops := opReader{rest: p.data}
	for ops.next() && f.parked > 0 {
		if ops.kind == keys.KindRangeDelete {
			f.index.visit(span{ops.key, ops.value}, wake)
		} else {
			f.index.visitKey(ops.key, wake)
		}
	}
}

// wakeLaggingLocked wakes those that wait behind pieces which are gone. What the dispatcher has
// looked at did not concern them: they go on behind it. Called with mu held, before seen moves on.
func (f *feed) wakeLaggingLocked() {
	for w := range f.index.watchers {
		if w.parked && w.woken < f.base {
			if f.seen >= w.woken {
				w.shown(f.seenSeq)
			}
			w.parked = false
			f.parked--
			w.alarm.wake()
		}
	}
}
