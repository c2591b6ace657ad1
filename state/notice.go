package state

import (
	"context"
	"errors"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
)

// notice is what is told of one write when it is committed. A write that nobody wants to be told of
// has none.
type notice struct {
	event  hook.Event
	values bool // are asked for
	pinned bool // the write depends on the version that was read only for the old value
}

// noticeOfSet makes n, or a new one if n is nil, that of a value that is written, and returns it; nil
// if nobody wants it.
func (s *Scope) noticeOfSet(n *notice, p *pending, o *Option) *notice {
	return s.notice(n, hook.OpSet, p.key, p.header.Class, p.interest, p.now, o)
}

// noticeOfDelete does the same for the delete of a key, whose value is of a class.
func (s *Scope) noticeOfDelete(n *notice, key string, class Class, o *Option) *notice {
	in := s.store.hooks.Interest(hook.OpDelete, s.name, scope.Scope{}, key)
	return s.notice(n, hook.OpDelete, key, class, in, s.store.engine.now(), o)
}

func (s *Scope) notice(n *notice, op hook.Op, key string, class Class, in hook.Interest, now int64, o *Option) *notice {
	if class == Ephemeral || !in.After && !s.store.recording {
		return nil
	}
	switch {
	case n == nil:
		n = &notice{}
	case n.event.Op != 0: // of an attempt before
		*n = notice{}
	}
	// Field by field: an event is as long as four cache lines, and most of it is empty.
	ev := &n.event
	ev.Op, ev.Scope, ev.Key, ev.Time, ev.Correlation = op, s.name, key, time.UnixMilli(now).UTC(), o.correlation
	// Those of class Sensitive are not for events, which would outlive their scope's key.
	n.values = (in.Values || s.store.recordValues) && class != Sensitive && !s.sealedWhole()
	return n
}

// sealedWhole reports whether every value of the scope is sealed, or nobody can tell.
func (s *Scope) sealedWhole() bool {
	sealed, err := s.sealedIn(s.store.engine)
	return sealed || err != nil
}

// commitTold commits writes of which somebody is told.
func (s *Scope) commitTold(ctx context.Context, b *scratch, ws []write, unsynced bool) (Version, error) {
	ctx = s.acting(ctx)
	if err := s.store.enter(ctx, b.counters); err != nil {
		return 0, err
	}
	defer s.store.leave(b.counters)
	if !s.store.recording && !valuesAsked(ws) {
		// There is nothing to read before, or to write with it: commitNoted would do the same, in 60 ns more.
		v, err := s.commitWrites(ctx, b, ws, ws, unsynced)
		if err == nil {
			number(ws, v)
			s.tell(ctx, ws)
		}
		return v, err
	}
	v, err := s.commitNoted(ctx, b, ws, func(all []write) (Version, error) { return s.commitWrites(ctx, b, ws, all, unsynced) })
	if err == nil {
		s.tell(ctx, ws)
	}
	return v, err
}

// valuesAsked reports whether somebody asks for the values of a write.
func valuesAsked(ws []write) bool {
	for i := range ws {
		if n := ws[i].tell; n != nil && n.values {
			return true
		}
	}
	return false
}

// tell tells of writes that were committed.
func (s *Scope) tell(ctx context.Context, ws []write) {
	for i := range ws {
		if n := ws[i].tell; n != nil {
			s.store.hooks.AfterOf(ctx, &n.event)
		}
	}
}

// commitNoted has commit make writes, together with what records their events, which are complete then.
func (s *Scope) commitNoted(ctx context.Context, b *scratch, ws []write, commit func(all []write) (Version, error)) (Version, error) {
	conditional := false
	for i := range ws {
		conditional = conditional || ws[i].conditional
	}
	for conflict := error(nil); ; {
		pinned, changed, err := s.readOld(ws)
		switch {
		case err != nil:
			return 0, err
		case conflict != nil && conditional && !changed:
			return 0, conflict // it is not the old values that were written meanwhile
		}
		all, err := s.describeAll(ctx, ws)
		if err != nil {
			return 0, err
		}
		v, err := commit(all)
		if pinned && overtaken(err) {
			if conflict, err = err, ctx.Err(); err != nil {
				return 0, err
			}
			b.counters.conflicts.Add(1)
			continue
		}
		if err != nil {
			return 0, err
		}
		number(all, v)
		return v, nil
	}
}

// readOld reads the values that writes will find, where they are asked for, and has the writes depend
// on their being there still (N6). It reports whether a write does only for that reason, and whether
// any of these is another version than the last time.
func (s *Scope) readOld(ws []write) (pinned, changed bool, err error) {
	for i := range ws {
		w := &ws[i]
		n := w.tell
		if n == nil || !n.values || w.operator != "" {
			continue
		}
		var f found
		var p []byte
		n.event.Values = &hook.Values{}
		p, err = s.space.get(nil, w.key, &f.info)
		switch {
		case errors.Is(err, ErrMerge): // there is a value that nobody can read, in no version
			if n.pinned { // by what could be read the last time
				changed, n.pinned, w.conditional = true, false, false
			}
			continue
		case unread(err): // it has a version
		case err != nil && err != ErrNotFound: // returned bare
			return false, false, err
		case err == nil:
			n.event.Values.Old, n.event.Values.HasOld = valueIn(p)
		}
		if s.tx == nil && (!w.conditional || n.pinned) {
			changed = changed || !n.pinned || w.version != f.version
			pinned, n.pinned, w.conditional, w.version, w.asOf = true, true, true, f.version, f.asOf
		}
	}
	return pinned, changed, nil
}

// valueIn returns the value of what is stored, and whether it can be read and may be told: one of class Sensitive,
// which another may have replaced, may not.
func valueIn(p []byte) (any, bool) {
	var f found
	if f.open(p) != nil || f.header.Class == Sensitive && !(mutant.Enabled && mutant.Is(mutant.TellSecrets)) {
		return nil, false
	}
	v, err := codec.Decode(f.payload, &stored)
	return v, err == nil
}

// describeAll completes the events of writes, and returns the writes with what records the events: each
// right before the write that it tells of, so that the one's number follows the other's.
func (s *Scope) describeAll(ctx context.Context, ws []write) ([]write, error) {
	if !s.store.recording {
		for i := range ws {
			ws[i].describe() // the rest is filled in when they are told
		}
		return ws, nil
	}
	var all []write
	for i := range ws {
		s.describe(ctx, &ws[i])
		if n := ws[i].tell; n != nil {
			var err error
			if all, err = s.store.appendRecordOf(all, &n.event); err != nil {
				return nil, err
			}
		}
		all = append(all, ws[i])
	}
	return all, nil
}

// appendRecordOf appends the writes that record the event of the write that follows them.
func (s *Store) appendRecordOf(ws []write, ev *hook.Event) ([]write, error) {
	recorded := *ev
	recorded.Version = 1 // so many numbers behind the record's
	return s.appendRecord(ws, s.records.space, &recorded)
}

// describe completes the event of a write, but for its number.
func (s *Scope) describe(ctx context.Context, w *write) {
	n := w.tell
	if n == nil {
		return
	}
	s.store.hooks.Stamp(ctx, &n.event)
	w.describe()
}

// describe gives the event of the write the new value, where it is asked for.
func (w *write) describe() {
	if w.tell == nil || w.value == nil {
		return
	}
	if v := w.tell.event.Values; v != nil {
		v.New, v.HasNew = valueIn(w.value)
	}
}

// time returns the store's time as that of an event.
func (s *Store) time() time.Time { return time.UnixMilli(s.engine.now()).UTC() }

// number gives the events of a commit their numbers, of which the last write has the given one.
func number(ws []write, last Version) {
	n, behind := last, false
	for i := len(ws) - 1; i >= 0; i-- {
		w := &ws[i]
		if w.requires {
			continue // has none
		}
		if w.expires != 0 && behind {
			n-- // the engine's note of its expiry
		}
		behind = true
		if w.tell != nil {
			if w.tell.event.SeqNum = uint64(n); w.value != nil {
				w.tell.event.Version = uint64(n)
			}
		}
		n--
	}
}

// tellWhole records that an operation on the whole scope was made, and tells of it.
func (s *Scope) tellWhole(ctx context.Context, op hook.Op, to scope.Scope, unsynced bool) {
	records := s.store.recording && !s.store.readOnly // an export of one that is leaves no record
	if !records && !s.store.hooks.Interest(op, s.name, to, "").After {
		return
	}
	ctx = s.acting(ctx)
	ev := hook.Event{Op: op, Scope: s.name, To: to, Time: s.store.time()}
	s.store.hooks.Stamp(ctx, &ev)
	if records {
		ws, err := s.store.appendRecord(nil, s.store.records.space, &ev)
		var last Version
		if err == nil {
			last, err = s.store.commit(ws, unsynced)
		}
		if err != nil {
			s.store.unrecorded.Add(1) // what it tells of has happened all the same
		}
		ev.SeqNum = uint64(last) // the record's
	}
	s.store.hooks.After(ctx, ev)
}

// eventOf names what an event of a transaction is about.
type eventOf struct {
	scope scope.Scope
	key   string // as it is stored: a key and a document may be called the same
}

// hear keeps the events of writes of the transaction, as they are before the writes are part of it. A
// key that is written again has one event, of what it was before the first and is after the last.
func (tx *Txn) hear(ctx context.Context, s *Scope, ws []write) error {
	if _, _, err := s.readOld(ws); err != nil {
		return err
	}
	ctx = s.acting(ctx)
	for i := range ws {
		n := ws[i].tell
		if n == nil {
			continue
		}
		s.describe(ctx, &ws[i])
		key := eventOf{s.name, string(ws[i].key)}
		at, again := tx.heard[key]
		if !again {
			if tx.heard == nil {
				tx.heard = map[eventOf]int{}
			}
			tx.heard[key] = len(tx.events)
			tx.events = append(tx.events, n.event)
			continue
		}
		if old, v := tx.events[at].Values, n.event.Values; old != nil && v != nil {
			v.Old, v.HasOld = old.Old, old.HasOld
		}
		tx.events[at] = n.event
	}
	return nil
}

// record makes the records of the transaction's events part of it.
func (tx *Txn) record() error {
	if !tx.store.recording || len(tx.events) == 0 {
		return nil
	}
	space, err := tx.inner.space(timelineScope)
	if err != nil {
		return err
	}
	var ws []write
	for i := range tx.events {
		if ws, err = tx.store.appendRecord(ws, space, &tx.events[i]); err != nil {
			return err
		}
		tx.recorded = append(tx.recorded, ws[len(ws)-1].key)
	}
	_, err = tx.store.commit(ws, true)
	return err
}

// tell tells of the events of the transaction, which was committed up to a number.
func (tx *Txn) tell(ctx context.Context, last Version) {
	ctx = acting(ctx, tx.who)
	for i := range tx.events {
		ev := &tx.events[i]
		if ev.SeqNum = uint64(last); tx.recorded != nil {
			tx.store.numberAs(ev, tx.recorded[i])
		}
		tx.store.hooks.AfterOf(ctx, ev)
	}
}

// numberAs gives an event the number that its record has got, if there is a hook to be told.
func (s *Store) numberAs(ev *hook.Event, record []byte) {
	if !s.hooks.Interest(ev.Op, ev.Scope, ev.To, ev.Key).After {
		return
	}
	var i info
	if _, err := s.records.space.get(nil, record, &i); err == nil {
		ev.SeqNum = uint64(i.version)
	}
}
