package state

import (
	"context"
	"sync"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
)

// Before-hooks, which let a change pass, change its value, or forbid it. What hooks are told of
// changes that were made is in notice.go.
//
//   - N1. Before-hooks run once for each attempt, between the choice of the class and the
//     encoding; nothing is locked meanwhile, so that they may read and write the store.
//   - N2. What they let pass is what is stored, and what the caller is told.
//   - N3. Who forbids one write of several forbids all, also where a transaction's function
//     has passed over the error.
//   - N4. After-hooks are told once for each commit, when nothing is locked any more.
//   - N5. An event is recorded in the commit that it tells of, but for operations on whole
//     scopes, of which it is recorded in the next one: no event without its change.
//   - N6. Values are read for events only where somebody asks, and are then what the commit has
//     found and left.

// Hooks returns what runs the store's hooks: to Register and Unregister them, for Metrics, and to
// Drain the queue. Whoever makes changes of another kind, as agents and backups are, runs their
// hooks with its Before and After. It is closed with the store.
//
// Before-hooks run before values of class Standard, Sensitive and External are written or deleted, documents
// of collections too, and before a scope is dropped, moved, copied, exported or imported to. After-hooks are
// told of these, of class Trusted, and of values that have expired. Of class Ephemeral nobody is told, but of
// the stored value whose place one takes. Those at the point BeforeExpire
// never run: nothing keeps a value beyond its time.
//
//	err := store.Hooks().Register(hook.Hook{
//		Name: "no empty names", Points: []hook.Point{hook.BeforeSet}, Scopes: "user:*", Keys: "name",
//		Before: func(ctx context.Context, c *hook.Change) error {
//			if v, err := c.Value(); err != nil || v != "" {
//				return err
//			}
//			return hook.Veto("a name cannot be empty")
//		},
//	})
func (s *Store) Hooks() *hook.Dispatcher { return s.hooks }

// hookOptions returns the options with the machine's clock where they have none.
func hookOptions(o hook.Options) hook.Options {
	if o.Now == nil {
		o.Now, o.Since = time.Now, time.Since
	}
	return o
}

// openHooks makes what runs hooks. Where they and the engine go by the machine's clock one look at it is enough
// for both, which is a tenth of what a pair of hooks adds to a Set.
func (s *Store) openHooks(o hook.Options) (err error) {
	if o.Now == nil {
		s.hookEpoch = s.machineInstant(clockOrigin(s.engine))
	}
	s.hooks, err = hook.New(hookOptions(o))
	return err
}

// machineInstant returns t if it was read a moment ago, monotonic part and all, and else the zero Time: harnesses
// have clocks of their own.
func (s *Store) machineInstant(t time.Time) time.Time {
	if t == t.Round(0) || s.clock.since(t).Abs() > time.Minute {
		return time.Time{}
	}
	return t
}

// asked reports whether before-hooks run for values of a class.
func asked(c Class) bool { return c != Trusted && c != Ephemeral }

// ask has the before-hooks look at the value of p, and puts in its place what they want instead.
func (s *Scope) ask(ctx context.Context, p *pending) error {
	if p.header.Class == Ephemeral { // of which no hook is told either
		return nil
	}
	h := s.store.hooks
	p.interest = h.Interest(hook.OpSet, s.name, scope.Scope{}, p.key)
	if !p.interest.Before || !asked(p.header.Class) {
		return nil
	}
	c := hook.Change{Op: hook.OpSet, Scope: s.name, Key: p.key, Collection: p.collection}
	if p.since > 0 && !s.store.hookEpoch.IsZero() {
		c.Time = s.store.hookEpoch.Add(p.since)
	}
	var src *source
	switch v := p.value.(type) {
	case nil, bool, int64, uint64, float64, string: // is what is read back
		c.Give(v)
	default:
		src = s.store.sources.Get().(*source)
		src.value, src.limits = v, &s.store.limits
		c.Source = src
	}
	err := h.Before(s.acting(ctx), &c)
	switch {
	case src == nil:
	case c.Lingers():
		src.end()
	default: // nobody has it any more
		src.value = nil
		s.store.sources.Put(src)
	}
	if err != nil {
		return s.refuse("set", p.key, err)
	}
	if v, replaced := c.Replaced(); replaced {
		if p.value = v; p.accept != nil {
			return p.accept(v)
		}
	}
	return nil
}

// askToDelete has the before-hooks look at the delete of a key, or of a document of a collection, whose value is
// of a class.
func (s *Scope) askToDelete(ctx context.Context, collection, key string, class Class) error {
	if !asked(class) {
		return nil
	}
	c := hook.Change{Op: hook.OpDelete, Scope: s.name, Key: key, Collection: collection}
	if err := s.store.hooks.Before(s.acting(ctx), &c); err != nil {
		return s.refuse("delete", key, err)
	}
	return nil
}

// askWhole has the before-hooks look at an operation on the whole scope.
func (s *Scope) askWhole(ctx context.Context, op hook.Op, to scope.Scope) error {
	if hook.Simulated(ctx) {
		return hook.ErrSimulated
	}
	c := hook.Change{Op: op, Scope: s.name, To: to}
	return ended(s.store.hooks.Before(s.acting(ctx), &c))
}

// refuse returns the error of a hook, which ends the transaction if there is one (N3).
func (s *Scope) refuse(op, key string, err error) error {
	if err = ended(err); s.tx != nil && s.tx.refused == nil && !(mutant.Enabled && mutant.Is(mutant.SwallowRefusal)) {
		s.tx.refused = s.fail(op, key, err)
	}
	return err
}

// ended returns the error of a dispatcher as one of this package.
func ended(err error) error {
	if err == hook.ErrClosed { // returned bare
		return ErrClosed
	}
	return err
}

// source makes the value that hooks see of one that is not yet what would be read back: a struct, or
// a map that the caller may change when the call has returned.
type source struct {
	mu     sync.Mutex
	value  any
	limits *codec.Limits
	over   bool // the call has returned without its hook
}

// Value returns a copy of the value, unless the call is over, which a hook that was late may find.
func (v *source) Value() (any, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return nil, hook.ErrTimeout
	}
	p, err := codec.Append(nil, v.value, v.limits)
	if err != nil {
		return nil, err
	}
	return codec.Decode(p, &stored)
}

func (v *source) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.value, v.over = nil, true
}
