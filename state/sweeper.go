package state

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/index"
)

// sweeper carries out the rules of scopes (retention.go). What it decides is in sweep.go, how documents go in
// sweep_documents.go, and how it holds writers back that are faster in sweeper_room.go, with the invariants R5 to R7.
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
	pleas  chan plea // for room

	scopes atomic.Pointer[map[scope.Scope]*ruled] // never changed, but replaced; never nil
	idling atomic.Bool                            // some rule has DropIdle
	sets   indexSets

	working  sync.Mutex   // held while rules are carried out; by tests too, which do that themselves
	changing sync.Mutex   // one change of rules at a time, with its commit
	idle     sync.RWMutex // shared by commits to scopes with DropIdle, taken alone for a drop

	// Of the sweeper's goroutine.
	next       int64 // when time alone makes something due, 0 for never
	remembered int   // entries, at most, of all scopes

	looks, deleted, dropped, failed, waits atomic.Int64
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
	recent         recent
	room, roomFor  atomic.Int64 // how many, and how many bytes, may be before the next look

	// Of who writes (sweeper_room.go).
	spare, spareFor atomic.Int64  // how many, and how many bytes, may be before somebody waits
	held, heldBytes atomic.Int64  // what was let in and is not committed
	waiting         atomic.Int64  // for their turn or for room
	turn            chan struct{} // of one, whose it is
	ended           chan struct{} // of one: there was a commit that was let in

	// Of the sweeper's goroutine.
	looked  bool
	kept    map[string]candidate // all entries as the last look left them, nil if they are not remembered
	left    left
	restsTo int64 // nothing is tried before: the last attempts have come to nothing
	failed  int   // of them, one after the other
}

// openSweeper reads which scopes have rules. The engine is open.
func (s *Store) openSweeper(polled bool) error {
	k := &sweeper{store: s, polled: polled, wake: make(chan struct{}, 1), pleas: make(chan plea)}
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
	err = scan(k.names, nil, nil, false, func(key, _ []byte, _ info) bool {
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
		scopes[name] = newRuled(name, sp, r, at)
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

// newRuled returns a scope with a rule of which nothing is known yet: who writes waits for the first look.
func newRuled(name scope.Scope, sp space, r rule, at int64) *ruled {
	in := &ruled{name: name, space: sp, rule: r, turn: make(chan struct{}, 1), ended: make(chan struct{}, 1)}
	in.last.Store(max(r.since, at))
	if r.MaxEntries == 0 {
		in.spare.Store(math.MaxInt64)
	}
	if r.MaxBytes == 0 {
		in.spareFor.Store(math.MaxInt64)
	}
	return in
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
	if k != nil && set.Len() > 0 { // nil while the store is being opened
		k.sets.add(set)
	}
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

// run carries out rules until the store ends.
func (k *sweeper) run() {
	timer := time.NewTimer(mostRest)
	defer timer.Stop()
	for {
		timer.Reset(k.round())
		for waits := true; waits; {
			select {
			case <-k.store.ended.Done():
				return
			case p := <-k.pleas:
				k.working.Lock()
				k.answer(p)
				k.working.Unlock()
			case <-k.wake:
				waits = false
			case <-timer.C:
				waits = false
			}
		}
	}
}

// answer visits the scope in which somebody waits for room. The caller holds working.
func (k *sweeper) answer(p plea) {
	defer close(p.done)
	if !k.current(p.in) {
		return
	}
	if at := k.attend(p.in, true); at != 0 && (k.next == 0 || at < k.next) {
		k.nudge()
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
		select {
		case p := <-k.pleas: // of whom not to wait for all others
			k.answer(p)
		default:
		}
		next = earlier(next, k.attend(in, false))
	}
	if k.next = next; next == 0 {
		return mostRest
	}
	rest := time.Duration(min(max(next-k.store.engine.now(), 1), mostRest.Milliseconds())) * time.Millisecond
	if k.polled {
		rest = min(rest, pollRest)
	}
	return rest
}

// attend visits a scope, and rests where that fails.
func (k *sweeper) attend(in *ruled, asked bool) (next int64) {
	next, err := k.visit(in, asked)
	if err == nil {
		return next
	}
	if k.store.ended.Err() == nil {
		k.failed.Add(1)
	}
	if in.rest(k.store.engine.now()); errors.Is(err, ErrPoisoned) {
		in.restsTo = math.MaxInt64
	}
	return in.restsTo
}

// visit does what is due in a scope, and returns when to come again for its time alone, 0 for never. asked says
// that somebody waits for room in it.
func (k *sweeper) visit(in *ruled, asked bool) (next int64, err error) {
	now := k.store.engine.now()
	if now < in.restsTo {
		return in.restsTo, nil
	}
	if in.uncounted.Swap(false) {
		in.looked = false
		in.forget()
	}
	if !in.looked {
		if in.looked, err = in.below(); err != nil {
			return 0, err
		}
	}
	if !in.looked || in.due(now) || asked && in.exceeded() {
		gone, err := k.sweep(in, now)
		if err != nil {
			return 0, err
		}
		in.looked = true
		if in.due(now) {
			if gone == 0 && in.dueWith(now, 0, 0) { // what there is to go cannot
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
	ws, err := k.deletes(in, docs, chosen)
	if err != nil || len(ws) == 0 {
		return 0, err
	}
	last, err := k.commit(in, docs, ws)
	if errors.Is(err, ErrConflict) {
		docs.forget()
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
	number(ws, last)
	for i := range ws {
		if told := ws[i].tell; told != nil {
			k.store.hooks.After(context.Background(), told.event)
		}
	}
	return n, nil
}

// commit commits deletes if the rule counts still, and returns 0 if it does not.
func (k *sweeper) commit(in *ruled, docs *documents, ws []write) (Version, error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	if !k.current(in) {
		return 0, nil
	}
	entered := k.enter()
	defer k.leave(entered)
	if docs.unknown() {
		k.sets.mu.Lock() // a collection is opened before, or finds its indexes marked
		defer k.sets.mu.Unlock()
		if docs.outdated() {
			return 0, ErrConflict
		}
	}
	return k.store.engine.commit(ws, true) // is not counted
}

// entriesArea begins the keys of entries of indexes.
var entriesArea = []byte{index.Reserved, index.AreaEntries}

// deletes returns the writes that delete entries, with the events that tell of it.
func (k *sweeper) deletes(in *ruled, docs *documents, chosen []candidate) (ws []write, err error) {
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
		w := ws[len(ws)-1]
		w.tell = &notice{event: ev}
		if ws = ws[:len(ws)-1]; k.store.recording {
			if ws, err = k.store.appendRecordOf(ws, &ev); err != nil {
				return nil, err
			}
		}
		ws = append(ws, w)
	}
	return ws, nil
}
