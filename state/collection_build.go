package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/state/index"
)

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
	if !cat.there || building.Len() == 0 {
		return nil
	}
	if hook.Simulated(ctx) {
		return hook.ErrSimulated
	}
	for _, ix := range building.Indexes() {
		if err := c.sweep(ctx, cat, ix); err != nil {
			return err
		}
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

// misled reports whether err, of a write, tells of an entry in an index that was being built and is not any more:
// the document may have gone without it, as where retention does not know the collection's indexes.
func (c *collection) misled(ctx context.Context, err error) bool {
	if c.scope.mode != live || !errors.Is(err, index.ErrUnique) && !errors.Is(err, index.ErrDisagrees) {
		return false
	}
	cat, err := c.reload()
	complete := func(ix *index.Index) bool { return cat.list.Ready(ix.ID()) }
	if err != nil || !cat.there || !cat.list.Agrees(c.set) || c.set.Only(complete).Len() == c.set.Len() || c.unbuilt.Load() == uint64(cat.version) {
		return false
	}
	c.scope.store.sweeper.know(c.set) // or it happens again
	err = c.build(ctx)
	if err == nil || errors.Is(err, ErrConflict) {
		return true
	}
	if ctx.Err() == nil {
		c.unbuilt.Store(uint64(cat.version)) // it takes somebody to see why
	}
	return false
}

// Bounds of one commit of a build.
const (
	stretchLen   = 256 // entries, or documents
	stretchBytes = 1 << 20
)

// stretch is some documents, one after the other.
type stretch struct {
	ws    []write // the conditions and the entries
	last  string  // the key of the last one, "" if there are none
	docs  int
	bytes int
	taken map[string]string // keys of documents by keys of entries that must be absent
}

// fill makes the entries that are missing of all documents, stretch by stretch, on the condition that
// none of these documents is written meanwhile.
func (c *collection) fill(ctx context.Context, cat *catalog, set *index.Set) error {
	after, most := "", stretchLen
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		st := &stretch{ws: []write{cat.condition(c)}, taken: map[string]string{}}
		err := c.gather(st, set, after, most)
		if err == nil {
			if st.last == "" {
				return nil
			}
			err = c.step(cat, st.ws)
		}
		switch {
		case err == nil:
			after, most = st.last, min(2*most, stretchLen)
		case err == errAgain:
			most = max(st.docs/2, 1) // somebody writes here
		default:
			return err
		}
	}
}

// errAgain: what was read was written meanwhile, and is to be read again.
var errAgain = errors.New("state: what was read has changed")

// step commits one stretch of a build, which the record makes durable in the end. ErrConflict: the
// record has changed.
func (c *collection) step(cat *catalog, ws []write) error {
	_, err := c.scope.store.commit(ws, true)
	if !errors.Is(err, ErrConflict) {
		return err
	}
	now, err := c.reload()
	switch {
	case err != nil:
		return err
	case now.version != cat.version:
		return ErrConflict
	}
	return errAgain
}

// sweep deletes the entries of an index that their documents do not have: of a new index there are
// none, and none where nothing has gone wrong.
func (c *collection) sweep(ctx context.Context, cat *catalog, ix *index.Index) error {
	lower, upper := index.Range(ix.ID())
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		ws, n, next := []write{cat.condition(c)}, 0, lower
		var failed error
		err := scan(c.scope.space, lower, upper, false, func(key, value []byte, i info) bool {
			n++
			next = append(bytes.Clone(key), 0)
			ws, failed = c.appendStale(ws, ix, index.Entry{Key: next[:len(key):len(key)], Value: value}, i.version)
			return failed == nil && n < stretchLen
		})
		if failed != nil {
			err = failed
		}
		if err == nil && len(ws) > 1 {
			err = c.step(cat, ws)
		}
		switch {
		case err == errAgain:
		case err != nil:
			return err
		case n < stretchLen:
			return nil
		default:
			lower = next
		}
	}
}

// appendStale appends the deletion of an entry if its document does not have it.
func (c *collection) appendStale(ws []write, ix *index.Index, e index.Entry, version Version) ([]write, error) {
	sp := c.scope.space
	del := write{space: sp, key: e.Key, conditional: true, version: version}
	key, err := ix.Holder(e)
	if err != nil {
		return append(ws, del), nil // no entry at all
	}
	var doc []byte
	docKey := append(bytes.Clone(c.prefix), key...)
	var i info
	value, err := sp.get(nil, docKey, &i)
	switch {
	case err == nil:
		if doc, err = soundPayload(&found{}, value); err != nil {
			return ws, fmt.Errorf("document %q: %w", key, err)
		}
	case err != ErrNotFound: // returned bare
		return ws, err
	}
	has, err := ix.Has(e, doc)
	if err != nil || has {
		return ws, err
	}
	return append(ws, del, write{space: sp, key: docKey, conditional: true, version: i.version, requires: true}), nil
}

// gather adds up to most documents with keys behind after.
func (c *collection) gather(st *stretch, set *index.Set, after string, most int) error {
	lower := append(bytes.Clone(c.prefix), after...)
	if after != "" {
		lower = append(lower, 0)
	}
	var failed error
	err := scan(c.scope.space, lower, prefixEnd(c.prefix), false, func(key, value []byte, i info) bool {
		if failed = i.unread; failed == nil {
			failed = c.addDoc(st, set, bytes.Clone(key), value, i)
		}
		st.docs++
		st.bytes += len(value)
		return failed == nil && st.docs < most && st.bytes < stretchBytes
	})
	if failed != nil {
		return failed
	}
	return err
}

// addDoc adds the entries of the document that is stored under docKey.
func (c *collection) addDoc(st *stretch, set *index.Set, docKey, value []byte, i info) error {
	key := string(docKey[len(c.prefix):])
	var f found
	doc, err := soundPayload(&f, value)
	var ch index.Change
	switch {
	case err != nil:
	case f.header.Class == Sensitive && set.Len() > 0:
		err = fmt.Errorf("%w: its class", ErrSensitive)
	default:
		err = set.Change(&ch, key, nil, doc, false)
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
				return c.confirm(docKey, i.version, &index.UniqueError{Index: p.Index.Name(), Key: key, Holder: holder})
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

// confirm returns what was found out about a document that had a version, or errAgain if it has
// been written meanwhile: it was read before what it was compared with.
func (c *collection) confirm(docKey []byte, version Version, found error) error {
	var now info
	_, err := c.scope.space.get(nil, docKey, &now)
	switch {
	case err != nil && err != ErrNotFound: // returned bare
		return err
	case now.version != version:
		return errAgain
	}
	return found
}

// prefixEnd returns the least key above all that begin with prefix, whose last byte is below 0xFF.
func prefixEnd(prefix []byte) []byte {
	upper := bytes.Clone(prefix)
	upper[len(upper)-1]++
	return upper
}
