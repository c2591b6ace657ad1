package lsm

import (
	"fmt"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// Scopes that are sealed as a whole. That a scope is one stands beside its key, in the record of its
// id, and is settled by the batch that makes the scope: whoever knows the id knows it for good, and
// what plans a commit (scope_batch.go) seals whatever comes, by whichever verb.

// Seal makes the scope, of an encrypted store, as one in which every value is sealed, whoever writes
// it: Set and SetWithTTL, batches and transactions, of this handle and of others, now and after any
// reopening. Shred makes the whole scope unreadable. It keeps that when it is moved, and copies of it
// are sealed as it is, under keys of their own. One that was dropped is gone: who writes to its name
// makes a scope that is not sealed, unless Seal comes first.
//
// Keys of entries are not sealed, nor when they expire. Merge is ErrScopeSealed: operands cannot be
// sealed, since the engine would have to open them to fold them. Ingest writes to the root alone, which
// is not sealed.
//
// For a scope that is sealed Seal does nothing. Errors: ErrScopeExists if there is one that is not,
// which is not changed; ErrShredded if its key was destroyed; ErrNotEncrypted, those of Set, and those
// of writing the vault.
func (s *Scope) Seal(w *WriteOptions) error {
	d := s.db
	if err := s.writable(); err != nil {
		return err
	}
	if d.keyring == nil {
		return ErrNotEncrypted
	}
	if err := d.hold(); err != nil {
		return err
	}
	defer d.release()
	var id scope.ID
	var key crypto.ScopeKeyID
	for {
		if err := s.writable(); err != nil {
			return err
		}
		r, at, err := s.look()
		if err != nil {
			return err
		}
		if r != nil {
			if key != (crypto.ScopeKeyID{}) {
				d.vault.giveBack(key)
			}
			sealed, err := s.Sealed()
			if err == nil && !sealed {
				err = fmt.Errorf("%w: %s", ErrScopeExists, s.name)
			}
			return err
		}
		if id == 0 {
			if id, err = d.newScopeID(); err != nil {
				return err
			}
			if key, err = d.vault.fresh(); err != nil {
				return err
			}
		}
		var b dirBatch
		b.makeEntry(s.entry, id, at)
		b.add(keys.KindSet, idKey(recordScopeKey, id), scopeKeyValue(scopeSeal{key: key, whole: true}))
		if _, err = d.commitDirectory(&b, w); err != errRedirected { // returned bare
			return err
		}
	}
}

// RequireUnsealed makes Apply fail with ErrScopeSealed, and write nothing, if the scope in which the batch acts, which In
// has named, is one that Seal has made by the time of the commit. It is for who has kept in clear elsewhere what
// he writes. Of the root it asks nothing.
func (b *Batch) RequireUnsealed() {
	if b.at != 0 {
		b.scopes[b.at-1].plain = true
	}
}

// Sealed reports whether the scope is one that Seal has made: false if it is not there. With
// ErrShredded it is one, and its key was destroyed: no value in it can be read, and none be written.
func (s *Scope) Sealed() (bool, error) {
	d := s.db
	id := scope.ID(0)
	switch {
	case s.snap == nil:
		var err error
		if id, err = d.lookUp(s.entry, keys.MaxSeqNum); err != nil {
			return false, err
		}
	case s.snap.closed.Load():
		return false, ErrClosed
	case s.fixed != nil:
		id = s.fixed.id
	}
	if id == 0 || d.keyring == nil {
		return false, nil
	}
	of, _, err := d.vault.recorded(id)
	if err == nil && of.whole && d.vault.isRefused(of.key) {
		err = ErrShredded
	}
	return of.whole, err
}
