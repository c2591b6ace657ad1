package state

import (
	"context"
	"errors"
	"slices"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/state/codec"
)

// Operations on several keys of a scope at once: each is one read of one moment, or one commit.

// GetMany returns the values of those of the keys that have one, all of the same moment; but those of class
// Ephemeral, which belong to none, one after the other.
func (s *Scope) GetMany(ctx context.Context, keys ...string) (map[string]any, error) {
	values, err := s.getMany(ctx, keys)
	if err != nil {
		return nil, s.fail("get many", "", err)
	}
	return values, nil
}

func (s *Scope) getMany(ctx context.Context, keys []string) (map[string]any, error) {
	s, err := s.passAll(ctx, "get", access.OpGet, keys)
	if err != nil {
		return nil, err
	}
	for {
		values, err := s.getAtOnce(ctx, keys)
		if err != errAgain { // returned bare
			return values, err
		}
	}
}

// getAtOnce is getMany of one moment. errAgain: a value was on neither side, since it has gone from memory
// into the engine meanwhile.
func (s *Scope) getAtOnce(ctx context.Context, keys []string) (map[string]any, error) {
	at, changes := s, s.store.ephemeral.changes.Load()
	if s.mode == live && s.err == nil {
		snap, err := s.store.engine.begin(nil)
		if err != nil {
			return nil, err
		}
		defer snap.close() // fails for a store that was closed, as the reads below then have
		at = s.store.scopeIn(snap, s.name)
		at.witness = s.witness
	}
	b := s.store.borrowFor(timedBatch)
	defer s.store.giveBack(b)
	values := make(map[string]any, len(keys))
	var f found
	for _, key := range keys {
		// Memory is looked into as of now.
		err := at.find(ctx, key, b, &f)
		if err == ErrNotFound && at != s && changes != s.store.ephemeral.changes.Load() { // returned bare
			err = s.find(ctx, key, b, &f)
			if err == nil && f.header.Class != Ephemeral {
				return nil, errAgain
			}
		}
		if err == ErrNotFound {
			continue
		}
		if err == nil {
			values[key], err = codec.Decode(f.payload, &stored)
		}
		if err != nil {
			return nil, s.fail("get", key, err)
		}
	}
	return values, nil
}

// SetMany writes all of the values to their keys or, with an error, none. Those of class Ephemeral are seen one by one,
// those that take the place of stored ones a moment before the others are stored.
func (s *Scope) SetMany(ctx context.Context, values map[string]any, opts ...Option) error {
	if err := s.setMany(ctx, values, join(opts)); err != nil {
		return s.fail("set many", "", err)
	}
	return nil
}

func (s *Scope) setMany(ctx context.Context, values map[string]any, o Option) error {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys) // so that equal calls do equal things
	s, err := s.passAll(ctx, "set", access.OpSet, keys)
	if err == nil {
		err = s.err
	}
	if err != nil {
		return err
	}
	now, unsynced := s.store.engine.now(), true
	ws := make([]write, 0, len(keys))
	var inMemory []write
	for _, key := range keys {
		p := pending{key: key, value: values[key]}
		encoded, err := s.ready(ctx, nil, &p, &o, now)
		if err != nil {
			return s.fail("set", key, err)
		}
		w := write{
			space: s.space, key: []byte(key), value: encoded, expires: p.expires, sealed: p.sealed(),
			tell: s.noticeOfSet(nil, &p, &o),
		}
		if p.header.Class == Ephemeral {
			if err := s.store.ephemeral.fits(&ephemeral{key: key, value: encoded}); err != nil {
				return s.fail("set", key, err)
			}
			inMemory = append(inMemory, w)
			continue
		}
		ws = append(ws, w)
		unsynced = unsynced && p.unsynced
	}
	if len(inMemory) > 0 && s.mode != live {
		return errEphemeralPart
	}
	b := s.store.borrowFor(timedBatch)
	defer s.store.giveBack(b)
	if len(inMemory) > 0 {
		m := mixed{ws, inMemory, make([]displaced, len(inMemory)), unsynced}
		return s.setMixed(ctx, b, &m, &o)
	}
	return s.commitAll(ctx, b, ws, unsynced)
}

// commitAll commits any number of writes.
func (s *Scope) commitAll(ctx context.Context, b *scratch, ws []write, unsynced bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(ws) == 0 {
		return nil
	}
	_, err := s.commit(ctx, b, ws, unsynced)
	return err
}

// DeleteMany removes all of the keys or, with an error, none, and returns how many had a value.
func (s *Scope) DeleteMany(ctx context.Context, keys []string, opts ...Option) (int, error) {
	n, err := s.deleteMany(ctx, keys, join(opts))
	if err != nil {
		return 0, s.fail("delete many", "", err)
	}
	return n, nil
}

func (s *Scope) deleteMany(ctx context.Context, keys []string, o Option) (int, error) {
	s, err := s.passAll(ctx, "delete", access.OpDelete, keys)
	if err == nil {
		err = s.removable(ctx)
	}
	if err != nil {
		return 0, err
	}
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	b := s.store.borrowFor(timedBatch)
	defer s.store.giveBack(b)
	for {
		ws, unsynced, n := make([]write, 0, len(keys)), true, 0
		var inMemory []string
		var f found
		for _, key := range keys {
			err := s.locate(ctx, key, b, &f)
			if err == ErrNotFound { // returned bare
				if s.mode == live { // and must still be so when the others go
					ws = append(ws, write{space: s.space, key: []byte(key), conditional: true, requires: true})
				}
				continue
			}
			unreadable := errors.Is(err, ErrMerge) // it is there, in a version that nobody is told
			if err != nil && !unreadable && !unread(err) {
				return 0, s.fail("delete", key, err)
			}
			if unreadable {
				b.buf = b.buf[:0]
			}
			class := b.classUnless(err)
			if class == Ephemeral {
				inMemory = append(inMemory, key)
				continue
			}
			if class == Sensitive {
				if err := s.seen(ctx, access.OpDelete, key, 1); err != nil {
					return 0, s.fail("delete", key, err)
				}
			}
			if err := s.askToDelete(ctx, "", key, class); err != nil {
				return 0, s.fail("delete", key, err)
			}
			ws = append(ws, write{
				space: s.space, key: []byte(key), conditional: s.mode == live && !unreadable, version: f.version, asOf: f.asOf,
				tell: s.noticeOfDelete(nil, key, class, &o),
			})
			unsynced = unsynced && s.unsynced(class, &o)
			n++
		}
		err := s.commitAll(ctx, b, ws, unsynced)
		if overtaken(err) {
			b.counters.conflicts.Add(1)
			continue
		}
		for _, key := range inMemory {
			if err == nil && s.removeEphemeral(key) {
				n++
			}
		}
		return n, err
	}
}
