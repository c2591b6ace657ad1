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
	"github.com/loamdb/loam/state/index"
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

// B64: what a policy replaces in documents is turned back as in values. There was no way to.
func TestDocumentsAreRevealed(t *testing.T) {
	everywhere(t, protected(), func(t *testing.T, f *fixture) {
		byName := index.Def{Name: "name", Fields: []string{"name"}}
		contacts, err := state.OpenCollection[contact](ctx, f.Scope(scope.User("ann")), "contacts", byName)
		require.NoError(t, err)
		require.NoError(t, contacts.Set(ctx, "c", contact{Name: mail, Notes: []string{"write to " + mail, "from 192.168.17.23"}}))
		f.reopenOnDisk()
		ann := f.Scope(scope.User("ann"))
		contacts = contacts.In(ann)
		stored, err := contacts.Get(ctx, "c")
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprint(stored), mail)
		reveal := func(c *state.Collection[contact]) {
			whole, err := c.Reveal(ctx, "c")
			require.NoError(t, err)
			require.Equal(t, contact{Name: mail, Notes: []string{"write to " + mail, "from [redacted:ipv4]"}}, whole)
		}
		reveal(contacts)
		snap, err := f.Snapshot()
		require.NoError(t, err)
		reveal(contacts.In(snap.Scope(ann.Name())))
		require.NoError(t, snap.Close())
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			reveal(contacts.In(tx.Scope(ann.Name())))
			return nil
		}))
		after, err := contacts.Get(ctx, "c")
		require.NoError(t, err)
		require.Equal(t, stored, after, "nothing is changed")

		zero, err := contacts.Reveal(ctx, "absent")
		require.ErrorIs(t, err, state.ErrNotFound)
		require.ErrorContains(t, err, `reveal user:ann "contacts/absent"`)
		require.Zero(t, zero)
		type other struct {
			Name int `msgpack:"name"`
		}
		others, err := state.OpenCollection[other](ctx, ann, "contacts", byName)
		require.NoError(t, err)
		_, err = others.Reveal(ctx, "c")
		require.ErrorIs(t, err, state.ErrType)
		require.NoError(t, contacts.Set(ctx, "forged", contact{Name: "[token:email:" + strings.Repeat("0", 160) + "]"}))
		_, err = contacts.Reveal(ctx, "forged")
		require.ErrorIs(t, err, privacy.ErrReveal)
	})
}

// Revealing a document takes more than reading it, and is recorded.
func TestRevealingDocumentsIsForAdmins(t *testing.T) {
	o := protected()
	o.Access = &state.AccessOptions{Admin: "root"}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		ann := scope.User("ann")
		contacts, err := state.OpenCollection[contact](ctx, f.As("root").Scope(ann), "contacts")
		require.NoError(t, err)
		require.NoError(t, contacts.Set(ctx, "c", contact{Name: mail}))
		grant(t, f.Store, "reader", access.Allow, access.Read, "user:*", "*")
		grant(t, f.Store, "admin", access.Allow, access.Admin, "user:*", "*")
		grant(t, f.Store, "admin", access.Allow, access.Read, "user:*", "contacts/d")
		_, err = contacts.In(f.As("reader").Scope(ann)).Get(ctx, "c")
		require.NoError(t, err)
		for who, op := range map[access.Principal]access.Op{"reader": access.OpSettings, "admin": access.OpGet} {
			_, err := contacts.In(f.As(who).Scope(ann)).Reveal(ctx, "c")
			requireDenied(t, err)
			denied := records(t, f.Store, audit.Query{Verdict: audit.OnlyDenied, Principal: who})
			require.Len(t, denied, 1)
			require.Equal(t, op, denied[0].Op)
		}
		doc, err := contacts.Reveal(ctx, "c")
		require.NoError(t, err)
		require.Equal(t, mail, doc.Name)
		revealed := records(t, f.Store, audit.Query{Scope: ann, Principal: "root"})
		require.Len(t, revealed, 1)
		require.Equal(t, []any{true, access.OpGet, "contacts/c"}, []any{revealed[0].Sensitive, revealed[0].Op, revealed[0].Key})
	})
}

// scanned returns what is named by ScanPrivacy with every detector.
func scanned(t *testing.T, sc *state.Scope) (names []string) {
	t.Helper()
	for r, err := range sc.ScanPrivacy(ctx, nil) {
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprint(r), mail)
		names = append(names, r.Name)
	}
	return names
}

// B64: documents are looked through with the scope's keys, and what was found is protected, in indexes too, once it
// is written again. They were not, and a scope with such documents was called clean.
func TestDocumentsAreLookedThrough(t *testing.T) {
	everywhere(t, protected(), func(t *testing.T, f *fixture) {
		sc := f.Scope(agent) // where no policy looks
		c := people(t, sc, byTeam)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": "nothing", "z": mail}))
		require.NoError(t, c.Set(ctx, "ada", person{Team: mail}))
		require.NoError(t, c.Set(ctx, "bob", person{Team: "red"}))
		cards, err := state.OpenCollection[contact](ctx, sc, "cards")
		require.NoError(t, err)
		require.NoError(t, cards.Set(ctx, "c", contact{Notes: []string{card}}))
		want := []string{"z", "cards/c", "people/ada"}
		require.Equal(t, want, scanned(t, sc))
		snap, err := f.Snapshot()
		require.NoError(t, err)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			require.Equal(t, want, scanned(t, tx.Scope(agent)))
			return nil
		}))
		for i, name := range want { // a loop that is left there
			met := 0
			for r, err := range sc.ScanPrivacy(ctx, nil) {
				require.NoError(t, err)
				if met++; r.Name == name {
					break
				}
			}
			require.Equal(t, i+1, met)
		}

		ann := f.Scope(scope.User("ann"))
		require.NoError(t, sc.Move(ctx, ann.Name()))
		c = c.In(ann)
		require.Equal(t, want, scanned(t, ann))
		_, err = c.Update(ctx, "ada", func(p person, _ bool) (person, error) { return p, nil })
		require.NoError(t, err)
		require.Equal(t, want[:2], scanned(t, ann))
		require.Empty(t, docsOf(t, c, index.Query{Where: ofTeam(mail)}))
		requireAgreement(t, ann, c)
		require.Equal(t, want, scanned(t, snap.Scope(agent)))
		require.NoError(t, snap.Close())

		require.NoError(t, state.Forge(ann, "\x00dpeople\x00bob", []byte{0}))
		err = last(ann.ScanPrivacy(ctx, nil))
		require.ErrorIs(t, err, state.ErrMalformed)
		require.ErrorContains(t, err, `scan privacy user:ann "people/bob"`)
	})
}

// A view is shown of documents, too, what it may see; what is sensitive among them, or was shredded, is recorded.
func TestViewsLookThroughWhatTheyMaySee(t *testing.T) {
	o := sealing()
	o.Access = &state.AccessOptions{Admin: "root"}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		sc := f.As("root").Scope(agent)
		c := people(t, sc)
		require.NoError(t, sc.Set(ctx, "ada", mail))
		for _, key := range []string{"ada", "bob"} {
			require.NoError(t, c.Set(ctx, key, person{Mail: mail}, sensitive))
		}
		requireDenied(t, last(f.As("alice").Scope(agent).ScanPrivacy(ctx, nil)))
		grant(t, f.Store, "alice", access.Allow, access.Read|access.List, "agent:a1", "people/a*")
		alice := f.As("alice").Scope(agent)
		require.Equal(t, []string{"people/ada"}, scanned(t, alice))
		require.Equal(t, []string{"ada", "people/ada", "people/bob"}, scanned(t, sc))
		_, err := sc.Shred(ctx)
		require.NoError(t, err)
		require.Empty(t, scanned(t, alice), "nobody can read it")
		require.Equal(t, []string{"ada"}, scanned(t, sc))
		_, err = c.Reveal(ctx, "ada")
		require.ErrorIs(t, err, state.ErrShredded)

		var seen []audit.Record
		for _, r := range records(t, f.Store, audit.Query{Verdict: audit.OnlyAllowed}) {
			if r.Op == access.OpScan || r.Op == access.OpGet {
				require.True(t, r.Sensitive)
				seen = append(seen, audit.Record{Principal: r.Principal, Op: r.Op, Key: r.Key, Keys: r.Keys})
			}
		}
		require.Equal(t, []audit.Record{
			{Principal: "alice", Op: access.OpScan, Keys: 1}, {Principal: "root", Op: access.OpScan, Keys: 2},
			{Principal: "alice", Op: access.OpScan, Keys: 1}, {Principal: "root", Op: access.OpScan, Keys: 2},
			{Principal: "root", Op: access.OpGet, Key: "people/ada"},
		}, seen)
	})
}

// A sealed scope is looked through, and what is replaced in its documents turned back, until it is shredded.
func TestSealedDocumentsAreRevealedAndLookedThrough(t *testing.T) {
	o := protected()
	o.Engine = sealing().Engine
	everywhere(t, o, func(t *testing.T, f *fixture) {
		ann := f.Scope(scope.User("ann"))
		require.NoError(t, ann.Seal(ctx))
		c := people(t, ann)
		require.NoError(t, c.Set(ctx, "ada", person{Mail: mail}))
		require.NoError(t, c.Set(ctx, "bob", person{Mail: mail}, state.WithClass(state.Trusted))) // not looked at
		p, err := c.Reveal(ctx, "ada")
		require.NoError(t, err)
		require.Equal(t, mail, p.Mail)
		require.Equal(t, []string{"people/bob"}, scanned(t, ann))
		_, err = ann.Shred(ctx)
		require.NoError(t, err)
		_, err = c.Reveal(ctx, "ada")
		require.ErrorIs(t, err, state.ErrShredded)
		require.Empty(t, scanned(t, ann))
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
