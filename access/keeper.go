package access

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Store keeps the newest rules. Many goroutines, and several keepers, may use it at once.
type Store interface {
	// Load returns the newest rules with their version, 0 if there are none.
	Load(ctx context.Context) (version Version, rules []byte, err error)
	// Save replaces the rules of version base, 0 if there are none yet, by those of the version
	// after it: durably and as a whole. It returns false, and changes nothing, if the
	// newest version is another one.
	Save(ctx context.Context, base Version, rules []byte) (ok bool, err error)
}

// Keeper holds the newest Policy of a store. All methods may be called by many goroutines;
// Policy takes no lock.
type Keeper struct {
	store  Store
	now    func() time.Time
	policy atomic.Pointer[Policy]

	changing sync.Mutex // one change or reload at a time
}

// Create keeps the first rules in an empty store: admin may do everything. now tells the
// time; time.Now but for tests. Errors match ErrExists or ErrInvalid, or are the store's.
func Create(ctx context.Context, s Store, admin Principal, now func() time.Time) (*Keeper, error) {
	rules := &Rules{version: 1}
	if _, err := rules.Grant(Rule{Subject: Subject{Principal: admin}, Verbs: AllVerbs, Scopes: "**", Keys: "*"}); err != nil {
		return nil, err
	}
	p, err := NewPolicy(rules, now)
	if err != nil {
		return nil, err
	}
	switch ok, err := s.Save(ctx, 0, Encode(nil, rules)); {
	case err != nil:
		return nil, fmt.Errorf("access: create: %w", err)
	case !ok:
		return nil, ErrExists
	}
	k := &Keeper{store: s, now: now}
	k.policy.Store(p)
	return k, nil
}

// Open returns a Keeper of the rules of a store. Errors match ErrNoRules, ErrMalformed,
// ErrTooNew or ErrInvalid, or are the store's.
func Open(ctx context.Context, s Store, now func() time.Time) (*Keeper, error) {
	k := &Keeper{store: s, now: now}
	if err := k.Reload(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload takes over what the store has now, after it was restored or changed by another
// keeper. Errors are as of Open; then the rules are as before.
func (k *Keeper) Reload(ctx context.Context) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	return k.reloadLocked(ctx)
}

func (k *Keeper) reloadLocked(ctx context.Context) error {
	version, encoded, err := k.store.Load(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("access: load: %w", err)
	case version == 0:
		return ErrNoRules
	}
	rules, err := Decode(encoded)
	if err != nil {
		return err
	}
	if rules.version != version {
		return fmt.Errorf("%w: rules of version %d are stored as %d", ErrMalformed, rules.version, version)
	}
	p, err := NewPolicy(rules, k.now)
	if err != nil {
		return err
	}
	k.policy.Store(p)
	return nil
}

// Policy returns the newest one.
func (k *Keeper) Policy() *Policy { return k.policy.Load() }

// Fresh reports whether a filter made now would be the same: the rules have not changed
// since, and none of those that it looks at has expired.
func (k *Keeper) Fresh(f *Filter) bool {
	return f.policy == k.Policy() && (f.until == 0 || k.now().UnixNano() < f.until)
}

// Change lets edit change a copy of the rules of version base, and makes it the newest. Its
// result is the new version. Whoever asks must be allowed OpRules; the error is
// *AccessError otherwise. It matches ErrConflict if the rules are of another version,
// ErrNoAdmin if nobody would be left who can change them for good; others are
// those of edit or of the store. With an error nothing has changed, unless the store's own
// says otherwise: then Reload tells. edit must not keep the rules.
func (k *Keeper) Change(ctx context.Context, by Principal, base Version, edit func(*Rules) error) (Version, error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	old := k.Policy()
	if err := old.Check(Request{Principal: by, Op: OpRules}); err != nil {
		return 0, err
	}
	if old.Version() != base {
		return 0, fmt.Errorf("%w: version %d, not %d", ErrConflict, old.Version(), base)
	}
	rules := old.Rules()
	if err := edit(rules); err != nil {
		return 0, err
	}
	rules.version = base + 1
	p, err := NewPolicy(rules, k.now)
	if err != nil {
		return 0, err
	}
	if !p.lastingAdmin() {
		return 0, ErrNoAdmin
	}
	switch ok, err := k.store.Save(ctx, base, Encode(nil, rules)); {
	case err != nil:
		return 0, fmt.Errorf("access: change: %w", err)
	case !ok:
		if err := k.reloadLocked(ctx); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("%w: version %d, not %d", ErrConflict, k.Policy().Version(), base)
	}
	k.policy.Store(p)
	return rules.version, nil
}
