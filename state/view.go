package state

import (
	"context"
	"fmt"
	"iter"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

// View is a store as one principal may see and change it: each operation on a handle that it gives,
// on one of its snapshots and in its transactions, is asked for before anything is looked at. What
// is not allowed is an *access.AccessError within the *Error, which does not tell whether there is
// such a key, and is recorded. A view costs nothing and need not be closed. Its methods may be called
// from any number of goroutines.
//
// What lists shows the keys that may be seen, and is denied if there can be none; what acts on a
// whole scope is denied if a rule denies any key of it. What Store.Engine does is for no principal.
type View struct {
	store *Store
	who   access.Principal
}

// As returns the view of a principal. Who stands before the program is the program's to find out. In
// a store without access control every operation of a view is ErrUnsupported.
func (s *Store) As(who access.Principal) *View { return &View{s, who} }

var errNoControl = fmt.Errorf("%w: the store has no access control: Options.Access", ErrUnsupported)

// Principal returns whose view it is.
func (v *View) Principal() access.Principal { return v.who }

// Scope returns a handle to a scope, as Store.Scope does, on which every operation is asked for.
func (v *View) Scope(name scope.Scope) *Scope {
	sc := v.store.scopeIn(v.store.engine, name)
	if v.store.control == nil {
		sc.err = errNoControl
	}
	return v.store.guarded(v.who, sc)
}

// Snapshot returns the store as of now, as Store.Snapshot does. What is asked for is answered by the
// rules of the moment of asking, not by those of the snapshot.
func (v *View) Snapshot() (*Snapshot, error) {
	if v.store.control == nil {
		return nil, &Error{Op: "snapshot", Err: errNoControl}
	}
	snap, err := v.store.Snapshot()
	if err == nil {
		snap.who = v.who
	}
	return snap, err
}

// Transact runs a transaction as Store.Transact does. What is denied in it is an error of the one
// operation: fn may go on.
func (v *View) Transact(ctx context.Context, fn func(tx *Txn) error) error {
	if v.store.control == nil {
		return &Error{Op: "transact", Err: errNoControl}
	}
	return v.store.transact(ctx, v.who, fn)
}

// ListScopes yields those scopes, of those that Store.ListScopes yields, of which some key may be
// listed.
func (v *View) ListScopes(kind scope.Kind, prefix string) iter.Seq2[scope.Scope, error] {
	if v.store.control == nil {
		return func(yield func(scope.Scope, error) bool) {
			yield(scope.Scope{}, &Error{Op: "list scopes", Err: errNoControl})
		}
	}
	return v.store.visible(v.who, listScopes(v.store.engine, kind, prefix))
}

// visible leaves out the scopes of which a principal may not list any key.
func (s *Store) visible(who access.Principal, names iter.Seq2[scope.Scope, error]) iter.Seq2[scope.Scope, error] {
	if s.control == nil {
		return names
	}
	return func(yield func(scope.Scope, error) bool) {
		if s.control.closed.Load() {
			yield(scope.Scope{}, &Error{Op: "list scopes", Err: ErrClosed})
			return
		}
		if who == "" {
			r := access.Request{Op: access.OpList}
			yield(scope.Scope{}, &Error{Op: "list scopes", Err: s.control.deny(context.Background(), r, access.Decision{})})
			return
		}
		for name, err := range names {
			if err == nil {
				r := access.Request{Principal: who, Op: access.OpList, Scope: name}
				if _, denied := s.control.keeper.Policy().Filter(r); denied != nil {
					continue
				}
			}
			if !yield(name, err) {
				return
			}
		}
	}
}

// Rules returns the rules with their version, for an admin of everything.
func (v *View) Rules(ctx context.Context) (*access.Rules, error) {
	if err := v.administer(ctx); err != nil {
		return nil, &Error{Op: "read rules", Err: err}
	}
	return v.store.control.keeper.Policy().Rules(), nil
}

// ChangeRules lets edit change the rules of a version, for an admin of everything, and returns the new
// version. The change is stored, and recorded, before it holds, and holds as a whole. Errors besides
// edit's: access.ErrConflict if the rules have another version, access.ErrNoAdmin if nobody would be left
// who may change them.
func (v *View) ChangeRules(ctx context.Context, base access.Version, edit func(*access.Rules) error) (access.Version, error) {
	err := v.administer(ctx)
	if err == nil {
		err = v.record(ctx)
	}
	var version access.Version
	if err == nil {
		version, err = v.store.control.keeper.Change(ctx, v.who, base, edit)
	}
	if err != nil {
		return 0, &Error{Op: "change rules", Err: err}
	}
	return version, nil
}

// Explain answers a request of anybody's and says which rule has decided, for an admin of
// everything. Nothing of it is recorded but a denial of Explain itself.
func (v *View) Explain(ctx context.Context, r access.Request) (*access.Explanation, error) {
	if err := v.administer(ctx); err != nil {
		return nil, &Error{Op: "explain", Scope: r.Scope, Key: r.Key, Err: err}
	}
	return v.store.control.keeper.Policy().Explain(r), nil
}

// Audit yields the records that are meant, oldest first, for an admin of everything: every denial, every
// change of the rules, and whatever had to do with a value of class Sensitive, as docs/access.md lists it. It reads all that are kept. An
// error is yielded once, and ends the loop.
func (v *View) Audit(ctx context.Context, q audit.Query) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		err := v.administer(ctx)
		if err == nil {
			err = v.store.control.log.Flush(ctx)
		}
		if err != nil {
			yield(audit.Record{}, &Error{Op: "audit", Err: err})
			return
		}
		for r, err := range v.store.control.log.Query(ctx, q) {
			if err != nil {
				err = &Error{Op: "audit", Err: err}
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// VerifyAudit reads all records and returns an error that matches audit.ErrBroken if they are not as
// they were written, for an admin of everything. known are heads that were kept elsewhere.
func (v *View) VerifyAudit(ctx context.Context, known ...audit.Head) (audit.Report, error) {
	err := v.administer(ctx)
	if err == nil {
		err = v.store.control.log.Flush(ctx)
	}
	var report audit.Report
	if err == nil {
		report, err = v.store.control.log.Verify(ctx, known...)
	}
	if err != nil {
		return report, &Error{Op: "verify audit", Err: err}
	}
	return report, nil
}

// RetainAudit removes the oldest records, as many as may go, and returns how many, for an admin of
// everything. It is recorded. What is left can be verified still.
func (v *View) RetainAudit(ctx context.Context, r audit.Retention) (int, error) {
	err := v.administer(ctx)
	if err == nil {
		err = v.record(ctx)
	}
	var removed int
	if err == nil {
		removed, err = v.store.control.log.Retain(ctx, r)
	}
	if err != nil {
		return removed, &Error{Op: "retain audit", Err: err}
	}
	return removed, nil
}

// administer returns nil if the principal may change the rules and read the audit.
func (v *View) administer(ctx context.Context) error {
	if v.store.control == nil {
		return errNoControl
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return v.store.control.check(ctx, access.Request{Principal: v.who, Op: access.OpRules})
}

// record writes down that an admin is about to change the rules or the audit.
func (v *View) record(ctx context.Context) error {
	if hook.Simulated(ctx) {
		return hook.ErrSimulated
	}
	c := v.store.control
	r := access.Request{Principal: v.who, Op: access.OpRules}
	if err := c.record(ctx, audit.Of(r, c.keeper.Policy().Decide(r))); err != nil && c.required {
		return fmt.Errorf("it could not be recorded: %w", err)
	}
	return nil
}
