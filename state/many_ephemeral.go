package state

import (
	"bytes"
	"context"
	"math/bits"
	"slices"
)

// mixed are the writes of one SetMany of which some are of class Ephemeral.
type mixed struct {
	stored   []write
	memory   []write     // of class Ephemeral
	instead  []displaced // what the engine has of the keys of memory, as far as hooks were asked
	unsynced bool        // the commit of stored
}

// setMixed makes all of the writes or, with an error, none. The stored values that make place go in the commit of
// those that are stored.
func (s *Scope) setMixed(ctx context.Context, b *scratch, m *mixed, o *Option) error {
	ctx = s.acting(ctx)
	if err := s.store.enter(ctx, b.counters); err != nil {
		return err
	}
	defer s.store.leave(b.counters)
	var err error
	for i := range m.memory { // nothing is written before all hooks were asked
		if m.instead[i], err = s.displace(ctx, m.memory[i].key); err != nil {
			return s.fail("set", string(m.memory[i].key), err)
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		all, unasked, err := s.tryMixed(ctx, b, m, o)
		if err != nil {
			return err
		}
		if unasked < 0 {
			s.tell(ctx, all)
			return nil
		}
		key := string(m.memory[unasked].key)
		if err := s.askDisplaced(ctx, key, &m.instead[unasked]); err != nil {
			return s.fail("set", key, err)
		}
	}
}

// tryMixed is setMixed up to what is told, which it returns. If there is a stored value of which nobody was asked nothing
// is done, m.instead has it, and unasked is which; else that is negative.
func (s *Scope) tryMixed(ctx context.Context, b *scratch, m *mixed, o *Option) (all []write, unasked int, err error) {
	room, err := s.store.sweeper.admitWrites(ctx, m.stored)
	if err != nil {
		return nil, -1, err
	}
	defer room.end()
	e := &s.store.ephemeral
	var shared, alone held
	for i := range m.stored {
		shared.add(e, m.stored[i].key)
	}
	for i := range m.memory {
		alone.add(e, m.memory[i].key)
	}
	e.lock(&shared, &alone)
	defer e.unlock(&shared, &alone)
	all, unsynced := slices.Clone(m.stored), m.unsynced
	values := make([]*ephemeral, len(m.memory))
	for i := range m.memory {
		w, d := &m.memory[i], &m.instead[i]
		key := string(w.key)
		values[i] = &ephemeral{key: key, value: bytes.Clone(w.value), expires: w.expires}
		if e.has(s.name, key, s.store.engine.now) {
			continue // the engine has nothing
		}
		class, version, there, err := s.storedUnder(w.key)
		switch {
		case err != nil:
			return nil, -1, s.fail("set", key, err)
		case !there:
			continue
		case s.minded(key) && !(d.asked && version == d.version):
			d.class, d.version = class, version
			return nil, i, nil
		}
		values[i].pinned = true
		all = append(all, write{space: s.space, key: w.key, tell: s.noticeOfDelete(nil, key, class, o)})
		unsynced = unsynced && s.unsynced(class, &Option{})
	}
	return all, -1, s.commitMixed(ctx, b, m, all, values, unsynced)
}

// commitMixed commits all, and puts the values of class Ephemeral where they are found: those that take the place of a
// stored one, which are pinned, before the commit (X2), the others when nothing can fail any more. The caller holds the
// stripes.
func (s *Scope) commitMixed(ctx context.Context, b *scratch, m *mixed, all []write, values []*ephemeral, unsynced bool) (err error) {
	e, now := &s.store.ephemeral, s.store.engine.now
	for _, v := range values {
		if v.pinned && err == nil {
			err = e.put(s.name, v, now)
			e.changes.Add(1)
		}
	}
	if err == nil && len(all) > 0 {
		_, err = s.commitNoted(ctx, b, all, func(all []write) (Version, error) { return s.store.commit(all, unsynced) })
	}
	if err == nil {
		b.counters.writes.Add(int64(len(m.stored) + len(m.memory)))
		e.supersede(s.name, m.stored)
	}
	for _, v := range values {
		switch {
		case err != nil && v.pinned:
			e.remove(s.name, v.key, now)
		case err != nil:
		case v.pinned:
			e.unpin(s.name, v.key, now)
		default:
			_ = e.put(s.name, v, now) // ErrClosed alone: it has gone with the store then, as all of them
		}
	}
	return err
}

// lock takes the stripes of both, in order: those of alone are shared with nobody.
func (e *ephemerals) lock(shared, alone *held) {
	for i := range shared {
		for word := shared[i] | alone[i]; word != 0; word &= word - 1 {
			stripe := &e.stripes[i*64+bits.TrailingZeros64(word)]
			if alone[i]&word&-word != 0 {
				stripe.Lock()
			} else {
				stripe.RLock()
			}
		}
	}
}

func (e *ephemerals) unlock(shared, alone *held) {
	for i := range shared {
		for word := shared[i] | alone[i]; word != 0; word &= word - 1 {
			stripe := &e.stripes[i*64+bits.TrailingZeros64(word)]
			if alone[i]&word&-word != 0 {
				stripe.Unlock()
			} else {
				stripe.RUnlock()
			}
		}
	}
}
