package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/state/index"
)

// merge commits what is staged into the scope, on the condition that nothing changes meanwhile of what it
// was decided by. errAgain: it has.
func (m *importer) merge(ctx context.Context, unsynced bool) error {
	s := m.scope
	g := merger{scope: s, existing: m.o.Existing}
	var failed error
	err := scan(m.place, nil, nil, false, func(key, value []byte, i info) bool {
		if failed = ctx.Err(); failed == nil && !isCatalog(key) && !bytes.Equal(key, ruleKey) {
			failed = g.add(bytes.Clone(key), bytes.Clone(value), i)
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	if m.ruled() {
		g.ws = append(g.ws, m.rule(s.space))
	}
	if len(g.ws) > 0 {
		// What was staged in clear is no value of a sealed scope: a Shred of that would not reach it.
		g.ws[0].plain = !m.sealed && !(mutant.Enabled && mutant.Is(mutant.TakeClearStage))
		err = g.commit(ctx, unsynced)
		switch {
		case errors.Is(err, ErrConflict) || err == errEphemeralPart: // returned bare
			return errAgain
		case err == errSealedSince: // likewise
			return fmt.Errorf("%w: the scope was sealed while the file was read", ErrConflict)
		}
	}
	m.done.Entries, m.done.Skipped = g.entries, g.skipped
	return err
}

// isCatalog reports whether a key is that of the record of a collection.
func isCatalog(key []byte) bool {
	return len(key) > 1 && key[0] == index.Reserved && key[1] == areaCatalogs
}

// merger makes the commit that takes staged entries into a scope that is there.
type merger struct {
	// Constant.
	scope    *Scope
	existing Existing

	ws               []write
	collection       string // the last one of which the record is among these
	entries, skipped int64
}

// add adds an entry, if it is to be written.
func (g *merger) add(key, value []byte, i info) error {
	has, err := g.has(key)
	if err != nil {
		return err
	}
	w := imported(g.scope.space, key, value, i.expires)
	collection, name := splitName(key)
	switch {
	case !has:
		w.conditional, w.version = true, Absent
	case g.existing == ExistingFail:
		return g.scope.fail("import", nameIn(collection, name), ErrConflict)
	case g.existing == ExistingSkip:
		g.skipped++
		return nil
	}
	if collection != "" && collection != g.collection {
		record, err := g.record(collection)
		if err != nil {
			return err
		}
		g.ws, g.collection = append(g.ws, record), collection
	}
	g.ws = append(g.ws, w)
	g.entries++
	return nil
}

// has reports whether the scope has a value under a key, of whichever class, readable or not.
func (g *merger) has(key []byte) (bool, error) {
	s := g.scope
	if s.store.ephemeral.count.Load() > 0 {
		if _, _, ok := s.store.ephemeral.get(nil, s.name, string(key), s.store.engine.now); ok {
			return true, nil
		}
	}
	_, err := s.space.get(nil, key, nil)
	switch {
	case err == ErrNotFound: // returned bare
		return false, nil
	case errors.Is(err, ErrMerge) || unread(err):
		return true, nil
	}
	return err == nil, err
}

// record returns the write of the record of a collection that gets documents, on the condition that it is as
// it was read: its indexes, which know nothing of the documents, are to be built again.
func (g *merger) record(collection string) (write, error) {
	key := append([]byte{index.Reserved, areaCatalogs}, collection...)
	cat, err := readCatalog(g.scope.space, key)
	if err != nil {
		return write{}, err
	}
	list := slices.Clone(cat.list)
	for i := range list {
		list[i].State = index.Building
	}
	return write{
		space: g.scope.space, key: key, value: index.AppendCatalog(nil, list), conditional: true, version: cat.version,
	}, nil
}

// commit writes all of it.
func (g *merger) commit(ctx context.Context, unsynced bool) error {
	s := g.scope
	b := s.store.borrow()
	defer s.store.giveBack(b)
	ws := g.ws
	if half := len(ws) / 2; mutant.Enabled && mutant.Is(mutant.ImportInParts) && half > 0 {
		if _, err := s.commitWrites(ctx, b, ws[:half], ws[:half], unsynced); err != nil {
			return err
		}
		ws = ws[half:]
	}
	_, err := s.commitWrites(ctx, b, ws, ws, unsynced)
	return err
}
