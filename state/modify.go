package state

import (
	"context"
	"fmt"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/edit"
)

// Changes of a value that depend on what it was: read, change, write on the condition that nobody
// wrote the key in between, and all over again if somebody did. Somebody always succeeds.
//
// What is changed keeps its class, its expiry and the time of its creation, unless an option says
// otherwise.

// change makes of what was found the value to be written, or nil was found and there is none. It may
// be called several times.
type change func(f *found) (any, error)

// modify carries out a change and returns the new value, as hooks and protection have left it. accept, if not
// nil, is told what these have put in the value's place.
func (s *Scope) modify(ctx context.Context, key string, o Option, change change, accept func(any) error) (any, error) {
	s, err := s.pass(ctx, access.OpUpdate, key)
	if err != nil {
		return nil, err
	}
	b := s.store.borrowFor(timedChange)
	defer s.store.giveBack(b)
	var f found
	for {
		p := pending{key: key, accept: accept, conditional: s.mode == live && !(mutant.Enabled && mutant.Is(mutant.TrustRead))}
		err := s.find(ctx, key, b, &f)
		switch {
		case err == nil && f.header.Class == Ephemeral:
			return nil, errEphemeralPart
		case err == nil:
			p.before, p.version = &f, f.version
		case err != ErrNotFound: // returned bare
			return nil, err
		}
		p.asOf = f.asOf
		if p.value, err = change(p.before); err != nil {
			return nil, err
		}
		if _, err = s.put(ctx, &p, &o); err == nil {
			return p.value, nil
		}
		if !lost(err) {
			return nil, err
		}
		b.counters.conflicts.Add(1)
	}
}

// valueOf returns the value that was found, nil for none.
func valueOf(f *found) (any, error) {
	if f == nil {
		return nil, nil
	}
	return codec.Decode(f.payload, &stored)
}

// Update makes the value of key what fn returns for it, and returns that, or what hooks and the rules of
// Options.Privacy have put in its place. fn is given the value, or
// nil and false where there is none, which is its own to change. When somebody else writes the key
// meanwhile fn is called again with what is there then, until it gets through or the context ends.
// Where fn returns an error nothing is written; it is wrapped in what Update returns.
func (s *Scope) Update(ctx context.Context, key string, fn func(old any, found bool) (any, error), opts ...Option) (any, error) {
	v, err := s.modify(ctx, key, join(opts), func(f *found) (any, error) {
		old, err := valueOf(f)
		if err != nil {
			return nil, err
		}
		return fn(old, f != nil)
	}, nil)
	if err != nil {
		return nil, s.fail("update", key, err)
	}
	return v, nil
}

// Increment adds delta to the number that key has, 0 if it has none, and returns the sum, of the
// number's type: ErrOverflow if it does not fit, ErrType if either is no number or a float64 is to
// be added to an integer. docs/values.md has the rules.
func (s *Scope) Increment(ctx context.Context, key string, delta any, opts ...Option) (any, error) {
	v, err := s.modify(ctx, key, join(opts), func(f *found) (any, error) {
		old, err := valueOf(f)
		if err != nil {
			return nil, err
		}
		return edit.Increment(old, delta)
	}, nil)
	if err != nil {
		return nil, s.fail("increment", key, err)
	}
	return v, nil
}

// Append adds an element to the end of the list that key has, an empty one if it has none, and
// returns the list. It is for lists of up to 64 KiB, since each is written as a whole:
// beyond that it is ErrTooLarge. ErrType: the value is no list.
func (s *Scope) Append(ctx context.Context, key string, element any, opts ...Option) ([]any, error) {
	v, err := s.modify(ctx, key, join(opts), func(f *found) (any, error) {
		old, err := valueOf(f)
		if err != nil {
			return nil, err
		}
		return edit.Append(old, &s.store.limits, element)
	}, mustBeList)
	if err != nil {
		return nil, s.fail("append", key, err)
	}
	return v.([]any), nil
}

// mustBeList refuses what a hook has put in a list's place, unless it is one.
func mustBeList(v any) error {
	if _, ok := v.([]any); !ok {
		return fmt.Errorf("%w: there is a %T in the place of a list", ErrType, v)
	}
	return nil
}

// Patch merges a patch into the value that key has, as RFC 7386 says: in maps nil removes a key,
// maps are merged in their turn, and everything else replaces. It returns the new value.
func (s *Scope) Patch(ctx context.Context, key string, patch any, opts ...Option) (any, error) {
	v, err := s.modify(ctx, key, join(opts), func(f *found) (any, error) {
		old, err := valueOf(f)
		if err != nil {
			return nil, err
		}
		return edit.MergePatch(old, patch, &s.store.limits)
	}, nil)
	if err != nil {
		return nil, s.fail("patch", key, err)
	}
	return v, nil
}
