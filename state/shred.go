package state

import (
	"context"
	"iter"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

// Keys of scopes: what of a scope is sealed, and the end of it. What is sealed one by one is of class
// Sensitive; Seal has everything sealed that is stored in a scope.

// Seal makes the scope as one in which every value that is stored is sealed with its key, of whatever
// class, those of collections too: Shred makes all of it unreadable. A scope that is sealed stays so, under
// another name too, and its copies are. For one that is sealed already Seal does nothing.
//
// The rest is as with class Sensitive: events have no values, collections have no indexes (ErrSensitive),
// and nothing is changed without a read (ErrUnsupported). Keys are not sealed, nor classes; values of class
// Ephemeral are stored nowhere. Of the options those on syncing count.
//
// A view's principal must be an admin of the whole scope. Errors: ErrScopeExists if there is such a scope,
// and it is not sealed, which is not changed; ErrShredded if its key was destroyed; ErrNotEncrypted.
func (s *Scope) Seal(ctx context.Context, opts ...Option) error {
	s, err := s.pass(ctx, access.OpSettings, "")
	if err == nil {
		err = s.wholeToWrite(ctx)
	}
	if err == nil && hook.Simulated(ctx) {
		err = hook.ErrSimulated
	}
	if err == nil {
		_, err = s.space.change(ctx, wholeSeal, scope.Scope{}, s.unsyncedWhole(opts))
	}
	if err != nil {
		return s.fail("seal", "", err)
	}
	return nil
}

// Sealed reports whether the scope is one that Seal has made, now or in its snapshot. With ErrShredded it is one, and its key
// was destroyed.
func (s *Scope) Sealed(ctx context.Context) (bool, error) {
	s, err := s.pass(ctx, access.OpStats, "")
	if err == nil {
		err = s.whole(ctx)
	}
	sealed := false
	if err == nil {
		e := s.store.engine
		if s.mode == atSnapshot {
			e = s.snap.engine
		}
		sealed, err = s.sealedIn(e)
	}
	if err != nil {
		return sealed, s.fail("sealed", "", err)
	}
	return sealed, nil
}

// sealedIn reports whether every value of the scope is sealed in the store, now or as of a snapshot.
func (s *Scope) sealedIn(e *engine) (bool, error) {
	if !s.store.encrypted {
		return false, nil
	}
	sp, err := e.space(s.name)
	if err != nil {
		return false, err
	}
	st, err := sp.stats(false)
	return st.sealed, err
}

// Shred makes the values of class Sensitive in the scope, or in one that Seal has made all of them,
// unreadable for ever, by destroying their key: reading one is ErrShredded, now, in snapshots that are
// open, and in checkpoints. It costs the same whatever the scope holds. Keys stay, until they are deleted or
// the scope is dropped, and so does what is not sealed; nothing more can be sealed in the scope. What
// is copied out of it before has a key of its own: a copy is to be shredded by itself.
//
// The report says which checkpoints have lost the key and which could not be reached; called again, Shred
// tries those again. Copies of the store's vault that nobody has told it of are not in the report. If
// nothing was sealed in the scope the report has no record.
//
// A view's principal must be an admin of the whole scope; it is recorded in the audit. Hooks do not run: no
// key and no version changes, and a right to be forgotten is not for a hook to refuse. Shreds lists what
// was shredded.
//
// Errors: ErrNotFound for a scope that is not there, ErrNotEncrypted, ErrReadOnly. With another error
// the values may be unreadable already, and the key may not be destroyed: call it again.
func (s *Scope) Shred(ctx context.Context) (*ShredReport, error) {
	s, err := s.pass(ctx, access.OpSettings, "")
	if err == nil {
		err = s.wholeToWrite(ctx)
	}
	if err == nil && hook.Simulated(ctx) {
		err = hook.ErrSimulated
	}
	if err == nil {
		err = s.seen(ctx, access.OpSettings, "", 1)
	}
	var report *ShredReport
	if err == nil {
		report, err = s.space.shred(ctx)
	}
	if err != nil {
		return nil, s.fail("shred", "", err)
	}
	return report, nil
}

// Shreds yields the records of all Shreds, in no order, those of scopes that are gone too. In a store with
// access control it is for an admin of everything: View.Shreds. An error is yielded once, with a zero
// ShredRecord, and ends the loop.
func (s *Store) Shreds(ctx context.Context) iter.Seq2[ShredRecord, error] {
	if s.control != nil {
		return (&View{store: s}).Shreds(ctx) // who is nobody
	}
	return s.shreds(ctx)
}

func (s *Store) shreds(ctx context.Context) iter.Seq2[ShredRecord, error] {
	return func(yield func(ShredRecord, error) bool) {
		for r, err := range operationsOf(s.engine).Shreds() {
			if err = translate(err); err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(ShredRecord{}, &Error{Op: "list shreds", Err: err})
				return
			}
			if !reservedScope(r.Scope) && !yield(r, nil) {
				return
			}
		}
	}
}

// Shreds yields the records of all Shreds, as Store.Shreds does, for an admin of everything.
func (v *View) Shreds(ctx context.Context) iter.Seq2[ShredRecord, error] {
	return func(yield func(ShredRecord, error) bool) {
		if err := v.administer(ctx); err != nil {
			yield(ShredRecord{}, &Error{Op: "list shreds", Err: err})
			return
		}
		v.store.shreds(ctx)(yield)
	}
}
