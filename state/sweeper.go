package state

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/index"
)

// sweeper carries out the rules of scopes (retention.go). What it decides is in sweep.go.
//
//   - R1. What a commit has written to a scope with a rule is counted behind it, and what a look has met is
//     taken off only if it was counted before the look: the counts are never too low.
//   - R2. Nothing is deleted that was written after the look that has chosen it.
//   - R3. A scope is dropped as idle while no commit to it is under way, and none came since it was
//     found idle.
//   - R4. A scope with a rule is listed in retentionScope; one that is listed without is taken off when it
//     is met.
type sweeper struct {
	// Constant.
	store  *Store
	names  space
	polled bool // the clock may be faster than the machine's
	wake   chan struct{}

	scopes atomic.Pointer[map[scope.Scope]*ruled] // never changed, but replaced; never nil
	idling atomic.Bool                            // some rule has DropIdle
	opened atomic.Uint64                          // counts collections that were opened

	working  sync.Mutex   // held while rules are carried out; by tests too, which do that themselves
	changing sync.Mutex   // one change of rules at a time, with its commit
	idle     sync.RWMutex // shared by commits to scopes with DropIdle, taken alone for a drop
	sets     sync.Map     // of *index.Set by names of collections, as they were opened last

	looks, deleted, dropped, failed atomic.Int64
}

// ruled is a scope with a rule.
type ruled struct {
	// Constant.
	name  scope.Scope
	space space
	rule  rule

	// What was written since the last look: at most so many entries, which are so many bytes.
	written, bytes atomic.Int64
	last           atomic.Int64 // time of the last write
	uncounted      atomic.Bool  // something was written that is not counted
	room, roomFor  atomic.Int64 // how many, and how many bytes, may be before the next look

	// Of the sweeper's goroutine.
	looked  bool
	opened  uint64 // collections, at the last look
	left    left
	restsTo int64 // nothing is tried before: the last attempts have come to nothing
	failed  int   // of them, one after the other
}

// openSweeper reads which scopes have rules. The engine is open.
func (s *Store) openSweeper(polled bool) error {
	k := &sweeper{store: s, polled: polled, wake: make(chan struct{}, 1)}
	k.scopes.Store(&map[scope.Scope]*ruled{})
	var err error
	if k.names, err = s.engine.space(retentionScope); err != nil {
		return err
	}
	s.sweeper = k
	if s.readOnly {
		return nil
	}
	var names []scope.Scope
	err = k.names.scan(nil, nil, false, func(key, _ []byte, _ info) bool {
		name, err := scope.ParseKey(key)
		if err != nil {
			k.failed.Add(1)
			return true
		}
		names = append(names, name)
		return true
	})
	if err != nil {
		return err
	}
	k.settle(0, names...)
	return nil
}

// install makes a rule the one that counts for a scope, or no rule. The scope was written to last at the time
// at, or with the rule. The caller holds changing.
func (k *sweeper) install(name scope.Scope, sp space, r rule, at int64) {
	scopes := maps.Clone(*k.scopes.Load())
	if r.Retention == (Retention{}) {
		delete(scopes, name)
	} else {
		in := &ruled{name: name, space: sp, rule: r}
		in.last.Store(max(r.since, at))
		scopes[name] = in
	}
	idling := false
	for _, in := range scopes {
		idling = idling || in.rule.DropIdle > 0
	}
	if idling { // before its rule counts
		k.idling.Store(true)
	}
	k.scopes.Store(&scopes)
	k.idling.Store(idling)
	k.nudge()
}

// nudge has the sweeper look what there is to do.
func (k *sweeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default: // it will
	}
}

// know keeps the indexes of a collection that was opened.
func (k *sweeper) know(set *index.Set) {
	if k == nil {
		return // the store is being opened
	}
	if old, ok := k.sets.Load(set.Collection()); ok && sameIndexes(old.(*index.Set), set) {
		return
	}
	k.sets.Store(set.Collection(), set)
	k.opened.Add(1)
	if k.active() {
		k.nudge()
	}
}

func sameIndexes(a, b *index.Set) bool {
	return a.Len() == b.Len() &&
		!slices.ContainsFunc(a.Indexes(), func(ix *index.Index) bool {
			other := b.Index(ix.Name())
			return other == nil || other.ID() != ix.ID()
		})
}

// enter keeps scopes from being dropped as idle until leave is called with what it returns (R3).
func (k *sweeper) enter() bool {
	if k == nil || !k.idling.Load() {
		return false
	}
	k.idle.RLock()
	return true
}

func (k *sweeper) leave(entered bool) {
	if entered {
		k.idle.RUnlock()
	}
}

// commit makes all of the writes or, with an error, none, or makes them part of their spaces' transaction, and
// counts them for rules of retention.
func (s *Store) commit(ws []write, unsynced bool) (Version, error) {
	if tx := ws[0].space.tx; tx != nil {
		return 0, tx.add(ws)
	}
	entered := s.sweeper.enter()
	v, err := s.engine.commit(ws, unsynced)
	if err == nil {
		s.sweeper.note(ws)
	}
	s.sweeper.leave(entered)
	return v, err
}

// active reports whether there are scopes with rules.
func (k *sweeper) active() bool { return k != nil && len(*k.scopes.Load()) > 0 }

// tally is what is counted of a write.
type tally struct {
	name    scope.Scope
	bytes   int64
	entries int64 // 0 of one that deletes
}

func tallyOf(w *write) tally {
	t := tally{name: w.space.name, bytes: int64(len(w.key) + len(w.value)), entries: 1}
	if w.value == nil {
		t.bytes, t.entries = 0, 0
	}
	return t
}

// note counts what was committed (R1).
func (k *sweeper) note(ws []write) {
	if !k.active() {
		return
	}
	for i := range ws {
		if !ws[i].requires {
			k.count(tallyOf(&ws[i]))
		}
	}
}

func (k *sweeper) count(t tally) {
	in := (*k.scopes.Load())[t.name]
	if in == nil {
		return
	}
	in.last.Store(k.store.engine.now())
	if t.entries == 0 {
		return
	}
	written, sum := in.written.Add(1), in.bytes.Add(t.bytes)
	room, roomFor := in.room.Load(), in.roomFor.Load()
	if written == room+1 || sum > roomFor && sum-t.bytes <= roomFor {
		k.nudge()
	}
}

// notCounted says that something was committed to a scope that was written before there was a rule.
func (k *sweeper) notCounted(name scope.Scope) {
	if !k.active() {
		return
	}
	if in := (*k.scopes.Load())[name]; in != nil {
		in.last.Store(k.store.engine.now())
		in.uncounted.Store(true)
		k.nudge()
	}
}

// run carries out rules until the store ends.
func (k *sweeper) run() {
	timer := time.NewTimer(mostRest)
	defer timer.Stop()
	for {
		rest := k.round()
		timer.Reset(rest)
		select {
		case <-k.store.ended.Done():
			return
		case <-k.wake:
		case <-timer.C:
		}
	}
}

// Bounds of how long the sweeper sleeps.
const (
	pollRest  = 10 * time.Millisecond // where the clock is not the machine's
	retryRest = int64(1000)           // milliseconds, after an attempt that has come to nothing
	mostTries = 5                     // after each of so many in a row twice as long
)

// rest has nothing tried for a while, longer after each attempt: a look reads the whole scope.
func (in *ruled) rest(now int64) {
	in.restsTo = now + retryRest<<min(in.failed, mostTries)
	in.failed++
}

// round does what is due, and returns how long to sleep.
func (k *sweeper) round() time.Duration {
	k.working.Lock()
	defer k.working.Unlock()
	next := int64(0)
	for _, in := range *k.scopes.Load() {
		if k.store.ended.Err() != nil {
			return mostRest
		}
		at, err := k.visit(in)
		if err != nil {
			if k.store.ended.Err() == nil {
				k.failed.Add(1)
			}
			in.rest(k.store.engine.now())
			if errors.Is(err, ErrPoisoned) {
				in.restsTo = math.MaxInt64
			}
			at = in.restsTo
		}
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	if next == 0 {
		return mostRest
	}
	rest := time.Duration(min(max(next-k.store.engine.now(), 1), mostRest.Milliseconds())) * time.Millisecond
	if k.polled {
		rest = min(rest, pollRest)
	}
	return rest
}

// visit does what is due in a scope, and returns when to come again for its time alone, 0 for never.
func (k *sweeper) visit(in *ruled) (next int64, err error) {
	now := k.store.engine.now()
	if now < in.restsTo && (in.restsTo == math.MaxInt64 || k.opened.Load() == in.opened) {
		return in.restsTo, nil
	}
	if in.uncounted.Swap(false) {
		in.looked = false
	}
	if opened := k.opened.Load(); !in.looked || opened != in.opened {
		in.opened = opened
		if in.looked, err = in.below(); err != nil {
			return 0, err
		}
	}
	if !in.looked || in.due(now) {
		gone, err := k.sweep(in, now)
		if err != nil {
			return 0, err
		}
		in.looked = true
		if in.due(now) {
			if gone == 0 { // what there is to go cannot
				in.rest(now)
				return in.restsTo, nil
			}
			in.failed = 0
			return now, nil // the others have their turn first
		}
		now = k.store.engine.now()
	}
	if in.rule.DropIdle > 0 && now >= in.idleAt() {
		if err := k.dropIdle(in); err != nil {
			return 0, err
		}
	}
	in.failed, in.restsTo = 0, 0
	if in.left.oldest == 0 && in.written.Load() == 0 {
		in.left.at = now // there is nothing that could be older
	}
	return in.wakeAt(), nil
}

// dropIdle drops a scope, unless it is written to meanwhile (R3).
func (k *sweeper) dropIdle(in *ruled) error {
	if dropped, err := k.dropNow(in); err != nil || !dropped {
		return err
	}
	k.dropped.Add(1)
	k.store.ephemeral.clear(in.name)
	k.store.scopeIn(k.store.engine, in.name).tellWhole(context.Background(), hook.OpClear, scope.Scope{}, true)
	return nil
}

func (k *sweeper) dropNow(in *ruled) (bool, error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	k.idle.Lock()
	idle := k.current(in) && (k.store.engine.now() >= in.idleAt() || mutant.Enabled && mutant.Is(mutant.DropBusy))
	var has rule
	var err error
	if idle {
		has, err = readRule(in.space)
	}
	replaced := err == nil && idle && has != in.rule // by another scope, of which nobody has told yet
	if idle = idle && err == nil && !replaced; idle {
		_, err = in.space.change(context.Background(), wholeDrop, scope.Scope{}, true)
	}
	k.idle.Unlock()
	if err == nil && (idle || replaced) {
		err = k.reload(in.name, k.store.engine.now())
	}
	return idle, err
}

// current reports whether the rule counts still. Who holds changing can rely on it.
func (k *sweeper) current(in *ruled) bool { return (*k.scopes.Load())[in.name] == in }

// remove deletes entries, but for those that were written meanwhile, and tells of it. It returns how many
// were deleted.
func (k *sweeper) remove(in *ruled, docs *documents, chosen []candidate) (int, error) {
	ws, events, err := k.deletes(in, docs, chosen)
	if err != nil || len(ws) == 0 {
		return 0, err
	}
	last, err := k.commit(in, ws)
	if errors.Is(err, ErrConflict) {
		if len(chosen) == 1 {
			return 0, nil // R2
		}
		half := len(chosen) / 2
		n, err := k.remove(in, docs, chosen[:half])
		if err != nil {
			return n, err
		}
		m, err := k.remove(in, docs, chosen[half:])
		return n + m, err
	}
	if err != nil || last == 0 {
		return 0, err
	}
	n := 0
	for i := range ws {
		if ws[i].value == nil && !ws[i].requires && !bytes.HasPrefix(ws[i].key, entriesArea) {
			n++
		}
	}
	k.deleted.Add(int64(n))
	for i := range events {
		events[i].SeqNum = uint64(last)
		k.store.hooks.After(context.Background(), events[i])
	}
	return n, nil
}

// commit commits deletes if the rule counts still, and returns 0 if it does not.
func (k *sweeper) commit(in *ruled, ws []write) (Version, error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	if !k.current(in) {
		return 0, nil
	}
	entered := k.enter()
	defer k.leave(entered)
	return k.store.engine.commit(ws, true) // is not counted
}

// entriesArea begins the keys of entries of indexes.
var entriesArea = []byte{index.Reserved, index.AreaEntries}

// deletes returns the writes that delete entries, and the events that tell of it.
func (k *sweeper) deletes(in *ruled, docs *documents, chosen []candidate) (ws []write, events []hook.Event, err error) {
	docs.begin()
	for i := range chosen {
		c := &chosen[i]
		key, there := c.key, true
		if c.key[0] == index.Reserved {
			if ws, key, there = docs.appendRemoval(ws, c); !there {
				continue
			}
		} else {
			w := write{space: in.space, key: []byte(c.key), conditional: true, version: c.version}
			if mutant.Enabled && mutant.Is(mutant.SweepNewer) {
				w.conditional = false
			}
			ws = append(ws, w)
		}
		if !k.store.recording && !k.store.hooks.Interest(hook.OpExpire, in.name, scope.Scope{}, key).After {
			continue
		}
		collection, _ := splitName([]byte(c.key))
		ev := hook.Event{Op: hook.OpExpire, Scope: in.name, Key: key, Collection: collection, Time: k.store.time()}
		k.store.hooks.Stamp(context.Background(), &ev)
		if k.store.recording {
			if ws, err = k.store.appendRecord(ws, k.store.records.space, &ev); err != nil {
				return nil, nil, err
			}
		}
		events = append(events, ev)
	}
	return ws, events, nil
}
