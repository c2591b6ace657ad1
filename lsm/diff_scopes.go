package lsm

import (
	"bytes"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// Differences over scopes. What happened to the scopes themselves is what happened to their
// entries in the directory: an entry that was made since means that the scope may have been
// another id then, and is yielded whole; an entry that is gone, that the scope is. Ids without
// an entry are never yielded.
//
// Changes lie by id, and so do the names of ids. A name that was written since is that of a
// scope to be yielded whole; of an id with other changes the name is looked up, so that nothing
// of the directory is read but what concerns the change.

// maxDiffScopes bounds the scopes that are held in memory together.
const maxDiffScopes = 4096

// changedScope is a scope with changes.
type changedScope struct {
	id    scope.ID
	name  scope.Scope
	whole bool
}

// store yields what has changed in the whole store.
func (v *diffView) store(yield func(Change) bool) error {
	recent, err := v.newDiffer(v.from)
	if err != nil {
		return err
	}
	defer recent.close()
	if err := recent.yieldKeys(rootKeys, scope.Scope{}, yield); err != nil {
		return err
	}
	if err := recent.yieldDirectory(entryBounds, yield); err != nil {
		return err
	}
	var all *differ // of everything, for what is yielded whole
	defer func() { all.close() }()
	for last := scope.System; last < scope.MaxID; {
		var some []changedScope
		if some, last, err = recent.changedScopes(last); err != nil {
			return err
		}
		for _, s := range some {
			from := recent
			if s.whole && v.from > 0 {
				if all == nil {
					if all, err = v.newDiffer(0); err != nil {
						return err
					}
				}
				from = all
			}
			if err := from.yieldKeys(newResolved(s.id, v.to).scopeKeys, s.name, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

// named yields what has changed in one scope.
func (v *diffView) named(s *Scope, yield func(Change) bool) error {
	d := v.db
	recent, err := v.newDiffer(v.from)
	if err != nil {
		return err
	}
	defer recent.close()
	value, version, err := d.getVersion(nil, systemKeys.prefix, s.entry, v.to, v.at)
	if err == ErrNotFound { // returned bare
		entry := append(bytes.Clone(systemKeys.prefix), s.entry...)
		return recent.yieldDirectory(scopeKeys{entry, append(bytes.Clone(entry), 0)}, yield)
	}
	if err != nil {
		return err
	}
	id, err := decodeEntry(value)
	if err != nil {
		return err
	}
	of := newResolved(id, v.to).scopeKeys
	if keys.SeqNum(version) <= v.from {
		return recent.yieldKeys(of, s.name, yield)
	}
	if !yield(Change{Kind: ChangeNewScope, Scope: s.name}) {
		return errStopped
	}
	all, err := v.newDiffer(0)
	if err != nil {
		return err
	}
	defer all.close()
	return all.yieldKeys(of, s.name, yield)
}

// yieldKeys yields the changes of one id, whose keys these are.
func (f *differ) yieldKeys(in scopeKeys, name scope.Scope, yield func(Change) bool) error {
	return f.within(in.prefix, in.upper, func(c *delta) bool {
		out := Change{Kind: c.kind, Scope: name, Key: c.key[len(in.prefix):], Value: c.value, Expiry: expiryTime(c.expires), Version: Version(c.seq)}
		if c.kind == ChangeDeleteRange && !bytes.Equal(c.upper, in.upper) {
			out.Upper = c.upper[len(in.prefix):]
		}
		return yield(out)
	})
}

// entryBounds are the keys of the directory's entries.
var entryBounds = scopeKeys{
	append(bytes.Clone(systemKeys.prefix), byte(recordEntry)), append(bytes.Clone(systemKeys.prefix), byte(recordEntry)+1),
}

// yieldDirectory yields the scopes that have begun or ended since, by their entries within
// the bounds.
func (f *differ) yieldDirectory(within scopeKeys, yield func(Change) bool) error {
	var bad error
	err := f.within(within.prefix, within.upper, func(c *delta) bool {
		name, err := scope.ParseKey(c.key[len(entryBounds.prefix):])
		if err != nil {
			bad = directoryError(err)
			return false
		}
		kind := ChangeDropScope
		if c.kind == ChangeSet {
			kind = ChangeNewScope
		}
		return yield(Change{Kind: kind, Scope: name})
	})
	if bad != nil {
		return bad
	}
	return err
}

// changedScopes returns the next scopes with changes, by id, of those above last, and the id
// up to which these are all.
func (f *differ) changedScopes(last scope.ID) ([]changedScope, scope.ID, error) {
	ids, upTo, err := f.changedIDs(last)
	if err != nil {
		return nil, 0, err
	}
	renewed, upTo, err := f.renewedScopes(last, upTo)
	if err != nil {
		return nil, 0, err
	}
	var out []changedScope
	for _, id := range ids {
		for len(renewed) > 0 && renewed[0].id < id {
			out, renewed = append(out, renewed[0]), renewed[1:]
		}
		if id > upTo || len(renewed) > 0 && renewed[0].id == id {
			continue
		}
		name, err := f.v.db.nameOf(id, f.to)
		if err != nil {
			return nil, 0, err
		}
		if name != (scope.Scope{}) { // else it has no entry
			out = append(out, changedScope{id: id, name: name})
		}
	}
	return append(out, renewed...), upTo, nil
}

// namePrefix begins the keys of the names of ids.
var namePrefix = append(bytes.Clone(systemKeys.prefix), byte(recordName))

// renewedScopes returns the next scopes that have got their id since, by id, of those above
// last and up to upTo, and the id up to which these are all.
func (f *differ) renewedScopes(last, upTo scope.ID) (out []changedScope, _ scope.ID, err error) {
	var bad error
	lower, upper := scope.AppendUpperBound(bytes.Clone(namePrefix), last), scope.AppendUpperBound(bytes.Clone(namePrefix), upTo)
	err = f.within(lower, upper, func(c *delta) bool {
		if c.kind != ChangeSet {
			return true
		}
		s := changedScope{whole: !(mutant.Enabled && mutant.Is(mutant.DiffRenewed))}
		if s.id, bad = decodeWholeID(c.key[len(namePrefix):]); bad == nil {
			s.name, bad = decodeName(c.value)
		}
		if bad == nil {
			out = append(out, s)
		}
		return bad == nil && len(out) < f.v.limit
	})
	switch {
	case bad != nil:
		return nil, 0, bad
	case err == errStopped: // returned bare
		return out, out[len(out)-1].id, nil
	}
	return out, upTo, err
}

// changedIDs returns the next ids above last under which something has changed, and the id up
// to which these are all.
func (f *differ) changedIDs(last scope.ID) (ids []scope.ID, upTo scope.ID, err error) {
	if f.from == 0 {
		return nil, scope.MaxID, nil // all will be yielded whole
	}
	end := scope.AppendUpperBound(nil, scope.MaxID)
	gone := delta{key: []byte{}}
	for more := true; len(ids) < f.v.limit && last < scope.MaxID; {
		lower := scope.AppendUpperBound(nil, last)
		if err := f.seek(lower); err != nil {
			return nil, 0, err
		}
		next := scope.ID(0)
		note := func(key []byte) {
			if id, _, err := scope.DecodeID(key); err == nil && (next == 0 || id < next) { // else it is no scope's
				next = id
			}
		}
		s, err := f.nextEntry(end)
		if err != nil {
			return nil, 0, err
		}
		if s != nil {
			note(s.key)
		}
		if more && bytes.Compare(gone.key, lower) < 0 {
			if more, err = f.nextRange(&gone, lower, end); err != nil {
				return nil, 0, err
			}
		}
		if more {
			note(gone.key)
		}
		if next == 0 {
			return ids, scope.MaxID, nil
		}
		ids, last = append(ids, next), next
	}
	return ids, last, nil
}
