package state

import (
	"context"
	"errors"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/index"
)

// What collections on handles of views ask for. A document is asked for as the key that the rest of the
// store calls it by.

// pass returns the collection on which an operation acts: c, or the one behind its guard if the principal
// may do that to the document under key. With an error it is c.
func (c *collection) pass(ctx context.Context, op access.Op, key string) (*collection, error) {
	switch {
	case c.inner == nil:
		return c, nil
	case key == "":
		return c, codec.CheckKey(key)
	}
	if _, err := c.scope.pass(ctx, op, c.logical(key)); err != nil {
		return c, err
	}
	return c.inner, nil
}

// passSome is pass for an operation that shows several documents: the filter says which, and is nil if
// all.
func (c *collection) passSome(ctx context.Context, op access.Op) (*collection, *access.Filter, error) {
	if c.inner == nil {
		return c, nil, nil
	}
	_, filter, err := c.scope.passSome(ctx, op, c.logical(""))
	if err != nil {
		return c, nil, err
	}
	return c.inner, filter, nil
}

// passSettings is pass for an operation on the indexes, which are settings of the scope.
func (c *collection) passSettings(ctx context.Context) (*collection, error) {
	if c.inner == nil {
		return c, nil
	}
	if _, err := c.scope.pass(ctx, access.OpSettings, ""); err != nil {
		return c, err
	}
	return c.inner, nil
}

// passToOpen is pass for open. Who is no admin of the scope, and may list some of the documents, is let
// through where nothing is to be changed.
func (c *collection) passToOpen(ctx context.Context) (*collection, error) {
	if c.inner == nil {
		return c, nil
	}
	in := c.inner
	if in.scope.mode == live && c.may(access.OpSettings, "") {
		return in, nil
	}
	if _, _, err := c.passSome(ctx, access.OpList); err != nil {
		return c, err
	}
	if in.scope.mode != live {
		return in, nil // which changes nothing
	}
	cat, err := in.reload()
	if err == nil && cat.there && !cat.list.Agrees(c.set) {
		_, err = c.passSettings(ctx) // a denial
	}
	if err != nil {
		return c, err
	}
	return in, nil
}

// may reports whether the principal is allowed something, which it has not asked for.
func (c *collection) may(op access.Op, key string) bool { return c.scope.guard.may(op, key) }

func (g *guard) may(op access.Op, key string) bool {
	return g.control.keeper.Policy().Decide(g.request(op, key)).Allowed
}

// hideHolder takes the name of the document that has a unique value out of an error, unless the
// principal may read that document.
func (c *collection) hideHolder(err error) {
	var unique *index.UniqueError
	if errors.As(err, &unique) && !c.may(access.OpGet, c.logical(unique.Holder)) && !(mutant.Enabled && mutant.Is(mutant.TellHolder)) {
		unique.Holder = ""
	}
}
