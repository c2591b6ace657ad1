package engine

import (
	"context"
	"errors"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/document"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/envelope"
)

// loamState is this project's store of documents, github.com/loamdb/loam/state.
type loamState struct{}

func (loamState) Name() string { return "loam" }

func (loamState) encrypts() {}

func (loamState) Settings(c Config) string {
	return "package state, values of class Standard, but of sethot and classes, in MessagePack, a write synced or not by its option; settled without a flush; " +
		loamEngine{}.Settings(c)
}

func (loamState) LogFile(name string) bool { return loamEngine{}.LogFile(name) }

func (loamState) options(c Config) *state.Options {
	return &state.Options{Engine: loamEngine{}.options(c)}
}

func (e loamState) Open(dir string, c Config) (Store, error) {
	store, err := state.Open(dir, e.options(c))
	if err != nil {
		return nil, err
	}
	return &loamStateStore{store}, nil
}

func (e loamState) OpenMemory(c Config) (Store, error) {
	store, err := state.OpenMemory(e.options(c))
	if err != nil {
		return nil, err
	}
	return &loamStateStore{store}, nil
}

// OpenClasses opens a store in which class Standard is what it is for: a hook looks at each value, and
// personal data is looked for.
func (e loamState) OpenClasses(dir string, c Config) (Store, error) {
	o := e.options(c)
	o.Privacy = []state.Privacy{{Scopes: "**", Policy: privacy.Policy{Default: privacy.Detect}}}
	store, err := state.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &loamStateStore{store}, store.Hooks().Register(hookBefore("**"))
}

type loamStateStore struct{ *state.Store }

func (s *loamStateStore) NewSession() (Session, error) { return &loamDocuments{store: s.Store}, nil }

// Settle waits for flushes and compactions. What is in the memtable stays there: the state layer
// has no call for it.
func (s *loamStateStore) Settle(ctx context.Context) (time.Duration, error) {
	last := s.work()
	return waitQuiet(ctx, func() bool {
		now := s.work()
		busy := now != last || now.frozen > 0 || now.running > 0
		last = now
		return busy
	}, loamQuiet)
}

func (s *loamStateStore) work() loamWork {
	m := s.Metrics().Engine
	return loamWork{m.FrozenMemtables, m.RunningCompactions, m.Flushes, m.Compactions, m.TrivialMoves}
}

func (s *loamStateStore) Compact(context.Context) error { return ErrUnsupported }

func (s *loamStateStore) Verify(context.Context) error { return ErrUnsupported }

func (s *loamStateStore) Stats() Stats {
	m := s.Metrics().Engine
	return Stats{
		TableBytesWritten: m.FlushedBytes + m.CompactedBytes,
		Syncs:             m.LogSyncs,
		Stalls:            m.WriteStops,
		StallTime:         m.WriteDelay,
	}
}

// loamDocuments is a session of documents alone: the verbs of Session, but for Close, are those of
// nobody.
type loamDocuments struct {
	Session
	store *state.Store
}

func (d *loamDocuments) Close() error { return nil }

func (d *loamDocuments) In(name string) DocumentScope {
	return &loamDocumentScope{Scope: d.store.Scope(scope.Agent(name))}
}

// loamDurability is the option for a write.
func loamDurability(sync bool) state.Option {
	if sync {
		return state.Sync
	}
	return state.NoSync
}

var background = context.Background()

func (d *loamDocuments) Move(from, to, key string, amount int64, sync bool) error {
	durability := loamDurability(sync)
	return d.store.Transact(background, func(tx *state.Txn) error {
		if _, err := tx.Scope(scope.Agent(from)).Increment(background, key, -amount, durability); err != nil {
			return err
		}
		_, err := tx.Scope(scope.Agent(to)).Increment(background, key, amount, durability)
		return err
	})
}

// loamClasses are the classes that a store has without keys of its scopes.
var loamClasses = []state.Class{state.Standard, state.Trusted, state.External, state.Ephemeral}

func (d *loamDocuments) Classes() []string {
	var names []string
	for _, c := range loamClasses {
		names = append(names, c.String())
	}
	return names
}

func (d *loamDocuments) InClass(class, name string) DocumentScope {
	c, err := envelope.ParseClass(class)
	if err != nil {
		return nil
	}
	return &loamDocumentScope{d.store.Scope(scope.Agent(name)), state.WithClass(c)}
}

// Names of the hooks.
const (
	beforeHook = "before"
	afterHook  = "after"
)

// hookBefore is a hook that does nothing before each write to the scopes of a pattern.
func hookBefore(scopes string) hook.Hook {
	return hook.Hook{
		Name: beforeHook, Points: []hook.Point{hook.BeforeSet}, Scopes: scopes,
		Before: func(context.Context, *hook.Change) error { return nil },
	}
}

func (d *loamDocuments) Hook(name string) error {
	scopes := scope.Agent(name).String()
	if err := d.store.Hooks().Register(hookBefore(scopes)); err != nil {
		return err
	}
	return d.store.Hooks().Register(hook.Hook{
		Name: afterHook, Points: []hook.Point{hook.AfterSet}, Scopes: scopes,
		After: func(context.Context, hook.Event) error { return nil },
	})
}

func (d *loamDocuments) HookCalls() (before, after uint64, err error) {
	if err := d.store.Hooks().Drain(background); err != nil {
		return 0, 0, err
	}
	for _, h := range d.store.Hooks().Metrics().Hooks {
		switch h.Name {
		case beforeHook:
			before = h.Calls
		case afterHook:
			after = h.Calls
		}
	}
	return before, after, nil
}

type loamDocumentScope struct {
	*state.Scope
	class state.Option // of what Set writes; the zero Option leaves that to the store
}

func (s *loamDocumentScope) Get(key string) (any, bool, error) {
	doc, err := s.Scope.Get(background, key)
	return doc, err == nil, unlessAbsent(err)
}

// unlessAbsent is err without the one that there is nothing.
func unlessAbsent(err error) error {
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	return err
}

func (s *loamDocumentScope) GetTyped(key string, to *document.Document) (bool, error) {
	doc, err := state.Get[document.Document](background, s.Scope, key)
	*to = doc
	return err == nil, unlessAbsent(err)
}

func (s *loamDocumentScope) Set(key string, doc any, sync bool) error {
	return s.Scope.Set(background, key, doc, s.class, loamDurability(sync))
}

func (s *loamDocumentScope) SetMany(docs map[string]any) error {
	return s.Scope.SetMany(background, docs, state.NoSync)
}

func (s *loamDocumentScope) Patch(key string, patch map[string]any, sync bool) error {
	_, err := s.Scope.Patch(background, key, patch, loamDurability(sync))
	return err
}

func (s *loamDocumentScope) Append(key string, element any, sync bool) error {
	_, err := s.Scope.Append(background, key, element, loamDurability(sync))
	return err
}

func (s *loamDocumentScope) Increment(key string, delta int64, sync bool) (int64, error) {
	return state.Increment(background, s.Scope, key, delta, loamDurability(sync))
}

func (s *loamDocumentScope) Replace(key string, change func(map[string]any) error, sync bool) (bool, error) {
	v, meta, err := s.GetWithMeta(background, key)
	if err != nil {
		return false, err
	}
	doc, ok := v.(map[string]any)
	if !ok {
		return false, errNoDocument
	}
	if err := change(doc); err != nil {
		return false, err
	}
	_, err = s.CompareAndSet(background, key, meta.Version, doc, loamDurability(sync))
	if errors.Is(err, state.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

func (s *loamDocumentScope) List(prefix string, n int, visit func(key string, doc any) error) (int, error) {
	page, err := s.Scope.List(background, state.ListOptions{Prefix: prefix, Limit: n})
	if err != nil {
		return 0, err
	}
	for i := range page.Entries {
		if err := visit(page.Entries[i].Key, page.Entries[i].Value); err != nil {
			return i, err
		}
	}
	return len(page.Entries), nil
}
