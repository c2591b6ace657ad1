package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/state/index"
)

// catalog is the record of a collection's indexes in a scope. Where there is a document there is
// one, and every write of a document is on the condition that it has not changed: so whoever
// changes it knows that all later writes keep the entries of the indexes that it lists.
type catalog struct {
	there   bool
	version Version
	list    index.Catalog
	agrees  bool          // with the indexes of the handle that has loaded it
	asOf    atomic.Uint64 // a Version: of info when it was read or last required
}

// catalog returns the record as it was read last. It may have changed: whoever relies on it makes
// that a condition.
func (c *collection) catalog() (*catalog, error) {
	if known := c.known.Load(); known != nil && c.scope.mode == live {
		return known, nil
	}
	return c.reload()
}

// agreed is catalog, and ErrReopen if the record has other indexes than c's.
func (c *collection) agreed() (*catalog, error) {
	cat, err := c.catalog()
	if err == nil && cat.there && !cat.agrees {
		cat, err = c.reload() // another handle may have made them these, or the scope may be gone
	}
	if err == nil && cat.there && !cat.agrees {
		err = ErrReopen
	}
	return cat, err
}

// reload reads the record.
func (c *collection) reload() (*catalog, error) {
	cat, err := readCatalog(c.scope.space, c.record)
	if err == nil {
		cat.agrees = cat.list.Agrees(c.set)
		c.known.Store(cat)
	}
	return cat, err
}

func readCatalog(sp space, record []byte) (*catalog, error) {
	var i info
	p, err := sp.get(nil, record, &i)
	return decodeCatalog(p, i, err)
}

// decodeCatalog makes a catalog of what a look-up of its record has given.
func decodeCatalog(p []byte, i info, err error) (*catalog, error) {
	if err == ErrNotFound { // returned bare
		return &catalog{}, nil
	}
	if err != nil {
		return nil, err
	}
	cat := &catalog{there: true, version: i.version}
	cat.asOf.Store(uint64(i.asOf))
	switch cat.list, err = index.DecodeCatalog(p); {
	case errors.Is(err, index.ErrTooNew):
		return nil, fmt.Errorf("%w: %w", ErrTooNew, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return cat, nil
}

// condition returns the operation that makes a commit depend on the record, or, where there is
// none, and so no document, makes it.
func (cat *catalog) condition(c *collection) write {
	w := write{
		space: c.scope.space, key: c.record, conditional: true, version: cat.version, asOf: Version(cat.asOf.Load()), requires: cat.there,
	}
	if !cat.there {
		list, _ := c.set.Reconcile(nil, index.Ready)
		w.value = index.AppendCatalog(nil, list)
	}
	return w
}

// replace writes another list in the place of cat's, and deletes the entries of some indexes with
// it. ErrConflict: cat is not what is there any more.
func (c *collection) replace(cat *catalog, list index.Catalog, gone []index.ID) error {
	sp := c.scope.space
	ws := []write{{space: sp, key: c.record, value: index.AppendCatalog(nil, list), conditional: true, version: cat.version}}
	for _, id := range gone {
		lower, upper := index.Range(id)
		ws = append(ws, write{space: sp, key: lower, upper: upper})
	}
	_, err := c.scope.store.commit(ws, c.scope.unsynced(Standard, &Option{}))
	return err
}

// open makes the indexes those of the set, where there is a collection.
func (c *collection) open(ctx context.Context) error {
	c, err := c.passToOpen(ctx)
	if err == nil {
		err = c.scope.err
	}
	if err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		cat, err := c.reload()
		switch {
		case err != nil:
			return err
		case !cat.there || c.scope.mode == atSnapshot:
			return nil
		case cat.list.Agrees(c.set):
			err = c.build(ctx)
		case c.scope.mode == inTransaction:
			return ErrReopen
		case hook.Simulated(ctx):
			return hook.ErrSimulated
		default:
			list, gone := c.set.Reconcile(cat.list, index.Building)
			if err = c.replace(cat, list, gone); err == nil {
				continue
			}
		}
		switch {
		case errors.Is(err, ErrReadOnly):
			return nil
		case !errors.Is(err, ErrConflict):
			return err
		}
	}
}

// rebuild has indexes built that are there. Their entries stay meanwhile, so that what is unique
// stays so.
func (c *collection) rebuild(ctx context.Context, names []string) error {
	c, err := c.passSettings(ctx)
	switch {
	case err != nil:
		return err
	case c.scope.err != nil:
		return c.scope.err
	case c.scope.mode == atSnapshot:
		return c.scope.readOnly()
	case c.scope.mode == inTransaction:
		return fmt.Errorf("%w: building an index is no part of transactions", ErrUnsupported)
	case hook.Simulated(ctx):
		return hook.ErrSimulated
	}
	for _, name := range names {
		if c.set.Index(name) == nil {
			return &index.DefError{Index: name, Reason: "there is no such index"}
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		cat, err := c.reload()
		switch {
		case err != nil:
			return err
		case !cat.there:
			return nil
		case !cat.list.Agrees(c.set):
			return ErrReopen
		}
		list := slices.Clone(cat.list)
		for i := range list {
			if len(names) == 0 || slices.Contains(names, list[i].Name) {
				list[i].State = index.Building
			}
		}
		if err = c.replace(cat, list, nil); err == nil {
			err = c.build(ctx)
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}
