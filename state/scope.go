package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/envelope"
)

// Scope is a handle to one scope: its methods read and write the values in it. One from
// Store.Scope acts on the store as it is at each call; one from Snapshot.Scope reads what the
// snapshot holds, and refuses to write with ErrReadOnly; one from Txn.Scope acts within the
// transaction.
//
// A handle costs little and need not be closed. It may be used from any number of goroutines, but
// one of a transaction only by the function of the transaction. Values are docs/values.md's: what
// is written is copied, what is read is the caller's own.
//
// Every operation fails with a *Error, which names it, the scope and the key. Besides those that
// its comment says the reasons can be: ErrKey, ErrScope, ErrClosed, the context's, and those of
// the machine (ErrCorrupt, ErrNoSpace, ErrPoisoned); when writing also ErrReadOnly, ErrUnsupported,
// ErrOption, and what is wrong with a value: ErrTooLarge, ErrTooDeep, ErrType and others of
// package codec. An operation that fails has changed nothing.
type Scope struct {
	// Constant.
	store *Store
	name  scope.Scope
	class Class // of values for which nothing else says one
	err   error // of the name: every operation fails with it
	space space
	mode  mode
	snap  *Snapshot // that it reads, or nil
	tx    *Txn      // that it is part of, or nil

	// Of a handle of a view (view.go): guard is what it asks before it acts on another handle, which
	// has the same as its witness, who is told of what was sensitive.
	guard, witness *guard
}

// mode says what a handle acts on.
type mode uint8

const (
	live mode = iota
	atSnapshot
	inTransaction
)

// Name returns the scope that the handle is for.
func (s *Scope) Name() scope.Scope { return s.name }

// Meta is what a store knows of a value besides the value.
type Meta struct {
	// Version is the number of the last write of the key. It is 0 for what this very transaction
	// has written, and for values of class Ephemeral.
	Version Version
	// Class is the value's class.
	Class Class
	// Created and Updated say when the value was first written, and last, to the millisecond. What
	// replaces a value without reading it begins anew.
	Created, Updated time.Time
	// Expires is when the value expires; the zero Time means never.
	Expires time.Time
	// Correlation is the id of what the value was written for, empty if there was none.
	Correlation string
	// Bytes is the length of the value's encoding.
	Bytes int
}

// Version tells the states of one key apart: it is the number of the key's last write, which
// grows with every write, or Absent. It outlives the process.
type Version uint64

// Absent is the version of a key without a value.
const Absent Version = 0

// Entry is a key with its value, and what the store knows of it.
type Entry struct {
	// Key is the key.
	Key string
	// Value is the value, nil where only keys were asked for.
	Value any
	// Meta is what is known of the value. Of one that cannot be read that is its version and expiry; it
	// counts as Sensitive.
	Meta
	// Err is why the value was asked for and cannot be read: ErrShredded, ErrNoScopeKey or ErrMerge; else nil.
	Err error
}

// Get returns the value of key, or ErrNotFound.
func (s *Scope) Get(ctx context.Context, key string) (any, error) {
	b := s.store.borrowFor(timedGet)
	defer s.store.giveBack(b)
	var f found
	err := s.find(ctx, key, b, &f)
	if err == nil {
		var v any
		if v, err = codec.Decode(f.payload, &stored); err == nil {
			return v, nil
		}
	}
	return nil, s.fail("get", key, err)
}

// GetWithMeta returns the value of key with what the store knows of it, or ErrNotFound.
func (s *Scope) GetWithMeta(ctx context.Context, key string) (any, Meta, error) {
	b := s.store.borrowFor(timedGet)
	defer s.store.giveBack(b)
	var f found
	err := s.find(ctx, key, b, &f)
	if err == nil {
		var v any
		if v, err = codec.Decode(f.payload, &stored); err == nil {
			return v, f.meta(), nil
		}
	}
	return nil, Meta{}, s.fail("get", key, err)
}

// Has reports whether key has a value, which may be nil.
func (s *Scope) Has(ctx context.Context, key string) (bool, error) {
	s, err := s.pass(ctx, access.OpHas, key)
	if err != nil {
		return false, s.fail("has", key, err)
	}
	b := s.store.borrowFor(timedGet)
	defer s.store.giveBack(b)
	var f found
	err = s.locate(ctx, key, b, &f)
	if unread(err) || err == nil && b.class() == Sensitive {
		err = s.seen(ctx, access.OpHas, key, 1)
	}
	switch err {
	case nil:
		return true, nil
	case ErrNotFound: // returned bare
		return false, nil
	default:
		return false, s.fail("has", key, err)
	}
}

// GetInherited returns the value of key in the scope or, where it has none, in the next of its
// ancestors that has one, and says in which: a step's parent is its workflow, everything else's is
// Global. ErrNotFound: none has it.
func (s *Scope) GetInherited(ctx context.Context, key string) (any, scope.Scope, error) {
	for at := s; ; {
		v, err := at.Get(ctx, key)
		if err == nil {
			return v, at.name, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return nil, scope.Scope{}, err
		}
		parent, ok := at.name.Parent()
		if !ok {
			return nil, scope.Scope{}, s.fail("get inherited", key, ErrNotFound)
		}
		at = s.sibling(parent)
	}
}

// found is what find has found: the header and the bytes of a value, which are in the scratch.
type found struct {
	info
	header  envelope.Header
	payload []byte
}

// find looks key up and reads its envelope. ErrNotFound is returned bare.
func (s *Scope) find(ctx context.Context, key string, b *scratch, f *found) error {
	s, err := s.pass(ctx, access.OpGet, key)
	if err != nil {
		return err
	}
	if err := s.locate(ctx, key, b, f); err != nil {
		if unread(err) {
			err = cmp.Or(s.seen(ctx, access.OpGet, key, 1), err)
		}
		return err
	}
	if err := f.open(b.buf); err != nil || f.header.Class != Sensitive {
		return err
	}
	return s.seen(ctx, access.OpGet, key, 1)
}

// locate looks key up: what is stored is in b.buf then, and f has its info. ErrNotFound is returned
// bare.
func (s *Scope) locate(ctx context.Context, key string, b *scratch, f *found) error {
	if err := s.usable(ctx, key); err != nil {
		return err
	}
	b.counters.reads.Add(1)
	b.key = append(b.key[:0], key...)
	e := &s.store.ephemeral
	for {
		var err error
		changes := e.changes.Load()
		if s.mode == live && e.count.Load() > 0 {
			var ok bool
			f.info = info{}
			if b.buf, f.expires, ok = e.get(b.buf[:0], s.name, key, s.store.engine.now); ok {
				return nil
			}
		}
		b.buf, err = s.space.get(b.buf[:0], b.key, &f.info)
		if err != ErrNotFound || changes == e.changes.Load() { // returned bare
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// class returns the class of what locate has found, 0 if nobody can tell.
func (b *scratch) class() Class {
	h, _, _ := envelope.Decode(b.buf) // the zero Header with an error
	return h.Class
}

// classUnless is class where locate has returned err: what cannot be read counts as Sensitive.
func (b *scratch) classUnless(err error) Class {
	if unread(err) {
		return Sensitive
	}
	return b.class()
}

// open reads the envelope of a stored value.
func (f *found) open(p []byte) error {
	var err error
	if f.header, f.payload, err = envelope.Decode(p); err != nil {
		if errors.Is(err, envelope.ErrTooNew) {
			return fmt.Errorf("%w: %w", ErrTooNew, err)
		}
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if f.header.Key != (envelope.KeyID{}) {
		return fmt.Errorf("%w: the value is sealed within its envelope, which this version does not do", ErrUnsupported)
	}
	return nil
}

// meta is what is known of a value that cannot be read.
func (i *info) meta() Meta {
	return Meta{Version: i.version, Class: Sensitive, Expires: envelope.Millis(i.expires).Time()}
}

func (f *found) meta() Meta {
	m := Meta{
		Version: f.version, Class: f.header.Class, Bytes: len(f.payload), Correlation: string(f.header.Correlation),
		Created: f.header.Created.Time(), Updated: f.header.Updated.Time(), Expires: envelope.Millis(f.expires).Time(),
	}
	if m.Updated.IsZero() {
		m.Updated = m.Created
	}
	return m
}

// usable returns the error of an operation on key that has no chance.
func (s *Scope) usable(ctx context.Context, key string) error {
	if s.err != nil {
		return s.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return codec.CheckKey(key)
}

// fail says of an error what has failed. What an operation on several keys says of one of them
// stays.
func (s *Scope) fail(op, key string, err error) error {
	if e, ok := err.(*Error); ok && key == "" {
		e.Op = op
		return e
	}
	return &Error{Op: op, Scope: s.name, Key: key, Err: err}
}

// sibling returns the handle to another scope that acts on what s acts on.
func (s *Scope) sibling(name scope.Scope) *Scope {
	switch s.mode {
	case atSnapshot:
		return s.snap.Scope(name)
	case inTransaction:
		return s.tx.Scope(name)
	}
	if s.guard != nil {
		return s.store.As(s.guard.who).Scope(name)
	}
	return s.store.scopeIn(s.store.engine, name)
}
