package state_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

const (
	mail = "ann@example.org"
	card = "4111 1111 1111 1111"
)

// protected are the options of a store that protects what users store.
func protected() *state.Options {
	return &state.Options{Privacy: []state.Privacy{
		{Scopes: "user:*", Policy: privacy.Policy{Default: privacy.Redact, Modes: map[privacy.Detector]privacy.Mode{
			privacy.Email: privacy.Tokenise, privacy.Card: privacy.Block,
		}}},
		{Scopes: "agent:*", Classes: []state.Class{state.External}, Policy: privacy.Policy{Default: privacy.Redact}},
	}}
}

type contact struct {
	Name  string `msgpack:"name"`
	Notes []string
}

// B64: what is personal is protected before it is stored, by whichever operation, and can be revealed:
// what is tokenised is the same for the same value, also after the store was closed.
func TestWhatIsWrittenIsProtected(t *testing.T) {
	everywhere(t, protected(), func(t *testing.T, f *fixture) {
		ann := f.Scope(scope.User("ann"))
		doc := contact{Name: "Ann", Notes: []string{"write to " + mail, "from 192.168.17.23"}}
		require.NoError(t, ann.Set(ctx, "set", doc))
		require.NoError(t, ann.SetMany(ctx, map[string]any{"many": mail}))
		_, err := ann.CompareAndSet(ctx, "cas", state.Absent, mail)
		require.NoError(t, err)
		list, err := ann.Append(ctx, "append", mail)
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprint(list), mail, "what is returned is what is stored")
		_, err = ann.Patch(ctx, "patch", map[string]any{"to": mail})
		require.NoError(t, err)
		updated, err := state.Update(ctx, ann, "update", func(string, bool) (string, error) { return mail, nil })
		require.NoError(t, err)
		stored, err := ann.Get(ctx, "update")
		require.NoError(t, err)
		require.Equal(t, stored, any(updated))
		contacts, err := state.OpenCollection[contact](ctx, ann, "contacts")
		require.NoError(t, err)
		kept, err := contacts.Update(ctx, "c", func(contact, bool) (contact, error) { return doc, nil })
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprint(kept), mail)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(scope.User("ann")).Set(ctx, "txn", mail) }))
		tokens := map[any]bool{}
		for e, err := range ann.All(ctx, "") {
			require.NoError(t, err)
			require.NotContains(t, fmt.Sprint(e.Value), mail, e.Key)
			if s, ok := e.Value.(string); ok {
				tokens[s] = true
			}
			before := fmt.Sprint(e.Value)
			require.NoError(t, ann.Set(ctx, e.Key, e.Value), "what is protected stays as it is")
			after, err := ann.Get(ctx, e.Key)
			require.NoError(t, err)
			require.Equal(t, before, fmt.Sprint(after))
		}
		require.Len(t, tokens, 1)
		if f.dir != "" {
			f.reopen()
			ann = f.Scope(scope.User("ann"))
		}
		v, err := ann.Reveal(ctx, "set")
		require.NoError(t, err)
		require.Equal(t, map[string]any{"name": "Ann", "Notes": []any{"write to " + mail, "from [redacted:ipv4]"}}, v)
		_, err = ann.Reveal(ctx, "absent")
		require.ErrorIs(t, err, state.ErrNotFound)
	})
}

// B64: kinds are found in nested fields, and objects and lists under a sensitive name are covered; author,
// total_tokens and tokenizer are left alone; hashes are stable, and each store's own.
func TestWhatIsProtectedInAStore(t *testing.T) {
	hashing := func() *state.Options {
		return &state.Options{Privacy: []state.Privacy{{Scopes: "**", Policy: privacy.Policy{Default: privacy.Hash}}}}
	}
	everywhere(t, hashing(), func(t *testing.T, f *fixture) {
		doc := map[string]any{
			"author": "Ann", "total_tokens": int64(12), "tokenizer": "words",
			"password": map[string]any{"old": []any{"swordfish", map[string]any{"older": "tuna"}}},
			"calls":    []any{map[string]any{"note": "write to " + mail}}, "same": mail,
		}
		protect := func(store *state.Store) map[string]any {
			require.NoError(t, store.Set(ctx, agent, "k", doc))
			v, err := store.Get(ctx, agent, "k")
			require.NoError(t, err)
			return v.(map[string]any)
		}
		got := protect(f.Store)
		require.Equal(t, []any{"Ann", int64(12), "words"}, []any{got["author"], got["total_tokens"], got["tokenizer"]})
		for _, secret := range []string{"swordfish", "tuna", mail} {
			require.NotContains(t, fmt.Sprint(got), secret)
		}
		require.Equal(t, []any{map[string]any{"note": "write to " + got["same"].(string)}}, got["calls"], "equal values, equal hashes")
		f.reopenOnDisk()
		require.Equal(t, got, protect(f.Store))
		another, err := state.OpenMemory(hashing())
		require.NoError(t, err)
		require.NotEqual(t, got["same"], protect(another)["same"])
		require.NoError(t, another.Close())
	})
}

// What the policy blocks is not stored, and no error holds it.
func TestWhatIsBlockedIsNotStored(t *testing.T) {
	everywhere(t, protected(), func(t *testing.T, f *fixture) {
		ann := f.Scope(scope.User("ann"))
		require.NoError(t, ann.Set(ctx, "k", "before"))
		for _, err := range []error{
			ann.Set(ctx, "k", "card "+card),
			ann.SetMany(ctx, map[string]any{"other": 1, "k": []string{card}}),
			f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(scope.User("ann")).Set(ctx, "k", card) }),
		} {
			var blocked *privacy.BlockedError
			require.ErrorAs(t, err, &blocked)
			var outer *state.Error
			require.ErrorAs(t, err, &outer)
			require.Equal(t, "k", outer.Key)
			all, _ := json.Marshal(blocked)
			require.False(t, strings.Contains(err.Error()+string(all), "4111"), err.Error())
		}
		v, err := ann.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "before", v)
		has, err := ann.Has(ctx, "other")
		require.NoError(t, err)
		require.False(t, has)
		require.Equal(t, int64(3), f.Metrics().Blocked)
	})
}

// Classes and scopes say what is looked at: Trusted and Ephemeral never are, External always is.
func TestClassesSayWhatIsLookedAt(t *testing.T) {
	everywhere(t, protected(), func(t *testing.T, f *fixture) {
		for _, c := range []struct {
			scope   scope.Scope
			class   state.Class
			changed bool
			found   int64
		}{
			{scope.User("ann"), state.Trusted, false, 0},
			{scope.User("ann"), state.Ephemeral, false, 0},
			{scope.User("ann"), state.Standard, true, 1},
			{scope.User("ann"), state.External, true, 1},
			{agent, state.Standard, false, 0},
			{agent, state.External, true, 1},
			{scope.Global(), state.Standard, false, 0},
			{scope.Global(), state.External, false, 1},
		} {
			before := f.Metrics().Findings
			require.NoError(t, f.Set(ctx, c.scope, "k", mail, state.WithClass(c.class)))
			v, err := f.Get(ctx, c.scope, "k")
			require.NoError(t, err)
			require.Equal(t, c.changed, v != mail, "%v %v", c.scope, c.class)
			require.Equal(t, c.found, f.Metrics().Findings-before, "%v %v", c.scope, c.class)
		}
	})
}

// What is stored already can be looked through, which changes nothing.
func TestWhatIsStoredIsLookedThrough(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": mail, "b": "nothing", "c": map[string]any{"card": card}}))
		var keys []string
		for r, err := range sc.ScanPrivacy(ctx, nil) {
			require.NoError(t, err)
			require.NotContains(t, fmt.Sprint(r), "4111")
			keys = append(keys, r.Name)
		}
		require.Equal(t, []string{"a", "c"}, keys)
		for r, err := range sc.ScanPrivacy(ctx, &privacy.Policy{Modes: map[privacy.Detector]privacy.Mode{privacy.Card: privacy.Hash}}) {
			require.NoError(t, err)
			require.Equal(t, "c", r.Name)
		}
		for _, err := range sc.ScanPrivacy(ctx, &privacy.Policy{Default: 99}) {
			require.ErrorIs(t, err, state.ErrOption)
		}
	})
}

// Revealing takes more than reading, and is recorded.
func TestRevealingIsForAdmins(t *testing.T) {
	o := protected()
	o.Access = &state.AccessOptions{Admin: "root"}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		ann := scope.User("ann")
		require.NoError(t, f.As("root").Scope(ann).Set(ctx, "mail", mail))
		grant(t, f.Store, "alice", access.Allow, access.Read, "user:*", "*")
		_, err := f.As("alice").Scope(ann).Get(ctx, "mail")
		require.NoError(t, err)
		_, err = f.As("alice").Scope(ann).Reveal(ctx, "mail")
		requireDenied(t, err)
		v, err := f.As("root").Scope(ann).Reveal(ctx, "mail")
		require.NoError(t, err)
		require.Equal(t, mail, v)
		revealed := records(t, f.Store, audit.Query{Scope: ann, Principal: "root"})
		require.Len(t, revealed, 1)
		require.True(t, revealed[0].Sensitive)
	})
}

// Options that cannot be are refused together.
func TestPrivacyOptionsAreChecked(t *testing.T) {
	err := (&state.Options{Privacy: []state.Privacy{
		{Scopes: "nowhere", Policy: privacy.Policy{}},
		{Scopes: "**", Classes: []state.Class{state.Trusted}},
		{Scopes: "**", Policy: privacy.Policy{Default: 99}},
	}}).Validate()
	require.ErrorIs(t, err, state.ErrInvalidOptions)
	require.ErrorIs(t, err, privacy.ErrInvalidPolicy)
	var joined interface{ Unwrap() []error }
	require.True(t, errors.As(err, &joined))
	require.Len(t, joined.Unwrap(), 3)
}

// B64: what events have of values, recorded ones too, is what is stored: protected.
func TestWhatIsToldIsProtected(t *testing.T) {
	o := protected()
	o.Timeline = &state.TimelineOptions{RecordValues: true}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, true)
		ann := f.Scope(scope.User("ann"))
		require.NoError(t, ann.Set(ctx, "note", mail+" called"))
		require.NoError(t, ann.SetMany(ctx, map[string]any{"note": []any{"again", mail}}))
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(ann.Name()).Set(ctx, "note", mail) }))
		_, err := ann.Delete(ctx, "note")
		require.NoError(t, err)
		told := h.take()
		for ev, err := range f.Timeline().ByScope(ctx, ann.Name(), timeline.Range{}) {
			require.NoError(t, err)
			told = append(told, ev)
		}
		require.Len(t, told, 8)
		for i, ev := range told {
			require.Equal(t, []bool{i%4 > 0, i%4 < 3}, []bool{ev.Values.HasOld, ev.Values.HasNew})
			text := fmt.Sprint(ev.Values.Old, ev.Values.New)
			require.NotContains(t, text, mail)
			require.Contains(t, text, "[token:email:")
		}
	})
}
