package hook

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/loamdb/loam/internal/glob"
	"github.com/loamdb/loam/scope"
)

// Priorities in use. Hooks run from the least number to the greatest, those of one number
// in the order of their registration. Any number between Highest and Lowest is one.
const (
	Highest = -1000
	High    = -100
	Normal  = 0
	Low     = 100
	Lowest  = 1000
)

// Limits of a hook's timeout, and the timeout of one that names none.
const (
	MinTimeout     = time.Millisecond
	MaxTimeout     = time.Hour
	DefaultTimeout = 5 * time.Second
)

// Hook is a function, or two, that run at some points for some scopes and keys.
type Hook struct {
	// Name is the hook's own: 1 to 128 bytes of UTF-8 without control characters.
	Name string
	// Points are where it runs, at least one.
	Points []Point
	// Scopes is a pattern as scope.ParsePattern reads it; empty is every scope. A copy or
	// move is meant by either of its scopes, an operation on the whole store by all patterns.
	Scopes string
	// Keys is a pattern in which * stands for any run of characters and \* for a star;
	// empty is every key. Operations on whole scopes are meant whatever it says.
	Keys string
	// Priority is Highest to Lowest.
	Priority int
	// Timeout is how long one call may take until its context ends and the call has failed,
	// MinTimeout to MaxTimeout; 0 is DefaultTimeout.
	Timeout time.Duration
	// Advisory lets changes pass when this before-hook fails or its breaker is open. Its
	// veto holds all the same.
	Advisory bool
	// Inline runs an after-hook before the change returns, not on the queue.
	Inline bool
	// Isolated runs a before-hook or an inline after-hook on a goroutine of its own, so that
	// its caller goes on when its time is up, for the price of two switches of goroutines.
	// Without it the hook runs on its caller's goroutine, which waits until the hook
	// returns; a hook that was late once is isolated from then on.
	Isolated bool
	// Values asks for old and new values in the events of an after-hook.
	Values bool
	// Breaker says when the hook is not called for a while.
	Breaker Breaker
	// Before runs at the points before operations. It returns nil to let the change pass,
	// with what it gave to Change.Replace; Veto(reason) to forbid it; any other error has
	// failed. Many goroutines may call it at once.
	Before func(ctx context.Context, c *Change) error
	// After runs at the points after operations. An error is counted; the change stands.
	// Many goroutines may call it at once, for events of different keys.
	After func(ctx context.Context, ev Event) error
}

// registration is a registered hook with what belongs to it.
type registration struct {
	// The pattern matches all, and need not be asked; all says so of both.
	all, allScopes, allKeys bool
	removed                 atomic.Bool
	// isolated is Isolated, or that a call was late.
	isolated atomic.Bool
	Hook
	scopes  scope.Pattern
	keys    glob.Glob
	order   uint64
	breaker breaker
	own     *call // of this hook alone, constant; nil if it is isolated

	_ [64]byte // a cache line: who looks for hooks reads what stands above, calls write what follows

	stuck  atomic.Int32 // calls that have timed out and not returned
	counts counts
}

// maxStuck is how many calls of one hook may hang before it is not called any more.
const maxStuck = 16

// matches reports whether the hook is meant by an operation.
func (r *registration) matches(s, to scope.Scope, key string) bool {
	return r.all || r.patternsMatch(s, to, key)
}

func (r *registration) patternsMatch(s, to scope.Scope, key string) bool {
	if !r.allScopes && s.Kind() != scope.AnyKind && !r.scopes.Match(s) && (to.Kind() == scope.AnyKind || !r.scopes.Match(to)) {
		return false
	}
	return r.allKeys || key == "" || r.keys.Match(key)
}

// table is what is registered at one time. It is never changed.
type table struct {
	byName map[string]*registration
	// around holds the hooks of each operation, for each kind of scope those that can
	// mean a scope of this kind, for AnyKind all.
	around [lastOp + 1][scope.KindCustom + 1]around
}

// around are the hooks of one operation, in order. They stand together since a change asks for both.
type around struct{ before, after []*registration }

// at returns those of a point.
func (a *around) at(p Point) *[]*registration {
	if p.IsBefore() {
		return &a.before
	}
	return &a.after
}

func makeTable(byName map[string]*registration) *table {
	t := &table{byName: byName}
	regs := make([]*registration, 0, len(byName))
	for _, r := range byName {
		regs = append(regs, r)
	}
	slices.SortFunc(regs, func(a, b *registration) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.order, b.order))
	})
	for _, r := range regs {
		for _, p := range r.Points {
			kinds := &t.around[p.Op()]
			for kind := range kinds {
				only := r.scopes.Kind()
				if kind == int(scope.AnyKind) || only == scope.AnyKind || int(only) == kind {
					list := kinds[kind].at(p)
					*list = append(*list, r)
				}
			}
		}
	}
	return t
}

// of returns the hooks that may be meant by an operation in a scope of a kind, to one of a kind. It is not given
// the scopes: to copy them takes longer than all that it does.
func (t *table) of(op Op, kind, to scope.Kind) *around {
	if to != scope.AnyKind {
		kind = scope.AnyKind
	}
	return &t.around[op][kind]
}

// Register makes a hook run from now on. Errors match ErrInvalid, ErrExists or ErrClosed.
func (d *Dispatcher) Register(h Hook) error {
	r, err := newRegistration(h)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.table.Load()
	switch {
	case d.closed.Load():
		return ErrClosed
	case old.byName[h.Name] != nil:
		return fmt.Errorf("%w: %q", ErrExists, h.Name)
	}
	d.order++
	r.order = d.order
	byName := make(map[string]*registration, len(old.byName)+1)
	for name, other := range old.byName {
		byName[name] = other
	}
	byName[h.Name] = r
	d.watch.limit(r.Timeout)
	d.ownCall(r)
	if r.After != nil && !r.Inline {
		d.startWorkersLocked()
	}
	d.table.Store(makeTable(byName))
	return nil
}

// Unregister takes a hook out: no change that begins afterwards meets it, and calls that are
// under way end as they do. Events that wait in the queue are not its own any more, nor
// counted as dropped. The error matches ErrUnknown.
func (d *Dispatcher) Unregister(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.table.Load()
	r := old.byName[name]
	if r == nil {
		return fmt.Errorf("%w: %.40q", ErrUnknown, name)
	}
	byName := make(map[string]*registration, len(old.byName))
	for other, reg := range old.byName {
		if other != name {
			byName[other] = reg
		}
	}
	d.table.Store(makeTable(byName))
	r.removed.Store(true)
	d.retire(r)
	return nil
}

func newRegistration(h Hook) (*registration, error) {
	if err := h.validate(); err != nil {
		return nil, err
	}
	h.Points = slices.Clone(h.Points)
	slices.Sort(h.Points)
	h.Points = slices.Compact(h.Points)
	h.Scopes = cmp.Or(h.Scopes, "**")
	h.Keys = cmp.Or(h.Keys, "*")
	h.Timeout = cmp.Or(h.Timeout, DefaultTimeout)
	r := &registration{Hook: h}
	var err error
	if r.scopes, err = scope.ParsePattern(h.Scopes); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if r.keys, err = glob.Parse(h.Keys); err != nil {
		return nil, fmt.Errorf("%w: keys: %w", ErrInvalid, err)
	}
	r.allScopes, r.allKeys = h.Scopes == "**", r.keys.Any()
	r.all = r.allScopes && r.allKeys
	r.isolated.Store(h.Isolated)
	r.breaker.config, err = h.Breaker.withDefaults()
	return r, err
}

// validate reports the first rule that the hook breaks, patterns and breaker apart.
func (h *Hook) validate() error {
	before, after := false, false
	for _, p := range h.Points {
		if !p.Valid() {
			return fmt.Errorf("%w: no such point: %d", ErrInvalid, uint8(p))
		}
		before, after = before || p.IsBefore(), after || !p.IsBefore()
	}
	problem := ""
	switch {
	case h.Name == "" || len(h.Name) > math.MaxInt8+1:
		problem = "the name is empty or longer than 128 bytes"
	case !utf8.ValidString(h.Name) || strings.ContainsFunc(h.Name, unicode.IsControl):
		problem = "the name is not UTF-8 without control characters"
	case len(h.Points) == 0:
		problem = "no points"
	case before != (h.Before != nil):
		problem = "points before operations and a function Before belong together"
	case after != (h.After != nil):
		problem = "points after operations and a function After belong together"
	case h.Advisory && !before:
		problem = "only a before-hook can be advisory"
	case h.Inline && !after:
		problem = "only an after-hook can be inline"
	case h.Isolated && !before && !h.Inline:
		problem = "a hook on the queue is isolated already"
	case h.Values && !after:
		problem = "only an after-hook can ask for values"
	case h.Priority < Highest || h.Priority > Lowest:
		problem = "the priority is not between Highest and Lowest"
	case h.Timeout != 0 && (h.Timeout < MinTimeout || h.Timeout > MaxTimeout):
		problem = "the timeout is not between MinTimeout and MaxTimeout"
	default:
		return nil
	}
	return fmt.Errorf("%w: hook %.40q: %s", ErrInvalid, h.Name, problem)
}
