package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/index"
)

// catalog is the record of a collection's indexes in a scope. Where there is a document there is
// one, and every write of a document is on the condition that it has not changed: so whoever
// changes it knows that all later writes keep the entries of the indexes that it lists.
type catalog struct {
	there   bool
	version Version
	list    index.Catalog
}

// catalog returns the record as it was read last. It may have changed: whoever relies on it makes
// that a condition.
func (c *collection) catalog() (*catalog, error) {
	if known := c.known.Load(); known != nil && c.scope.mode == live {
		return known, nil
	}
	return c.reload()
}

// reload reads the record.
func (c *collection) reload() (*catalog, error) {
	cat, err := readCatalog(c.scope.space, c.record)
	if err == nil {
		c.known.Store(cat)
	}
	return cat, err
}

func readCatalog(sp space, record []byte) (*catalog, error) {
	p, i, err := sp.get(nil, record)
	if err == ErrNotFound { // returned bare
		return &catalog{}, nil
	}
	if err != nil {
		return nil, err
	}
	cat := &catalog{there: true, version: i.version}
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
	w := write{space: c.scope.space, key: c.record, conditional: true, version: cat.version, requires: cat.there}
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
	_, err := c.scope.store.engine.commit(ws, c.scope.unsynced(Standard, &Option{}))
	return err
}

// open makes the indexes those of the set, where there is a collection.
func (c *collection) open(ctx context.Context) error {
	if c.scope.err != nil {
		return c.scope.err
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

// rebuild builds indexes anew.
func (c *collection) rebuild(ctx context.Context, names []string) error {
	switch {
	case c.scope.err != nil:
		return c.scope.err
	case c.scope.mode == atSnapshot:
		return ErrReadOnly
	case c.scope.mode == inTransaction:
		return fmt.Errorf("%w: building an index is no part of transactions", ErrUnsupported)
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
		list, gone := slices.Clone(cat.list), []index.ID(nil)
		for i := range list {
			if len(names) == 0 || slices.Contains(names, list[i].Name) {
				list[i].State, gone = index.Building, append(gone, list[i].ID)
			}
		}
		if err = c.replace(cat, list, gone); err == nil {
			err = c.build(ctx)
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// build completes all indexes that are being built. ErrConflict: the record has changed meanwhile.
func (c *collection) build(ctx context.Context) error {
	if c.scope.mode != live {
		return nil
	}
	cat, err := c.reload()
	if err != nil {
		return err
	}
	building := c.set.Only(func(ix *index.Index) bool { return !cat.list.Ready(ix.ID()) })
	if !cat.there || len(building.Indexes()) == 0 {
		return nil
	}
	if err := c.fill(ctx, cat, building); err != nil {
		return err
	}
	list := slices.Clone(cat.list)
	for i := range list {
		list[i].State = index.Ready
	}
	return c.replace(cat, list, nil)
}

// Bounds of the documents of one commit of a build.
const (
	chunkDocs  = 256
	chunkBytes = 1 << 20
)

// stretch is some documents, one after the other, for a build.
type stretch struct {
	ws    []write // the conditions and the entries
	last  string  // the key of the last one, "" if there are none
	docs  int
	bytes int
	taken map[string]string // keys of documents by keys of entries that must be absent
}

// fill makes the entries of all documents, stretch by stretch, on the condition that none of these
// documents is written meanwhile: those that are have been made by whoever wrote them.
func (c *collection) fill(ctx context.Context, cat *catalog, set *index.Set) error {
	after, most := "", chunkDocs
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		st := &stretch{ws: []write{cat.condition(c)}, taken: map[string]string{}}
		if err := c.gather(st, set, after, most); err != nil || st.last == "" {
			return err
		}
		_, err := c.scope.store.engine.commit(st.ws, true) // made durable by the record in the end
		if err == nil {
			after, most = st.last, min(2*most, chunkDocs)
			continue
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		now, err := c.reload()
		if err != nil {
			return err
		}
		if now.version != cat.version {
			return ErrConflict
		}
		most = max(st.docs/2, 1) // somebody writes here
	}
}

// gather adds up to most documents with keys behind after.
func (c *collection) gather(st *stretch, set *index.Set, after string, most int) error {
	lower := append(bytes.Clone(c.prefix), after...)
	if after != "" {
		lower = append(lower, 0)
	}
	var failed error
	err := c.scope.space.scan(lower, prefixEnd(c.prefix), false, func(key, value []byte, i info) bool {
		failed = c.addDoc(st, set, bytes.Clone(key), value, i)
		st.docs++
		st.bytes += len(value)
		return failed == nil && st.docs < most && st.bytes < chunkBytes
	})
	if failed != nil {
		return failed
	}
	return err
}

// addDoc adds the entries of the document that is stored under docKey.
func (c *collection) addDoc(st *stretch, set *index.Set, docKey, value []byte, i info) error {
	key := string(docKey[len(c.prefix):])
	f := found{info: i}
	err := f.open(value)
	if err == nil {
		if err = codec.Validate(f.payload, &stored); err != nil {
			err = fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	var ch index.Change
	if err == nil {
		err = set.Change(&ch, key, nil, f.payload, false)
	}
	if err != nil {
		return fmt.Errorf("document %q: %w", key, err)
	}
	puts := ch.Put[:0]
	for _, p := range ch.Put {
		if p.Absent {
			holder, err := c.holder(&p, nil)
			if err != nil {
				return err
			}
			if holder == "" {
				holder = st.taken[string(p.Key)]
				st.taken[string(p.Key)] = key
			}
			if holder == key {
				continue // of an earlier attempt, or whoever wrote the document
			}
			if holder != "" {
				return &index.UniqueError{Index: p.Index.Name(), Key: key, Holder: holder}
			}
		}
		puts = append(puts, p)
	}
	ch.Put = puts
	st.last = key
	st.ws = append(st.ws, write{space: c.scope.space, key: docKey, conditional: true, version: i.version, requires: true})
	st.ws = c.appendEntries(st.ws, &ch, i.expires)
	return nil
}

// prefixEnd returns the least key above all that begin with prefix, whose last byte is below 0xFF.
func prefixEnd(prefix []byte) []byte {
	upper := bytes.Clone(prefix)
	upper[len(upper)-1]++
	return upper
}
