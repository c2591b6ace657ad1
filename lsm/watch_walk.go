package lsm

import (
	"bytes"
	"time"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// walker is a watcher on its way through the feed. It looks for one event more than it has
// shown, so as to know whether that was the commit's last.
type walker struct {
	id    scope.ID // whose keys are watched; 0: the scope is not there
	keys  span     // those keys; nothing without an id
	place uint64   // of the next piece

	piece piece
	ops   opReader // what is left of the piece
	seq   keys.SeqNum

	ahead   WatchEvent // the next event, if found
	found   bool
	dropped bool // ahead is the last event, or has been shown
	// behind: the feed does not tell what comes next.
	behind bool
	// whole: not even what had been shown tells what has changed.
	whole bool
	catch *catchUp
	gone  error // ErrHistoryGone, for good
}

// release gives back what the walker holds.
func (k *walker) release() {
	k.catch.close()
	*k = walker{}
}

// Next returns the next event, and waits for it if there is none.
//
// Errors: the cause of the watch's context; ErrClosed after Close, of the watcher or of the
// store; ErrScopeDropped behind a WatchDropped; ErrHistoryGone and ErrDiverged when nobody can
// tell any more what has changed. All these end the watch. ErrPoisoned says that the store
// has failed and nothing further is visible. ErrShredded, ErrNoScopeKey, ErrMerge and *UnknownOperatorError
// come with an event that lacks its value, which nobody can read, or nobody any more since the scope was dropped; the next call
// goes on behind it. With any other error, of reading what has
// changed, nothing was shown, and Next may be called again.
func (w *Watcher) Next() (WatchEvent, error) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	for {
		if err := w.ended(); err != nil {
			w.walk.release()
			return WatchEvent{}, err
		}
		k := &w.walk
		switch {
		case k.catch != nil:
			return w.nextNet()
		case k.found:
			e := w.take()
			return e, e.err
		case k.dropped:
			return WatchEvent{}, ErrScopeDropped
		case k.gone != nil:
			return WatchEvent{}, k.gone
		case k.behind:
			if err := w.catchUp(); err != nil {
				return WatchEvent{}, err
			}
		case k.load(&w.db.feed):
			w.enter()
		case !k.behind:
			if err := w.wait(); err != nil {
				return WatchEvent{}, err
			}
		}
	}
}

// load steps to the next piece. If that is gone the walker is behind.
func (k *walker) load(f *feed) bool {
	p, ok, lost := f.at(k.place)
	k.behind = k.behind || lost
	if !ok {
		return false
	}
	k.piece, k.ops, k.seq = p, opReader{rest: p.data}, p.first
	k.place++
	return true
}

// enter looks for the first event in the piece, and in the rest of its commit.
func (w *Watcher) enter() {
	k := &w.walk
	switch {
	case k.piece.last <= w.upTo():
		return // known from reading
	case k.piece.ingested.upper != nil:
		k.behind = k.keys.meets(k.piece.ingested)
	default:
		k.found = w.find()
	}
	if !k.found && !k.behind {
		w.shown(k.piece.last)
	}
}

// take returns the event that was found, and looks for the one behind it.
func (w *Watcher) take() WatchEvent {
	k := &w.walk
	e, p := k.ahead, k.piece
	k.found = w.find()
	if e.Last = !k.found && !k.behind; e.Last {
		w.shown(p.last)
	}
	e.Durable = w.db.wal.Durable(p.end)
	return e
}

// find moves to the next operation of the commit that concerns the watcher.
func (w *Watcher) find() bool {
	k := &w.walk
	for !k.dropped && !k.behind {
		for k.ops.next() {
			k.seq++
			e, ok := w.eventOf(&k.ops)
			if k.behind {
				return false
			}
			if ok {
				e.Version, e.Commit = Version(k.seq-1), Version(k.piece.last)
				k.ahead = e
				return true
			}
		}
		if k.piece.final || !k.load(&w.db.feed) {
			return false
		}
	}
	return false
}

// eventOf is where an operation becomes an event, or turns out not to concern the watcher. An
// operation whose effect does not stand in it makes the walker fall behind, so that it reads
// what the effect was.
func (w *Watcher) eventOf(op *opReader) (e WatchEvent, ok bool) {
	k := &w.walk
	if w.sc != nil && bytes.Equal(op.key, w.entryKey) {
		return w.entryEvent(op)
	}
	switch op.kind {
	case keys.KindSet:
		if !k.keys.holds(op.key) {
			return e, false
		}
		return WatchEvent{Kind: WatchSet, Key: w.userKey(op.key), Value: op.value}, true
	case keys.KindSetWithExpiry:
		if !k.keys.holds(op.key) {
			return e, false
		}
		e = WatchEvent{Kind: WatchSet, Key: w.userKey(op.key), Value: op.value[keys.ExpiryLen:]}
		e.Expiry = expiryTime(expiryOf(op.value))
		return e, true
	case keys.KindSetSealed, keys.KindSetSealedExpiry:
		if !k.keys.holds(op.key) {
			return e, false
		}
		e = WatchEvent{Kind: WatchSet, Key: w.userKey(op.key)}
		n := op.kind.MinValueLen()
		if n > 0 {
			e.Expiry = expiryTime(expiryOf(op.value))
		}
		e.Value, e.err = w.db.vault.open(e.Key, op.value[n:])
		return e, true
	case keys.KindMerge:
		if !k.keys.holds(op.key) {
			return e, false
		}
		h, operand := fold.Split(op.value)
		e = WatchEvent{Kind: WatchMerge, Key: w.userKey(op.key), Value: operand, Time: time.UnixMilli(h.Time)}
		e.Operator = w.db.operators.known.ByID(h.Operator).Name // or it had not been merged with
		return e, true
	case keys.KindDelete:
		if !k.keys.holds(op.key) {
			return e, false
		}
		return WatchEvent{Kind: WatchDelete, Key: w.userKey(op.key)}, true
	case keys.KindRangeDelete:
		if !k.keys.meets(span{op.key, op.value}) || bytes.Compare(k.keys.lower, k.keys.upper) >= 0 {
			return e, false
		}
		return w.rangeEvent(op.key, op.value), true
	}
	k.behind = k.keys.holds(op.key)
	return e, false
}

// entryEvent is eventOf for the entry of the watched scope.
func (w *Watcher) entryEvent(op *opReader) (e WatchEvent, ok bool) {
	k := &w.walk
	if op.kind == keys.KindDelete {
		if mutant.Enabled && mutant.Is(mutant.WatchTheDead) {
			return e, false
		}
		k.dropped = true
		return WatchEvent{Kind: WatchDropped}, true
	}
	id, err := decodeEntry(op.value)
	if err != nil || id == k.id {
		return e, false // this process has encoded it
	}
	if invariants.Enabled && k.id != 0 {
		panic("lsm: an entry was replaced without being deleted (D2)")
	}
	w.follow(id)
	// A scope that is made comes with its first keys. One that gets another's id brings what
	// it holds; that commit is a small one, and has no keys.
	k.behind = k.piece.final && k.piece.first == k.piece.before+1 && !holdsAny(k.ops, k.keysOfScope())
	k.whole = k.behind
	return e, false
}

// holdsAny reports whether one of the operations that are left is on a key of the span.
func holdsAny(ops opReader, s span) bool {
	for ops.next() {
		if s.holds(ops.key) {
			return true
		}
	}
	return false
}

// keysOfScope returns the bounds of all keys of the watched scope.
func (k *walker) keysOfScope() span {
	return span{scope.AppendID(nil, k.id), scope.AppendUpperBound(nil, k.id)}
}

// follow makes id the one whose keys are watched.
func (w *Watcher) follow(id scope.ID) {
	w.walk.id, w.walk.keys = id, w.keysOf(id)
	w.db.feed.setSpans(w, w.spansOf())
}

// spansOf returns what the watcher must be woken for.
func (w *Watcher) spansOf() []span {
	var spans []span
	if w.sc != nil {
		spans = append(spans, span{w.entryKey, append(bytes.Clone(w.entryKey), 0)})
	}
	if w.walk.id != 0 {
		spans = append(spans, w.walk.keys)
	}
	return spans
}

// userKey returns a key of the engine's without the scope's id. It aliases key.
func (w *Watcher) userKey(key []byte) []byte { return key[scope.EncodedLen(w.walk.id):] }

// rangeEvent is the event of a deleted range that meets what is watched, cut to it.
func (w *Watcher) rangeEvent(lower, upper []byte) WatchEvent {
	k := &w.walk
	if bytes.Compare(lower, k.keys.lower) < 0 {
		lower = k.keys.lower
	}
	if bytes.Compare(upper, k.keys.upper) > 0 {
		upper = k.keys.upper
	}
	e := WatchEvent{Kind: WatchDeleteRange, Key: w.userKey(lower)}
	if bytes.HasPrefix(upper, lower[:scope.EncodedLen(k.id)]) { // else it is the scope's end
		e.Upper = w.userKey(upper)
	}
	return e
}

// wait blocks until something concerns the watcher, or it has ended.
func (w *Watcher) wait() error {
	d, k := w.db, &w.walk
	poisoned := d.poison.err() // before the look at the feed
	if !d.feed.park(w, k.place) {
		return nil
	}
	if poisoned != nil {
		k.place = d.feed.unpark(w)
		return poisoned
	}
	select {
	case <-w.alarm:
	case <-d.feed.failed:
	case <-w.ctx.Done():
	case <-w.closed:
	case <-d.closing:
	}
	k.place = d.feed.unpark(w)
	return nil
}
