package state_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// controlled are the options of a store with access control, of which root is the admin.
func controlled() *state.Options {
	return &state.Options{Access: &state.AccessOptions{Admin: "root"}}
}

// grant allows a principal verbs, or denies them, on keys of scopes.
func grant(t *testing.T, s *state.Store, who access.Principal, effect access.Effect, verbs access.Verbs, scopes, keys string) {
	t.Helper()
	change(t, s, func(r *access.Rules) error {
		_, err := r.Grant(access.Rule{Subject: access.Subject{Principal: who}, Effect: effect, Verbs: verbs, Scopes: scopes, Keys: keys})
		return err
	})
}

func change(t *testing.T, s *state.Store, edit func(*access.Rules) error) {
	t.Helper()
	root := s.As("root")
	rules, err := root.Rules(ctx)
	require.NoError(t, err)
	version, err := root.ChangeRules(ctx, rules.Version(), edit)
	require.NoError(t, err)
	require.Equal(t, rules.Version()+1, version)
}

func requireDenied(t *testing.T, err error, msg ...any) {
	t.Helper()
	var outer *state.Error
	require.ErrorAs(t, err, &outer, msg...)
	var denied *access.AccessError
	require.ErrorAs(t, err, &denied, msg...)
}

func records(t *testing.T, s *state.Store, q audit.Query) []audit.Record {
	t.Helper()
	var out []audit.Record
	for r, err := range s.As("root").Audit(ctx, q) {
		require.NoError(t, err)
		out = append(out, r)
	}
	return out
}

// B63: nothing is allowed without a grant, a write grant gives no delete, deny wins, and every denial
// is recorded.
func TestNothingIsAllowedWithoutAGrant(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		alice := f.As("alice").Scope(agent)
		_, err := alice.Get(ctx, "k")
		requireDenied(t, err)
		require.EqualError(t, err, `get agent:a1 "k": access: alice may not get key "k" of scope agent:a1`)
		requireDenied(t, alice.Set(ctx, "k", 1))
		grant(t, f.Store, "alice", access.Allow, access.Read|access.Write, "agent:*", "*")
		require.NoError(t, alice.Set(ctx, "k", 1))
		v, err := state.Get[int](ctx, alice, "k")
		require.NoError(t, err)
		require.Equal(t, 1, v)
		_, err = alice.Delete(ctx, "k")
		requireDenied(t, err)
		requireDenied(t, f.As("alice").Scope(scope.Global()).Set(ctx, "k", 1))
		grant(t, f.Store, "alice", access.Deny, access.Write, "agent:a1", "config:*")
		_, err = alice.Increment(ctx, "config:x", 1)
		requireDenied(t, err)
		_, err = alice.Increment(ctx, "k", 1)
		require.NoError(t, err)
		_, err = alice.Delete(ctx, "absent")
		requireDenied(t, err, "whether the key exists makes no difference")

		denied := records(t, f.Store, audit.Query{Verdict: audit.OnlyDenied, Principal: "alice"})
		var ops []access.Op
		for _, r := range denied {
			ops = append(ops, r.Op)
		}
		require.Equal(t, []access.Op{access.OpGet, access.OpSet, access.OpDelete, access.OpSet, access.OpUpdate, access.OpDelete}, ops)
		require.Equal(t, "config:x", denied[4].Key)
		require.NotZero(t, denied[4].Rule)
		require.Equal(t, int64(6), f.Metrics().Denied)
	})
}

// B63: the rules outlive the process, count without the option, and the store itself is nobody's.
func TestAStoreWithRulesIsNobodys(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		require.NoError(t, f.As("root").Scope(agent).Set(ctx, "k", 1))
		grant(t, f.Store, "alice", access.Allow, access.Read, "**", "*")
		if f.dir != "" {
			f.opts = nil
			f.reopen()
			f.opts = controlled()
		}
		_, err := f.Scope(agent).Get(ctx, "k")
		requireDenied(t, err)
		require.ErrorContains(t, err, "Store.As")
		requireDenied(t, f.Set(ctx, agent, "k", 2))
		requireDenied(t, f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).Set(ctx, "k", 2) }))
		snap, err := f.Snapshot()
		require.NoError(t, err)
		_, err = snap.Scope(agent).Get(ctx, "k")
		requireDenied(t, err)
		for _, err := range snap.ListScopes(scope.AnyKind, "") {
			requireDenied(t, err)
		}
		require.NoError(t, snap.Close())
		names := 0
		for _, err := range f.ListScopes(scope.AnyKind, "") {
			names++
			requireDenied(t, err)
		}
		require.Equal(t, 1, names)
		if f.dir != "" {
			v, err := f.As("alice").Scope(agent).Get(ctx, "k")
			require.NoError(t, err)
			require.Equal(t, int64(1), v)
		}
	})
}

// Without access control a view refuses everything: it would check nothing.
func TestAViewWithoutAccessControlRefuses(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		v := f.As("alice")
		_, err := v.Scope(agent).Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrUnsupported)
		_, err = v.Snapshot()
		require.ErrorIs(t, err, state.ErrUnsupported)
		require.ErrorIs(t, v.Transact(ctx, nil), state.ErrUnsupported)
		for _, err := range v.ListScopes(scope.AnyKind, "") {
			require.ErrorIs(t, err, state.ErrUnsupported)
		}
		_, err = v.Rules(ctx)
		require.ErrorIs(t, err, state.ErrUnsupported)
	})
}

// arguments has a value for each type of parameter that exported methods have.
var arguments = map[reflect.Type]any{
	reflect.TypeFor[string]():                                 "secret",
	reflect.TypeFor[any]():                                    int64(1),
	reflect.TypeFor[[]string]():                               []string{"secret"},
	reflect.TypeFor[map[string]any]():                         map[string]any{"secret": int64(1)},
	reflect.TypeFor[[]state.Option]():                         []state.Option(nil),
	reflect.TypeFor[state.ListOptions]():                      state.ListOptions{},
	reflect.TypeFor[io.Writer]():                              io.Discard,
	reflect.TypeFor[io.Reader]():                              strings.NewReader("unread"),
	reflect.TypeFor[state.ExportOptions]():                    state.ExportOptions{},
	reflect.TypeFor[state.ImportOptions]():                    state.ImportOptions{},
	reflect.TypeFor[time.Duration]():                          time.Hour,
	reflect.TypeFor[state.Retention]():                        state.Retention{MaxEntries: 1},
	reflect.TypeFor[state.Version]():                          state.Version(0),
	reflect.TypeFor[state.Position]():                         state.Position{},
	reflect.TypeFor[*state.Position]():                        (*state.Position)(nil),
	reflect.TypeFor[scope.Scope]():                            scope.Agent("other"),
	reflect.TypeFor[scope.Kind]():                             scope.AnyKind,
	reflect.TypeFor[access.Version]():                         access.Version(1),
	reflect.TypeFor[access.Request]():                         access.Request{Principal: "root", Op: access.OpGet, Scope: agent, Key: "secret"},
	reflect.TypeFor[func(*access.Rules) error]():              func(*access.Rules) error { return errors.New("called") },
	reflect.TypeFor[*privacy.Policy]():                        (*privacy.Policy)(nil),
	reflect.TypeFor[state.CheckpointID]():                     state.CheckpointID{},
	reflect.TypeFor[audit.Query]():                            audit.Query{},
	reflect.TypeFor[[]audit.Head]():                           []audit.Head(nil),
	reflect.TypeFor[audit.Retention]():                        audit.Retention{MaxRecords: 1},
	reflect.TypeFor[int]():                                    1,
	reflect.TypeFor[func(int, bool) (int, error)]():           func(int, bool) (int, error) { return 0, errors.New("called") },
	reflect.TypeFor[person]():                                 person{},
	reflect.TypeFor[func(person, bool) (person, error)]():     func(person, bool) (person, error) { return person{}, errors.New("called") },
	reflect.TypeFor[index.Query]():                            index.Query{},
	reflect.TypeFor[func(old any, found bool) (any, error)](): func(any, bool) (any, error) { return nil, errors.New("called") },
}

// denials calls a method with arguments made up, where it wants a handle with sc, and returns the errors that it
// returns or yields.
func denials(t *testing.T, m reflect.Method, on reflect.Value, sc *state.Scope) []error {
	t.Helper()
	in := []reflect.Value{on}
	for i := 1; i < m.Type.NumIn(); i++ {
		if m.Type.In(i) == reflect.TypeFor[context.Context]() {
			in = append(in, reflect.ValueOf(ctx))
			continue
		}
		arg, ok := arguments[m.Type.In(i)]
		if m.Type.In(i) == reflect.TypeFor[*state.Scope]() {
			arg, ok = sc, true
		}
		require.True(t, ok, "%s wants a %v, of which the test has none", m.Name, m.Type.In(i))
		v := reflect.New(m.Type.In(i)).Elem()
		v.Set(reflect.ValueOf(arg))
		in = append(in, v)
	}
	call := m.Func.Call
	if m.Type.IsVariadic() {
		call = m.Func.CallSlice
	}
	out := call(in)
	last := out[len(out)-1]
	var errs []error
	if last.Kind() != reflect.Func {
		err, _ := last.Interface().(error)
		for _, v := range out[:len(out)-1] {
			require.True(t, v.IsZero(), "%s returned %v", m.Name, v)
		}
		return append(errs, err)
	}
	for what, err := range last.Seq2() {
		require.True(t, what.IsZero(), "%s yielded %v", m.Name, what)
		e, _ := err.Interface().(error)
		errs = append(errs, e)
	}
	return errs
}

// B63: every exported method of a handle of a view, live, at a snapshot or in a transaction, of a collection and a
// key there, and of a store with rules, is denied to whoever is allowed nothing, and nothing is looked up for
// it. A new method that does not ask fails here.
func TestEveryDoorIsChecked(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		require.NoError(t, f.As("root").Scope(agent).Set(ctx, "secret", 1))
		require.NoError(t, f.As("root").Scope(agent).Set(ctx, "passing", 1, state.WithClass(state.Ephemeral)))
		mallory := f.As("mallory")
		documents := people(t, f.As("root").Scope(agent), byMail, byTeam)
		require.NoError(t, documents.Set(ctx, "secret", person{}))
		grant(t, f.Store, "mallory", access.Allow, access.Read|access.List, "agent:*", "*")
		watcher, err := mallory.Scope(agent).Watch(ctx, "", nil) // which is to be no way in
		require.NoError(t, err)
		defer watcher.Close()
		change(t, f.Store, func(r *access.Rules) error { return r.Revoke(r.All()[len(r.All())-1].ID) })
		for range 4 {
			require.NoError(t, f.As("root").Scope(agent).Set(ctx, "secret", 1))
		}
		reads, writes := f.Metrics().Reads, f.Metrics().Writes
		doors := 0
		check := func(on any, free ...string) {
			v := reflect.ValueOf(on)
			free = append(free, "Behind", "PutOwn", "PutRaw", "HasOwn") // of export_test.go
		methods:
			for m := range v.Type().Methods() {
				for _, name := range free {
					if m.Name == name {
						continue methods
					}
				}
				doors++
				errs := denials(t, m, v, mallory.Scope(agent))
				require.Len(t, errs, 1, "%T.%s", on, m.Name)
				requireDenied(t, errs[0], "%T.%s", on, m.Name)
			}
		}
		check(f.Store, "Scope", "Engine", "As", "Snapshot", "Transact", "Begin", "ListScopes", "Timeline", "Hooks", "Metrics", "Expvar", "Close",
			"SetInOwnScope", "FlipAudit", "Borrow", "ListedForRetention") // of export_test.go
		check(mallory.Scope(agent), "Name")
		check(documents.In(mallory.Scope(agent)), "In", "Name")
		check(documents.In(f.Scope(agent)), "In", "Name")
		check(state.NewKey[int]("secret"), "Name")
		snap, err := mallory.Snapshot()
		require.NoError(t, err)
		check(snap.Scope(agent), "Name")
		check(documents.In(snap.Scope(agent)), "In", "Name")
		check(snap, "Scope", "ListScopes", "Position", "Close")
		require.NoError(t, mallory.Transact(ctx, func(tx *state.Txn) error {
			check(tx.Scope(agent), "Name")
			check(tx.Scope(agent), "Name") // the second handle too
			check(documents.In(tx.Scope(agent)), "In", "Name")
			check(tx, "Scope", "Commit", "Rollback")
			return nil
		}))
		check(mallory, "Scope", "Principal", "Snapshot", "Transact", "Begin", "ListScopes", "Timeline")
		require.Greater(t, doors, 150)
		check(watcher, "Position", "Close")
		for _, tl := range []*timeline.Timeline{mallory.Timeline(), f.Timeline()} {
			for _, err := range tl.ByTime(ctx, timeline.Range{}) {
				var denied *access.AccessError
				require.ErrorAs(t, err, &denied)
			}
		}
		for _, err := range f.As("root").Timeline().ByTime(ctx, timeline.Range{}) {
			require.NoError(t, err)
		}
		for name := range mallory.ListScopes(scope.AnyKind, "") {
			t.Errorf("%v is listed", name)
		}
		for name := range snap.ListScopes(scope.AnyKind, "") {
			t.Errorf("%v is listed", name)
		}
		require.NoError(t, snap.Close())

		sc, key := mallory.Scope(agent), state.NewKey[int]("secret")
		_, err = state.Get[int](ctx, sc, "secret")
		requireDenied(t, err)
		requireDenied(t, state.Set(ctx, sc, "secret", 2))
		_, err = state.Update(ctx, sc, "secret", func(int, bool) (int, error) { return 0, errors.New("called") })
		requireDenied(t, err)
		_, err = state.Increment(ctx, sc, "secret", 2)
		requireDenied(t, err)
		_, err = key.Get(ctx, sc)
		requireDenied(t, err)
		_, err = key.Delete(ctx, sc)
		requireDenied(t, err)
		require.Equal(t, reads, f.Metrics().Reads, "nothing was looked up")
		require.Equal(t, writes, f.Metrics().Writes)
		require.Len(t, records(t, f.Store, audit.Query{Verdict: audit.OnlyDenied}), int(f.Metrics().Denied), "all are recorded")
	})
}

// B63: what lists shows what may be seen, and nothing else; what acts on the whole is refused.
func TestAListIsFiltered(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		root := f.As("root").Scope(agent)
		require.NoError(t, root.SetMany(ctx, map[string]any{"a1": 1, "a2": 2, "b1": 3, "c1": 4}))
		require.NoError(t, root.Set(ctx, "a3", 5, state.WithClass(state.Ephemeral)))
		require.NoError(t, f.As("root").Scope(scope.Agent("hidden")).Set(ctx, "a1", 1))
		grant(t, f.Store, "alice", access.Allow, access.AllVerbs, "agent:a1", "a*")
		grant(t, f.Store, "alice", access.Allow, access.AllVerbs, "agent:a1", "c*")
		grant(t, f.Store, "alice", access.Deny, access.Read, "agent:a1", "c*")
		alice := f.As("alice").Scope(agent)
		page, err := alice.List(ctx, state.ListOptions{Limit: 2})
		require.NoError(t, err)
		require.Len(t, page.Entries, 2)
		page, err = alice.List(ctx, state.ListOptions{After: page.Next})
		require.NoError(t, err)
		require.Len(t, page.Entries, 1)
		require.Equal(t, "a3", page.Entries[0].Key)
		require.Empty(t, page.Next)
		var keys []string
		for key, err := range alice.Keys(ctx, "") {
			require.NoError(t, err)
			keys = append(keys, key)
		}
		require.Equal(t, []string{"a1", "a2", "a3", "c1"}, keys, "c1 may be listed, not read")
		page, err = alice.List(ctx, state.ListOptions{KeysOnly: true})
		require.NoError(t, err)
		require.Equal(t, state.Entry{Key: "c1"}, page.Entries[3])
		_, err = alice.List(ctx, state.ListOptions{Prefix: "b"})
		requireDenied(t, err)
		var changed []string
		for c, err := range alice.Diff(ctx, state.Position{}) {
			require.NoError(t, err)
			if c.Kind == state.ChangeSet {
				changed = append(changed, c.Key)
			}
		}
		require.Equal(t, []string{"a1", "a2"}, changed)
		_, err = alice.GetMany(ctx, "a1", "b1")
		requireDenied(t, err)
		got, err := alice.GetMany(ctx, "a1", "a9")
		require.NoError(t, err)
		require.Equal(t, map[string]any{"a1": int64(1)}, got)
		_, err = alice.Stats(ctx)
		requireDenied(t, err)
		requireDenied(t, alice.Drop(ctx))
		var names []scope.Scope
		for name, err := range f.As("alice").ListScopes(scope.AnyKind, "") {
			require.NoError(t, err)
			names = append(names, name)
		}
		require.Equal(t, []scope.Scope{agent}, names)
		_, _, err = f.As("alice").Scope(scope.Agent("hidden")).GetInherited(ctx, "a1")
		requireDenied(t, err)
	})
}

// An operation on the whole scope needs both scopes, and no narrower denial in either.
func TestWholeScopesNeedTheWholeScope(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		require.NoError(t, f.As("root").Scope(agent).Set(ctx, "k", 1))
		to := scope.Agent("copy")
		grant(t, f.Store, "alice", access.Allow, access.AllVerbs, "agent:a1", "*")
		alice := f.As("alice").Scope(agent)
		_, err := alice.Copy(ctx, to)
		requireDenied(t, err)
		requireDenied(t, alice.Move(ctx, to))
		grant(t, f.Store, "alice", access.Allow, access.Write|access.Delete, "agent:copy", "*")
		fork, err := alice.Fork(ctx, to)
		require.NoError(t, err)
		_, err = fork.Get(ctx, "k")
		requireDenied(t, err, "the handle to the fork is the principal's")
		grant(t, f.Store, "alice", access.Deny, access.Delete, "agent:*", "keep:*")
		requireDenied(t, alice.Drop(ctx))
		_, err = alice.Stats(ctx)
		require.NoError(t, err, "no key is denied what it needs")
	})
}

// B63: a watch shows what may be seen, commit by commit, and ends when nothing may be seen any more.
func TestAWatchIsFiltered(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		root := f.As("root").Scope(agent)
		grant(t, f.Store, "alice", access.Allow, access.Read|access.List, "agent:*", "a*")
		w, err := f.As("alice").Scope(agent).Watch(ctx, "", nil)
		require.NoError(t, err)
		defer w.Close()
		require.NoError(t, root.SetMany(ctx, map[string]any{"a1": 1, "a2": 2, "b": 3}))
		require.NoError(t, root.Set(ctx, "b", 4))
		require.NoError(t, root.Set(ctx, "a3", 5))
		var got []string
		next := func() state.Change {
			c, err := w.Next()
			require.NoError(t, err)
			return c
		}
		for len(got) < 3 {
			if c := next(); c.Kind == state.ChangeSet {
				got = append(got, c.Key)
				require.Equal(t, c.Key != "a1", c.Last, c.Key)
				_, err := w.Position()
				if c.Last {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, state.ErrUnsupported)
				}
			}
		}
		require.Equal(t, []string{"a1", "a2", "a3"}, got)
		grant(t, f.Store, "alice", access.Deny, access.Read, "agent:*", "*")
		require.NoError(t, root.Set(ctx, "a4", 6))
		_, err = w.Next()
		requireDenied(t, err)
	})
}

// Transactions and snapshots of a view ask by the rules of now.
func TestTransactionsAndSnapshotsOfAView(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		grant(t, f.Store, "alice", access.Allow, access.Read|access.Write, "agent:a1", "*")
		alice := f.As("alice")
		require.NoError(t, alice.Transact(ctx, func(tx *state.Txn) error {
			requireDenied(t, tx.Scope(scope.Global()).Set(ctx, "k", 1))
			_, err := tx.Scope(agent).Increment(ctx, "k", 1)
			return err
		}))
		snap, err := alice.Snapshot()
		require.NoError(t, err)
		defer snap.Close()
		v, err := snap.Scope(agent).Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, int64(1), v)
		_, _, err = snap.Scope(agent).GetInherited(ctx, "absent")
		requireDenied(t, err, "of Global")
		grant(t, f.Store, "alice", access.Deny, access.Read, "**", "*")
		_, err = snap.Scope(agent).Get(ctx, "k")
		requireDenied(t, err)
	})
}

// Rules are changed by their version, by admins alone, who can have answers explained.
func TestRulesAreChangedByAdmins(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		nothing := func(*access.Rules) error { return nil }
		root := f.As("root")
		rules, err := root.Rules(ctx)
		require.NoError(t, err)
		_, err = f.As("alice").ChangeRules(ctx, rules.Version(), nothing)
		requireDenied(t, err)
		_, err = root.ChangeRules(ctx, rules.Version(), nothing)
		require.NoError(t, err)
		_, err = root.ChangeRules(ctx, rules.Version(), nothing)
		require.ErrorIs(t, err, access.ErrConflict)
		_, err = root.ChangeRules(ctx, rules.Version()+1, func(r *access.Rules) error { return r.Revoke(1) })
		require.ErrorIs(t, err, access.ErrNoAdmin)
		_, err = root.ChangeRules(hook.Simulate(ctx), rules.Version()+1, nothing)
		require.ErrorIs(t, err, hook.ErrSimulated)
		_, err = root.RetainAudit(hook.Simulate(ctx), audit.Retention{MaxRecords: 1})
		require.ErrorIs(t, err, hook.ErrSimulated)
		x, err := root.Explain(ctx, access.Request{Principal: "alice", Op: access.OpGet, Scope: agent, Key: "k"})
		require.NoError(t, err)
		require.False(t, x.Decision.Allowed)
		require.ErrorIs(t, (&state.Options{Access: &state.AccessOptions{}}).Validate(), access.ErrInvalid)
		require.NoError(t, f.Close())
		_, err = root.Scope(agent).Get(ctx, "k")
		require.ErrorIs(t, err, state.ErrClosed) // B23
		_, err = root.Rules(ctx)
		require.ErrorIs(t, err, state.ErrClosed)
	})
}

// The audit is a chain in the store: it is asked, cut, and shows what was changed.
func TestTheAuditIsAChain(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		traced, err := hook.WithCorrelation(ctx, "why")
		require.NoError(t, err)
		for range 3 {
			_, err := f.As("alice").Scope(agent).Get(traced, "k")
			requireDenied(t, err)
		}
		found := records(t, f.Store, audit.Query{Principal: "alice"})
		require.Len(t, found, 3)
		require.Equal(t, "why", found[0].Correlation)
		if f.dir != "" {
			f.reopen()
			require.Len(t, records(t, f.Store, audit.Query{Principal: "alice"}), 3)
		}
		root := f.As("root")
		report, err := root.VerifyAudit(ctx)
		require.NoError(t, err)
		require.Equal(t, uint64(3), report.Records)
		removed, err := root.RetainAudit(ctx, audit.Retention{MaxRecords: 1})
		require.NoError(t, err)
		require.Zero(t, removed, "the newest segment stays")
		require.Len(t, records(t, f.Store, audit.Query{Principal: "root"}), 1, "that was recorded")
		require.NoError(t, f.FlipAudit())
		_, err = root.VerifyAudit(ctx)
		require.ErrorIs(t, err, audit.ErrBroken)
	})
}

// What is shown of class Sensitive is recorded, once for a scan.
func TestReadsOfSensitiveValuesAreRecorded(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		root := f.As("root").Scope(agent)
		require.NoError(t, root.Set(ctx, "plain", 1))
		p, err := envelope.Append(nil, &envelope.Header{Class: state.Sensitive, Codec: envelope.MessagePack})
		require.NoError(t, err)
		require.NoError(t, root.Behind().PutRaw("s1", append(p, 1)))
		require.NoError(t, root.Behind().PutRaw("s2", append(p, 2)))
		_, err = root.Get(ctx, "s1")
		require.NoError(t, err)
		_, err = root.GetMany(ctx, "s2")
		require.NoError(t, err)
		_, err = root.List(ctx, state.ListOptions{})
		require.NoError(t, err)
		_, err = root.Has(ctx, "s1")
		require.NoError(t, err)
		_, err = root.Delete(ctx, "s1")
		require.NoError(t, err)
		_, err = root.DeleteMany(ctx, []string{"plain", "s2"})
		require.NoError(t, err)
		var seen []audit.Record
		for _, r := range records(t, f.Store, audit.Query{}) {
			require.True(t, r.Sensitive && r.Allowed)
			seen = append(seen, audit.Record{Op: r.Op, Key: r.Key, Keys: r.Keys})
		}
		require.Equal(t, []audit.Record{
			{Op: access.OpGet, Key: "s1"}, {Op: access.OpGet, Key: "s2"}, {Op: access.OpScan, Keys: 2},
			{Op: access.OpHas, Key: "s1"}, {Op: access.OpDelete, Key: "s1"}, {Op: access.OpDelete, Key: "s2"},
		}, seen)
	})
}

// With AuditRequired a record is written before the answer comes, and what cannot be recorded is not shown.
func TestRequiredRecords(t *testing.T) {
	o := controlled()
	o.Access.AuditRequired = true
	everywhere(t, o, func(t *testing.T, f *fixture) {
		_, err := f.As("alice").Scope(agent).Get(ctx, "k")
		requireDenied(t, err)
		require.Equal(t, int64(1), f.Metrics().Audited)
		p, err := envelope.Append(nil, &envelope.Header{Class: state.Sensitive, Codec: envelope.MessagePack})
		require.NoError(t, err)
		require.NoError(t, f.As("root").Scope(agent).Behind().PutRaw("s", append(p, 1)))
		require.NoError(t, people(t, f.As("root").Scope(agent)).Set(ctx, "open", person{}))
		require.NoError(t, state.Forge(f.As("root").Scope(agent).Behind(), "\x00dpeople\x00s", append(p, 0x80)))
		if f.dir == "" {
			return
		}
		for _, required := range []bool{true, false} {
			f.opts = &state.Options{Engine: &state.EngineOptions{ReadOnly: true}, Access: &state.AccessOptions{Admin: "root", AuditRequired: required}}
			f.reopen()
			_, err = f.As("root").Scope(agent).Get(ctx, "s")
			require.Equal(t, required, errors.Is(err, state.ErrReadOnly), err)
			require.Equal(t, required, err != nil)
			_, err = f.As("alice").Scope(agent).Get(ctx, "s")
			requireDenied(t, err)
			require.Equal(t, required, errors.Is(err, state.ErrReadOnly), err)
			shown := map[string]bool{}
			for c, failed := range f.As("root").Scope(agent).Diff(ctx, state.Position{}) {
				shown["diff"], err = shown["diff"] || c.Key == "s", failed
			}
			require.Equal(t, required, errors.Is(err, state.ErrReadOnly), err)
			for e, failed := range f.As("root").Scope(agent).All(ctx, "") {
				shown["all"], err = shown["all"] || e.Key == "s", failed
			}
			require.Equal(t, required, errors.Is(err, state.ErrReadOnly), err)
			c := people(t, f.As("root").Scope(agent))
			for d, failed := range c.All(ctx, index.Query{}) {
				shown["docs"], err = shown["docs"] || d.Key == "s", failed
			}
			require.Equal(t, required, errors.Is(err, state.ErrReadOnly), err)
			require.Equal(t, required, !shown["diff"] && !shown["all"] && !shown["docs"], "by a loop too")
			_, err = c.Query(ctx, index.Query{})
			require.Equal(t, required, errors.Is(err, state.ErrReadOnly), err)
		}
	})
}

// A store is opened with the key of its audit, or not at all.
func TestTheKeyOfTheAudit(t *testing.T) {
	o := controlled()
	o.Access.AuditKey = []byte("kept elsewhere")
	f := &fixture{t: t, opts: o, dir: t.TempDir()}
	f.open()
	_, err := f.As("alice").Scope(agent).Get(ctx, "k")
	requireDenied(t, err)
	require.NoError(t, f.Close())
	_, err = state.Open(f.dir, nil)
	require.ErrorIs(t, err, audit.ErrBroken)
	f.open()
	_, err = f.As("root").VerifyAudit(ctx)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
