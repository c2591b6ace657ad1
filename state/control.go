package state

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// AccessOptions turn access control on, for good: rules that a store holds count whether Options
// have these or not. From then on a principal's View is the way to what the store holds.
type AccessOptions struct {
	// Admin is allowed everything in a store that has no rules yet, and is not looked at in another.
	Admin access.Principal
	// AuditRequired makes an operation fail if what is to be recorded of it cannot be: reads then
	// wait for their records, and loops record each value before they yield it, instead of all at the end.
	AuditRequired bool
	// AuditKey makes the chain of records one that only who has the key can make. It is the same
	// each time the store is opened, and is not in the store.
	AuditKey []byte
}

func (o *AccessOptions) validate() error {
	_, err := new(access.Rules).Grant(access.Rule{Subject: access.Subject{Principal: o.Admin}, Verbs: access.AllVerbs, Scopes: "**", Keys: "*"})
	return err
}

// control decides for a store with access control, and records what it has decided.
type control struct {
	// Constant.
	keeper   *access.Keeper
	log      *audit.Log
	required bool

	closed atomic.Bool
	denied atomic.Int64
}

// openControl returns the control of the store, nil if it has none.
func (s *Store) openControl(o *AccessOptions) (*control, error) {
	ctx := context.Background()
	space, err := s.own(accessScope)
	if err != nil {
		return nil, err
	}
	rules := ruleStore{space}
	version, _, err := rules.Load(ctx)
	switch {
	case err != nil:
		return nil, err
	case version == 0 && o == nil:
		return nil, nil
	case o == nil:
		o = &AccessOptions{}
	}
	c := &control{required: o.AuditRequired}
	if version == 0 {
		c.keeper, err = access.Create(ctx, rules, o.Admin, s.time)
	} else {
		c.keeper, err = access.Open(ctx, rules, s.time)
	}
	if err != nil {
		return nil, err
	}
	if space, err = s.own(auditScope); err != nil {
		return nil, err
	}
	if c.log, err = audit.Open(ctx, auditStore{space}, audit.Options{Now: s.time, Key: o.AuditKey, Required: o.AuditRequired}); err != nil {
		return nil, err
	}
	return c, nil
}

// close writes what is still to be recorded.
func (c *control) close() {
	if c != nil && !c.closed.Swap(true) {
		_ = c.log.Close(context.Background()) // what cannot be written is counted as dropped
	}
}

// check returns nil if a request is allowed, and else records the denial and returns it.
func (c *control) check(ctx context.Context, r access.Request) error {
	if c.closed.Load() {
		return ErrClosed
	}
	d := c.keeper.Policy().Decide(r)
	if d.Allowed {
		return nil
	}
	return c.deny(ctx, r, d)
}

// filter returns which keys of a scan or a watch, of those with the request's key as prefix, may be
// shown. The error is that of check.
func (c *control) filter(ctx context.Context, r access.Request) (*access.Filter, error) {
	if c.closed.Load() {
		return nil, ErrClosed
	}
	f, err := c.keeper.Policy().Filter(r)
	if err != nil {
		return f, c.deny(ctx, r, f.Decision())
	}
	return f, nil
}

// deny records a denial and returns it as an error.
func (c *control) deny(ctx context.Context, r access.Request, d access.Decision) error {
	c.denied.Add(1)
	denied := &access.AccessError{Principal: r.Principal, Op: r.Op, Scope: r.Scope, Key: r.Key}
	if r.Op.Whole() {
		denied.Key = ""
	}
	var err error = denied
	if r.Principal == "" {
		err = fmt.Errorf("%w: the store has access control, which asks for a principal: Store.As", denied)
	}
	if failed := c.record(ctx, audit.Of(r, d)); failed != nil && c.required {
		err = fmt.Errorf("%w; it was not recorded: %w", err, failed)
	}
	return err
}

// record writes a record: of what only reads without waiting, unless that is required.
func (c *control) record(ctx context.Context, r audit.Record) error {
	r.Principal = r.Principal[:min(len(r.Principal), audit.MaxNameLen)]
	r.Key = r.Key[:min(len(r.Key), audit.MaxKeyLen)]
	if r.Correlation = hook.TraceOf(ctx).Correlation; len(r.Correlation) > audit.MaxNameLen {
		r.Correlation = r.Correlation[:audit.MaxNameLen]
	}
	ctx = context.WithoutCancel(ctx) // who gives up is recorded all the same
	if r.Op.Needs()&^(access.Read|access.List) == 0 {
		return c.log.Note(ctx, r)
	}
	return c.log.Write(ctx, r)
}

// guard stands before a handle: it is what makes a handle of a view ask before it acts.
type guard struct {
	control *control
	who     access.Principal // "": nobody, who is allowed nothing
	inner   *Scope           // the handle that acts
}

// errUnasked keeps an operation that does not ask its guard from acting: it is the error of a
// guarded handle, with which everything fails that has not been passed on to the one within.
var errUnasked = fmt.Errorf("%w: the operation is not open to views of principals", ErrUnsupported)

// guarded returns the handle that a principal has to the scope of sc: sc itself where there is no
// access control.
func (s *Store) guarded(who access.Principal, sc *Scope) *Scope {
	if s.control == nil {
		return sc
	}
	g := &guard{s.control, who, sc}
	sc.witness = g
	return &Scope{store: s, name: sc.name, err: errUnasked, mode: sc.mode, snap: sc.snap, tx: sc.tx, guard: g}
}

// acting returns the context with whose changes a principal is the actor, whoever the caller says that it
// is: that of s, if it is a view's.
func (s *Scope) acting(ctx context.Context) context.Context {
	if s.witness == nil {
		return ctx
	}
	return acting(ctx, s.witness.who)
}

func acting(ctx context.Context, who access.Principal) context.Context {
	if who == "" || mutant.Enabled && mutant.Is(mutant.TrustActor) {
		return ctx
	}
	as, err := hook.WithActor(ctx, string(who))
	if err != nil {
		return ctx // no name of a principal, who is allowed nothing
	}
	return as
}

func (g *guard) request(op access.Op, key string) access.Request {
	return access.Request{Principal: g.who, Op: op, Scope: g.inner.name, Key: key}
}

// pass returns the handle on which an operation acts: s, or the one behind its guard if the
// principal may do that to key, or to the whole scope. With an error it is s.
func (s *Scope) pass(ctx context.Context, op access.Op, key string) (*Scope, error) {
	if s.guard == nil {
		return s, nil
	}
	return s.passGuard(ctx, op, key)
}

func (s *Scope) passGuard(ctx context.Context, op access.Op, key string) (*Scope, error) {
	g := s.guard
	if mutant.Enabled && mutant.Is(mutant.PassUnasked) {
		return g.inner, nil
	}
	err := g.inner.err
	if err == nil && !op.Whole() {
		err = g.inner.usable(ctx, key)
	}
	if err == nil {
		err = g.control.check(ctx, g.request(op, key))
	}
	if err != nil {
		return s, err
	}
	return g.inner, nil
}

// passAll is pass for several keys: all of them or none. Of an error it says which key is meant.
func (s *Scope) passAll(ctx context.Context, name string, op access.Op, keys []string) (*Scope, error) {
	if s.guard == nil {
		return s, nil
	}
	for _, key := range keys {
		if _, err := s.pass(ctx, op, key); err != nil {
			return s, s.fail(name, key, err)
		}
	}
	return s.guard.inner, cmp.Or(s.guard.inner.err, ctx.Err())
}

// passTo is pass for an operation on the whole scope that writes another one.
func (s *Scope) passTo(ctx context.Context, from, into access.Op, to scope.Scope) (*Scope, error) {
	inner, err := s.pass(ctx, from, "")
	if err == nil && s.guard != nil {
		if err = checkScope(to); err == nil {
			err = s.guard.control.check(ctx, access.Request{Principal: s.guard.who, Op: into, Scope: to})
		}
	}
	if err != nil {
		return s, err
	}
	return inner, nil
}

// passSome is pass for an operation that shows several keys, those with a prefix: the filter says
// which, and is nil if all.
func (s *Scope) passSome(ctx context.Context, op access.Op, prefix string) (*Scope, *access.Filter, error) {
	g := s.guard
	if g == nil {
		return s, nil, nil
	}
	if err := cmp.Or(g.inner.err, ctx.Err()); err != nil {
		return s, nil, err
	}
	f, err := g.control.filter(ctx, g.request(op, prefix))
	if err != nil {
		return s, nil, err
	}
	return g.inner, f, nil
}

// seen records that a principal has to do with n values of class Sensitive, before it is shown any of
// them or does it. It does nothing for a handle that is no view's.
func (s *Scope) seen(ctx context.Context, op access.Op, key string, n uint64) error {
	g := s.witness
	if g == nil || n == 0 {
		return nil
	}
	r := g.request(op, key)
	record := audit.Of(r, g.control.keeper.Policy().Decide(r))
	record.Allowed, record.Sensitive = true, true
	if op == access.OpScan || op == access.OpList {
		record.Keys = n
	}
	if err := g.control.record(ctx, record); err != nil && g.control.required {
		return fmt.Errorf("it could not be recorded: %w", err)
	}
	return nil
}

// seenInLoop records that a loop is about to show what is sensitive, where that must be recorded, and counts it
// otherwise: it is recorded when the loop has ended.
func (s *Scope) seenInLoop(ctx context.Context, key string, count *uint64) error {
	if g := s.witness; g != nil && g.control.required {
		return s.seen(ctx, access.OpScan, key, 1)
	}
	*count++
	return nil
}
