package state_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

var sensitive = state.WithClass(state.Sensitive)

// masterKey is that of encrypted stores of tests.
var masterKey = crypto.KeyBytes(bytes.Repeat([]byte{38}, crypto.KeyLen))

// sealing are the options of an encrypted store.
func sealing() *state.Options {
	return &state.Options{Engine: &state.EngineOptions{Encryption: &lsm.Encryption{Key: masterKey}}}
}

// sealingOn are those of one on a file system, whose tables are small and not compressed.
func sealingOn(fs vfs.FS, wrap seams.WrapCipher) *state.Options {
	o := sealing()
	e := o.Engine
	e.LogMode, e.CompactionWorkers, e.SyncInterval = lsm.LogWritten, 1, -1
	e.Compression, e.BlobThreshold = lsm.NoCompression, 500
	seams.Inject(e, seams.Seams{FS: fs, WrapCipher: wrap, Sizing: seams.Sizing{
		MinSegmentBytes: 8 << 10, MaxSegmentBytes: 16 << 10, MinMemtableBytes: 8 << 10, MemtableBytes: 8 << 10,
		BudgetBytes: 256 << 10, ManifestBytes: 4 << 10, TableBytes: 4 << 10, L0Trigger: 2, SettleAfter: time.Hour,
	}})
	return o
}

// secretText is in every sensitive value of a test, and in nothing else.
const secretText = "the-canary-that-sings-in-the-mine"

// writeSecrets writes values of class Sensitive in every way that there is, and returns their keys.
func writeSecrets(t *testing.T, store *state.Store, name scope.Scope) (all []string) {
	t.Helper()
	sc := store.Scope(name)
	seed := func(key string, v any) string {
		require.NoError(t, sc.Set(ctx, key, v, sensitive))
		all = append(all, key)
		return key
	}
	long := secretText + strings.Repeat(".", 900)
	require.NoError(t, sc.SetWithTTL(ctx, "ttl", secretText, time.Hour, sensitive))
	require.NoError(t, sc.SetWithTTL(ctx, "ttl-long", long, time.Hour, sensitive))
	require.NoError(t, sc.SetMany(ctx, map[string]any{"many1": secretText, "many2": long}, sensitive))
	ok, err := sc.SetIfAbsent(ctx, "absent", secretText, sensitive)
	require.NoError(t, err)
	require.True(t, ok)
	v, err := sc.CompareAndSet(ctx, "cas", state.Absent, secretText, sensitive)
	require.NoError(t, err)
	_, err = sc.CompareAndSet(ctx, "cas", v, long, sensitive)
	require.NoError(t, err)
	require.NoError(t, state.Set(ctx, sc, "typed", struct{ Secret string }{secretText}, sensitive))
	require.NoError(t, store.Transact(ctx, func(tx *state.Txn) error {
		in := tx.Scope(name)
		require.NoError(t, in.Set(ctx, "txn", secretText, sensitive))
		require.NoError(t, in.SetWithTTL(ctx, "txn-ttl", secretText, time.Hour, sensitive))
		_, err := in.Append(ctx, "txn-append", secretText, sensitive)
		require.NoError(t, err)
		got, err := in.Get(ctx, "txn")
		require.Equal(t, secretText, got)
		return err
	}))
	all = append(all, "ttl", "ttl-long", "many1", "many2", "absent", "cas", "typed", "txn", "txn-ttl", "txn-append")
	// What is changed keeps its class.
	_, err = sc.Update(ctx, seed("update", secretText), func(old any, _ bool) (any, error) { return old.(string) + "!", nil })
	require.NoError(t, err)
	_, err = sc.Append(ctx, seed("append", []any{secretText}), secretText)
	require.NoError(t, err)
	_, err = sc.Patch(ctx, seed("patch", map[string]any{"a": secretText}), map[string]any{"b": secretText})
	require.NoError(t, err)
	_, err = sc.Increment(ctx, seed("increment", int64(7)), 1)
	require.NoError(t, err)
	seed("txn-update", secretText)
	require.NoError(t, store.Transact(ctx, func(tx *state.Txn) error {
		_, err := tx.Scope(name).Update(ctx, "txn-update", func(old any, _ bool) (any, error) { return old, nil })
		return err
	}))
	notes, err := state.OpenCollection[person](ctx, sc, "people")
	require.NoError(t, err)
	require.NoError(t, notes.Set(ctx, "ada", person{Name: secretText}, sensitive))
	return all
}

// B62: values of class Sensitive are in no file, not even for whoever has the store's data keys, whichever
// way they were written and wherever they have come to; and Shred is the end of all of them.
func TestSensitiveValuesAreSealed(t *testing.T) {
	fs, plain := vfs.NewMem(), &sealtest.Plaintexts{}
	store, err := state.Open("db", sealingOn(fs, plain.Wrap))
	require.NoError(t, err)
	sc := store.Scope(agent)
	require.NoError(t, sc.Set(ctx, "plain", "another bird"))
	all := writeSecrets(t, store, agent)
	require.NoError(t, store.Engine().Flush(ctx))
	require.NoError(t, sc.Move(ctx, scope.Agent("moved")))
	sc = store.Scope(scope.Agent("moved"))
	_, err = sc.Copy(ctx, scope.Agent("copy"))
	require.NoError(t, err)
	fork, err := sc.Fork(ctx, scope.Agent("fork"))
	require.NoError(t, err)
	require.NoError(t, store.Engine().Flush(ctx))
	require.NoError(t, store.Close())
	require.NotZero(t, plain.Has("another bird"), "the test sees what is in the files")
	require.Zero(t, plain.Has(secretText))

	store, err = state.Open("db", sealingOn(fs, plain.Wrap))
	require.NoError(t, err)
	defer store.Close()
	sc, fork = store.Scope(sc.Name()), store.Scope(fork.Name())
	for _, key := range all {
		for _, s := range []*state.Scope{sc, fork} {
			v, m, err := s.GetWithMeta(ctx, key)
			require.NoError(t, err, key)
			require.Equal(t, state.Sensitive, m.Class, key)
			require.True(t, key == "increment" && v == int64(8) || strings.Contains(fmt.Sprint(v), secretText), key)
			require.Equal(t, strings.Contains(key, "ttl"), !m.Expires.IsZero(), key)
		}
	}
	doc := func(s *state.Scope) error {
		c, err := state.OpenCollection[person](ctx, s, "people")
		require.NoError(t, err)
		p, err := c.Get(ctx, "ada")
		require.Equal(t, err == nil, p.Name == secretText)
		return err
	}
	require.NoError(t, doc(sc))
	report, err := sc.Shred(ctx)
	require.NoError(t, err)
	require.Equal(t, sc.Name(), report.Scope)
	for _, key := range all {
		_, err := sc.Get(ctx, key)
		require.ErrorIs(t, err, state.ErrShredded, key)
		_, err = fork.Get(ctx, key)
		require.NoError(t, err, key)
	}
	require.ErrorIs(t, doc(sc), state.ErrShredded)
	require.NoError(t, doc(fork))
	v, err := sc.Get(ctx, "plain")
	require.NoError(t, err)
	require.Equal(t, "another bird", v)
	require.Zero(t, plain.Has(secretText))
}

// Without encryption there is nothing to seal with, and the error says what to set.
func TestSensitiveValuesNeedAnEncryptedStore(t *testing.T) {
	everywhere(t, &state.Options{InferClass: true}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		refused := func(err error) {
			t.Helper()
			require.ErrorIs(t, err, state.ErrNotEncrypted)
			require.ErrorContains(t, err, "Options.Engine.Encryption")
		}
		refused(sc.Set(ctx, "k", 1, sensitive))
		refused(sc.Set(ctx, "my_secret", 1))
		refused(sc.SetMany(ctx, map[string]any{"a": 1, "token": 2}))
		refused(f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).Set(ctx, "credential", 1) }))
		require.ErrorIs(t, sc.Seal(ctx), state.ErrNotEncrypted)
		_, err := sc.Shred(ctx)
		require.ErrorIs(t, err, state.ErrNotEncrypted)
		page, err := sc.List(ctx, state.ListOptions{})
		require.NoError(t, err)
		require.Empty(t, page.Entries)
	})
	for _, o := range []*state.Options{
		{Class: state.Sensitive}, {ScopeClasses: []state.ScopeClass{{Scopes: "**", Class: state.Sensitive}}},
	} {
		_, err := state.OpenMemory(o)
		require.ErrorIs(t, err, state.ErrInvalidOptions)
		require.ErrorIs(t, err, state.ErrNotEncrypted)
		o.Engine = sealing().Engine
		require.NoError(t, o.Validate())
	}
}

// B20: the class comes from defaults and names as others do.
func TestTheClassSensitiveIsInferred(t *testing.T) {
	o := sealing()
	o.InferClass, o.ScopeClasses = true, []state.ScopeClass{{Scopes: "user:*", Class: state.Sensitive}}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		class := func(s scope.Scope, key string) state.Class {
			sc := f.Scope(s)
			require.NoError(t, sc.Set(ctx, key, 1))
			_, m, err := sc.GetWithMeta(ctx, key)
			require.NoError(t, err)
			return m.Class
		}
		for _, key := range []string{"api_token", "secret", "test:credential"} {
			require.Equal(t, state.Sensitive, class(agent, key))
		}
		require.Equal(t, state.Standard, class(agent, "goal"))
		require.Equal(t, state.Sensitive, class(scope.User("ann"), "goal"))
		require.Equal(t, state.Trusted, class(scope.User("ann"), "test:goal"))
	})
}

// No event has a value of class Sensitive, neither the new one nor the one that is replaced or deleted.
func TestNoEventHasASensitiveValue(t *testing.T) {
	o := sealing()
	o.Timeline = &state.TimelineOptions{RecordValues: true}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		var told []hook.Event
		before := 0
		register(t, f.Store,
			hook.Hook{Name: "values", Points: everyAfter, Inline: true, Values: true, Keys: "*", After: func(_ context.Context, ev hook.Event) error {
				told = append(told, ev)
				return nil
			}},
			hook.Hook{Name: "before", Points: everyBefore, Keys: "*", Before: func(_ context.Context, c *hook.Change) error {
				if v, err := c.Value(); err == nil && strings.Contains(fmt.Sprint(v), secretText) {
					before++
				}
				return nil
			}})
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", secretText, sensitive))
		require.NoError(t, sc.Set(ctx, "k", "clear"))               // over a sensitive one
		require.NoError(t, sc.Set(ctx, "k", secretText, sensitive)) // over a clear one
		_, err := sc.Delete(ctx, "k")
		require.NoError(t, err)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			return tx.Scope(agent).Set(ctx, "t", secretText, sensitive)
		}))
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			return tx.Scope(agent).Set(ctx, "t", "clear", state.WithClass(state.Standard))
		}))
		require.NoError(t, f.Scope(scope.User("ann")).Seal(ctx))
		require.NoError(t, f.Scope(scope.User("ann")).Set(ctx, "k", secretText))
		require.NoError(t, f.Scope(scope.User("ann")).Set(ctx, "k", secretText, state.WithClass(state.Trusted)))
		require.Equal(t, 4, before, "hooks that may forbid it see it")
		require.Len(t, told, 8)
		clear := 0
		for _, ev := range append(told, recorded(t, f.Store)...) {
			if ev.Values != nil {
				require.NotContains(t, fmt.Sprint(*ev.Values), secretText)
				if ev.Values.New == "clear" {
					clear++
					require.False(t, ev.Values.HasOld)
				}
			}
		}
		require.Equal(t, 4, clear)
	})
}

// Every use of a value of class Sensitive is recorded, and Shred, which is for an admin of the whole scope.
func TestUsesOfSensitiveValuesAreRecorded(t *testing.T) {
	o := sealing()
	o.Access = controlled().Access
	everywhere(t, o, func(t *testing.T, f *fixture) {
		sc := f.As("root").Scope(agent)
		require.NoError(t, sc.Set(ctx, "plain", 1))
		require.NoError(t, sc.Set(ctx, "a", secretText, sensitive))
		require.NoError(t, sc.SetMany(ctx, map[string]any{"b": secretText, "c": secretText}, sensitive))
		_, err := sc.Update(ctx, "a", func(any, bool) (any, error) { return secretText, nil })
		require.NoError(t, err)
		require.NoError(t, f.As("root").Transact(ctx, func(tx *state.Txn) error {
			return tx.Scope(agent).Set(ctx, "d", secretText, sensitive)
		}))
		_, err = sc.List(ctx, state.ListOptions{})
		require.NoError(t, err)
		_, err = sc.Shred(ctx)
		require.NoError(t, err)
		_, err = sc.Get(ctx, "a")
		require.ErrorIs(t, err, state.ErrShredded)
		_, err = sc.Has(ctx, "a")
		require.NoError(t, err)
		for range sc.All(ctx, "") {
		}
		_, err = sc.Delete(ctx, "a")
		require.NoError(t, err)
		var seen []audit.Record
		for _, r := range records(t, f.Store, audit.Query{}) {
			require.True(t, r.Sensitive && r.Allowed)
			require.NotContains(t, fmt.Sprint(r), secretText)
			seen = append(seen, audit.Record{Op: r.Op, Key: r.Key, Keys: r.Keys})
		}
		require.Equal(t, []audit.Record{
			{Op: access.OpSet, Key: "a"}, {Op: access.OpSet, Key: "b"}, {Op: access.OpSet, Key: "c"},
			{Op: access.OpGet, Key: "a"}, {Op: access.OpSet, Key: "a"}, {Op: access.OpSet, Key: "d"},
			{Op: access.OpScan, Keys: 4}, {Op: access.OpSettings},
			{Op: access.OpGet, Key: "a"}, {Op: access.OpHas, Key: "a"}, {Op: access.OpScan, Keys: 4}, {Op: access.OpDelete, Key: "a"},
		}, seen)

		grant(t, f.Store, "alice", access.Allow, access.AllVerbs, "agent:*", "*")
		grant(t, f.Store, "bob", access.Allow, access.AllVerbs&^access.Admin, "agent:*", "*")
		grant(t, f.Store, "carol", access.Allow, access.AllVerbs, "agent:*", "*")
		grant(t, f.Store, "carol", access.Deny, access.Admin, "agent:*", "x")
		require.NoError(t, f.As("alice").Scope(scope.Agent("sealed")).Seal(ctx))
		_, err = f.As("alice").Scope(agent).Shred(ctx)
		require.NoError(t, err)
		for _, who := range []access.Principal{"bob", "carol", "mallory"} {
			_, err = f.As(who).Scope(agent).Shred(ctx)
			requireDenied(t, err)
			requireDenied(t, f.As(who).Scope(scope.Agent("other")).Seal(ctx))
			for _, err := range f.As(who).Shreds(ctx) {
				requireDenied(t, err)
			}
		}
		for _, err := range f.Shreds(ctx) {
			requireDenied(t, err)
		}
		n := 0
		for r, err := range f.As("root").Shreds(ctx) {
			require.NoError(t, err)
			require.Equal(t, agent, r.Scope)
			n++
		}
		require.Equal(t, 1, n)

		// Through a view that may see some keys nothing is told of the others, shredded ones too.
		require.NoError(t, f.As("root").Scope(scope.Agent("w")).Set(ctx, "seen", 1, sensitive))
		grant(t, f.Store, "dave", access.Allow, access.Read|access.List, "agent:w", "seen")
		w, err := f.As("dave").Scope(scope.Agent("w")).Watch(ctx, "", nil)
		require.NoError(t, err)
		defer w.Close()
		require.NoError(t, f.As("root").Scope(scope.Agent("w")).SetMany(ctx, map[string]any{"hidden": 1, "seen": 2}, sensitive))
		_, err = f.As("root").Scope(scope.Agent("w")).Shred(ctx)
		require.NoError(t, err)
		c, err := w.Next()
		require.ErrorIs(t, err, state.ErrShredded)
		require.Equal(t, "seen", c.Key)
		require.True(t, c.Last)
	})
}

// What is sensitive is in no index, in none that is made later, and a sealed scope has none.
func TestNothingSensitiveIsIndexed(t *testing.T) {
	everywhere(t, sealing(), func(t *testing.T, f *fixture) {
		indexed := people(t, f.Scope(agent), byTeam)
		require.ErrorIs(t, indexed.Set(ctx, "ada", person{Team: secretText}, sensitive), state.ErrSensitive)
		later := scope.Agent("later")
		require.NoError(t, people(t, f.Scope(later)).Set(ctx, "ada", person{Team: secretText}, sensitive))
		_, err := state.OpenCollection[person](ctx, f.Scope(later), "people", byTeam)
		require.ErrorIs(t, err, state.ErrSensitive)

		sealed := f.Scope(scope.Agent("sealed"))
		require.NoError(t, sealed.Seal(ctx))
		c := people(t, sealed)
		require.NoError(t, c.Set(ctx, "ada", person{Name: "Ada"}))
		require.ErrorIs(t, people(t, f.Scope(agent), byTeam).In(sealed).Set(ctx, "bob", person{}), state.ErrReopen)
		_, err = state.OpenCollection[person](ctx, sealed, "people", byTeam)
		require.ErrorIs(t, err, state.ErrSensitive)
		other, err := state.OpenCollection[person](ctx, sealed, "others", byTeam)
		if err == nil {
			err = other.Set(ctx, "ada", person{Name: "Ada"})
		}
		require.ErrorIs(t, err, state.ErrSensitive)
		p, err := c.Get(ctx, "ada")
		require.NoError(t, err)
		require.Equal(t, "Ada", p.Name)
		_, err = sealed.Shred(ctx)
		require.NoError(t, err)
		_, err = c.Get(ctx, "ada")
		require.ErrorIs(t, err, state.ErrShredded)
	})
}

// Nothing is changed without a read that is sensitive, or would be.
func TestSensitiveValuesAreNotChangedBlindly(t *testing.T) {
	o := sealing()
	o.InferClass = true
	everywhere(t, o, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", 1, sensitive))
		blind := func(sc *state.Scope, key string) {
			t.Helper()
			require.ErrorIs(t, sc.IncrementBlind(ctx, key, 1), state.ErrUnsupported)
			require.ErrorIs(t, sc.PatchBlind(ctx, key, map[string]any{}), state.ErrUnsupported)
		}
		blind(sc, "k")
		blind(sc, "new_token")
		require.NoError(t, sc.IncrementBlind(ctx, "n", 1))
		v, err := sc.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, int64(1), v)
		_, err = sc.Shred(ctx)
		require.NoError(t, err)
		blind(sc, "k")
		sealed := f.Scope(scope.Agent("sealed"))
		require.NoError(t, sealed.Seal(ctx))
		blind(sealed, "n")
		require.ErrorIs(t, f.Transact(ctx, func(tx *state.Txn) error {
			return tx.Scope(scope.Agent("sealed")).IncrementBlind(ctx, "n", 1)
		}), state.ErrUnsupported)
		_, err = sealed.Get(ctx, "n")
		require.ErrorIs(t, err, state.ErrNotFound)
	})
}

// B62: in a sealed scope nothing that is stored is in clear, of whatever class, and Shred is the end of all
// A value of class Sensitive is on the device when its write returns, whatever the options say, and wherever
// What a policy makes of a value is made before it is sealed.
func TestSensitiveValuesAreProtectedToo(t *testing.T) {
	o := sealing()
	o.Privacy = []state.Privacy{{Scopes: "**", Policy: privacy.Policy{Default: privacy.Redact}, Classes: []state.Class{state.Sensitive}}}
	store, err := state.OpenMemory(o)
	require.NoError(t, err)
	defer store.Close()
	sc := store.Scope(agent)
	require.NoError(t, sc.Set(ctx, "k", "write to ann@example.com", sensitive))
	v, err := sc.Get(ctx, "k")
	require.NoError(t, err)
	require.NotContains(t, v, "ann@example.com")
}

// A store on disk keeps its key: with another one it does not open, and with it all is there.
func TestSensitiveValuesSurviveReopening(t *testing.T) {
	f := &fixture{t: t, dir: filepath.Join(t.TempDir(), "store"), opts: sealing()}
	f.open()
	require.NoError(t, f.Scope(agent).Set(ctx, "k", secretText, sensitive))
	f.reopen()
	v, err := f.Scope(agent).Get(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, secretText, v)
	require.NoError(t, f.Close())
	_, err = state.Open(f.dir, nil)
	require.ErrorIs(t, err, lsm.ErrEncrypted)
}
