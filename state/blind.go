package state

import (
	"context"
	"errors"
	"fmt"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/edit"
	"github.com/loamdb/loam/state/envelope"
)

// Blind changes are written as what is to be done, an operand with an envelope of its own, without a
// read of the value: reads, and the engine in the background, fold it in. They never conflict.
//
// What an operator does to a value is for ever what it was when operands of it were written: one that
// does something else needs another name.
const (
	opIncrement = "state.increment"
	opPatch     = "state.patch"
	opAppend    = "state.append"
)

// IncrementBlind adds delta to the number that key has, 0 if it has none, without reading it, and so
// without telling the sum: several times as fast as Increment where many do it. The value is of class
// Trusted from then on, and keeps its expiry. ErrUnsupported: it is of class Sensitive, for which an
// encrypted store looks, or the scope is sealed.
//
// Where the value turns out to be no number that delta goes to, or the sum does not fit, nobody can
// tell what was meant: reading the key is ErrMerge then, until it is Set or deleted.
func (s *Scope) IncrementBlind(ctx context.Context, key string, delta any, opts ...Option) error {
	number, err := edit.Increment(nil, delta)
	if err == nil {
		err = s.blind(ctx, opIncrement, key, number, opts)
	}
	if err != nil {
		return s.fail("increment blind", key, err)
	}
	return nil
}

// PatchBlind merges a patch into the value that key has, as Patch does, without reading it, and so
// without telling what becomes of it. The value is of class Trusted from then on, and keeps its
// expiry. ErrUnsupported is as of IncrementBlind.
//
// Where the value would come to exceed MaxValueBytes or MaxDepth, reading the key is ErrMerge and ErrTooLarge, or
// ErrTooDeep, until it is Set or deleted, or patched to something smaller, or the store opened with wider limits.
func (s *Scope) PatchBlind(ctx context.Context, key string, patch any, opts ...Option) error {
	if err := s.blind(ctx, opPatch, key, patch, opts); err != nil {
		return s.fail("patch blind", key, err)
	}
	return nil
}

// appendLooks is at one of how many blind appends the length of the list is looked at.
const appendLooks = 61

// appendTurn reports whether it is looked at this one: another one of each 61, or who appends to so many
// lists in turn would always have the same one looked at.
func appendTurn(n uint32) bool { return n%appendLooks == n/appendLooks*2654435769>>16%appendLooks }

// AppendBlind adds an element to the end of the list that key has, as Append does, mostly without reading
// it, and so without telling what becomes of it. The value is of class Trusted from then on, and keeps
// its expiry.
//
// One call in 61 looks how long the list is: beyond 64 KiB it is ErrTooLarge, and nothing is added. A list that
// has grown beyond that meanwhile is read as others are. Where the value turns out to be no list, reading
// the key is ErrMerge, until it is Set or deleted.
func (s *Scope) AppendBlind(ctx context.Context, key string, element any, opts ...Option) error {
	err := s.roomToAppend(ctx, key)
	if err == nil {
		err = s.blind(ctx, opAppend, key, element, opts)
	}
	if err != nil {
		return s.fail("append blind", key, err)
	}
	return nil
}

// roomToAppend returns ErrTooLarge, once in a while, for a list that has become too long.
func (s *Scope) roomToAppend(ctx context.Context, key string) error {
	if !appendTurn(s.store.appends.Add(1)) {
		return nil
	}
	s, err := s.pass(ctx, access.OpUpdate, key)
	if err != nil || s.mode != live { // a transaction would depend on what is read
		return err
	}
	b := s.store.borrow()
	defer s.store.giveBack(b)
	var f found
	switch err := s.locate(ctx, key, b, &f); {
	case err == ErrNotFound: // returned bare
		return nil
	case err != nil:
		return err
	}
	if err := f.open(b.buf); err != nil {
		return err
	}
	return edit.CheckListLen(len(f.payload))
}

func (s *Scope) blind(ctx context.Context, operator, key string, operand any, opts []Option) error {
	s, err := s.pass(ctx, access.OpUpdate, key) // that there is an Ephemeral value is told
	if err != nil {
		return err
	}
	o := join(opts)
	if o.class != 0 && o.class != Trusted || o.life != lifeAsIs {
		return fmt.Errorf("%w: what is changed without a read is of class %v, and keeps its expiry", ErrOption, Trusted)
	}
	if err := s.mayBeBlind(ctx, key); err != nil {
		return err
	}
	o.class = Trusted
	p := pending{key: key, value: operand, operator: operator}
	_, err = s.put(ctx, &p, &o)
	return err
}

// errSensitiveBlind: what is written without a read cannot be sealed.
var errSensitiveBlind = fmt.Errorf("%w: values of class %v are not changed without a read", ErrUnsupported, Sensitive)

// mayBeBlind returns an error if a value is, or would be, of class Sensitive. Where there can be such values,
// in an encrypted store, it looks.
func (s *Scope) mayBeBlind(ctx context.Context, key string) error {
	if !s.store.encrypted || s.err != nil || s.mode == atSnapshot {
		return nil // whose error comes of itself
	}
	if c, _ := s.classOf(key, 0, 0); c == Sensitive {
		return errSensitiveBlind
	}
	b := s.store.borrow()
	defer s.store.giveBack(b)
	var f found
	err := s.locate(ctx, key, b, &f)
	switch {
	case err == ErrNotFound || errors.Is(err, ErrMerge): // returned bare
		return nil
	case unread(err) || err == nil && b.class() == Sensitive:
		return errSensitiveBlind
	}
	return err
}

// foldOperands appends to dst what a stored value, nil for none, becomes under operands of an
// operator, oldest first, unless that exceeds the limits. It is called with the engine's internals held.
func foldOperands(operator string, l *codec.Limits, dst, value []byte, operands [][]byte) ([]byte, error) {
	var h envelope.Header
	var v any
	if value != nil {
		var f found
		err := f.open(value)
		if err == nil {
			h = f.header
			v, err = codec.Decode(f.payload, &stored)
		}
		if err != nil {
			return dst, err
		}
	}
	for _, p := range operands {
		var f found
		var operand any
		err := f.open(p)
		if err == nil {
			operand, err = codec.Decode(f.payload, &stored)
		}
		switch {
		case err != nil:
		case operator == opIncrement:
			v, err = edit.Increment(v, operand)
		case operator == opAppend:
			v, err = edit.Extend(v, operand)
		default:
			v, err = edit.MergePatch(v, operand, &stored)
		}
		if err != nil {
			return dst, err
		}
		if h.Created == 0 {
			h.Created = f.header.Created
		} else {
			h.Updated = f.header.Created
		}
		h.Correlation = f.header.Correlation
	}
	if h.Codec = envelope.MessagePack; h.Class != Sensitive { // of which somebody has written it meanwhile
		h.Class = Trusted
	}
	out, err := envelope.Append(dst, &h)
	if err == nil {
		out, err = codec.Append(out, v, l)
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

// checkOperand refuses what is no operand.
func checkOperand(p []byte) error {
	var f found
	if err := f.open(p); err != nil {
		return err
	}
	return codec.Validate(f.payload, &stored)
}
