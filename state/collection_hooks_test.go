package state_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// before returns a hook at points, about documents.
func before(name string, fn func(c *hook.Change) error, points ...hook.Point) hook.Hook {
	return hook.Hook{Name: name, Points: points, Keys: "people/*", Before: func(_ context.Context, c *hook.Change) error { return fn(c) }}
}

// B31: what a before-hook puts in a document's place is stored, indexed and told; what is no document is not.
func TestWhatAHookPutsInADocumentsPlace(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		register(t, f.Store, before("teams", func(c *hook.Change) error {
			v, err := c.Value()
			if err != nil {
				return err
			}
			switch doc := v.(map[string]any); doc["team"] {
			case "green":
				c.Replace(map[string]any{"name": doc["name"], "mail": doc["mail"], "team": "blue", "age": int64(1)})
			case "no team":
				c.Replace("text")
			}
			return nil
		}, hook.BeforeSet))
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		require.NoError(t, c.Set(ctx, "ada", person{Name: "Ada", Mail: "a@x", Team: "green"}))
		want := person{Name: "Ada", Mail: "a@x", Team: "blue", Age: 1}
		got, err := c.Get(ctx, "ada")
		require.NoError(t, err)
		require.Equal(t, want, got)
		got, err = c.Update(ctx, "ada", func(p person, _ bool) (person, error) { p.Team, p.Age = "green", 7; return p, nil })
		require.NoError(t, err)
		require.Equal(t, want, got, "what is told is what is stored")
		require.Equal(t, []string{"ada"}, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("team", "blue")}}))
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error { return c.In(tx.Scope(agent)).Set(ctx, "bob", person{Team: "green"}) }))
		require.Equal(t, []string{"ada", "bob"}, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("team", "blue")}}))
		before := kept(t, sc)
		require.ErrorIs(t, c.Set(ctx, "ada", person{Team: "no team"}), state.ErrType)
		_, err = c.Update(ctx, "ada", func(p person, _ bool) (person, error) { p.Team = "no team"; return p, nil })
		require.ErrorIs(t, err, state.ErrType)
		require.Equal(t, before, kept(t, sc))
		requireAgreement(t, sc, c)
	})
}

// B31, B32: hooks are asked before documents are written and deleted, in order; a veto is the caller's, ends a
// transaction, and changes nothing.
func TestHooksCanForbidDocuments(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		var asked []string
		forbid := func(c *hook.Change) error {
			asked = append(asked, c.Op.String()+" "+c.Key)
			if strings.HasSuffix(c.Key, "ada") {
				return hook.Veto("not her")
			}
			return nil
		}
		first := before("first", func(c *hook.Change) error { asked = append(asked, "first"); return nil }, hook.BeforeSet, hook.BeforeDelete)
		first.Priority = hook.High
		sc := f.Scope(agent)
		c := people(t, sc, byMail)
		require.NoError(t, c.Set(ctx, "ada", person{Mail: "a@x"}))
		require.NoError(t, c.Set(ctx, "bob", person{}))
		require.NoError(t, c.Set(ctx, "trusted", person{}, state.WithClass(state.Trusted)))
		register(t, f.Store, before("second", forbid, hook.BeforeSet, hook.BeforeDelete), first)
		before := kept(t, sc)
		for op, do := range map[string]func(c *state.Collection[person]) error{
			"set": func(c *state.Collection[person]) error { return c.Set(ctx, "ada", person{Mail: "other"}) },
			"update": func(c *state.Collection[person]) error {
				_, err := c.Update(ctx, "ada", func(p person, _ bool) (person, error) { p.Age++; return p, nil })
				return err
			},
			"delete": func(c *state.Collection[person]) error { _, err := c.Delete(ctx, "ada"); return err },
		} {
			var veto *hook.VetoError
			var outer *state.Error
			asked = nil
			err := do(c)
			require.ErrorAs(t, err, &veto)
			require.Equal(t, "second", veto.Hook)
			require.ErrorAs(t, err, &outer)
			require.Equal(t, []any{op, agent, "people/ada"}, []any{outer.Op, outer.Scope, outer.Key})
			require.Equal(t, []string{"first", strings.Replace(op, "update", "set", 1) + " people/ada"}, asked)
			require.ErrorAs(t, f.Transact(ctx, func(tx *state.Txn) error {
				in := c.In(tx.Scope(agent))
				require.NoError(t, in.Set(ctx, "new", person{}))
				require.Error(t, do(in))
				return nil // passed over
			}), &veto)
			require.Equal(t, before, kept(t, sc))
		}
		asked = nil
		existed, err := c.Delete(ctx, "trusted")
		require.NoError(t, err)
		require.True(t, existed)
		existed, err = c.Delete(ctx, "absent")
		require.NoError(t, err)
		require.False(t, existed)
		require.Empty(t, asked)
		_, err = c.Delete(hook.Simulate(ctx), "bob")
		require.ErrorIs(t, err, hook.ErrSimulated)
		require.ErrorIs(t, c.Set(hook.Simulate(ctx), "bob", person{}), hook.ErrSimulated)
		existed, err = c.Delete(ctx, "bob")
		require.NoError(t, err)
		require.True(t, existed)
		require.Equal(t, []string{"first", "delete people/bob"}, asked)
	})
}

// B32, B36: each commit of a document has one event, with what it has found and left, and that is what is
// recorded of it.
func TestDocumentsAreToldOf(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{RecordValues: true}}, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, true)
		sc := f.Scope(agent)
		c := people(t, sc, byMail, byTeam)
		request, err := hook.WithCorrelation(ctx, "request-9")
		require.NoError(t, err)
		require.NoError(t, c.Set(request, "ada", person{Team: "red"}))
		require.NoError(t, c.Set(ctx, "ada", person{Team: "blue", Mail: "a@x"}, state.WithTTL(time.Hour)))
		_, err = c.Update(ctx, "ada", func(p person, _ bool) (person, error) { p.Age = 3; return p, nil })
		require.NoError(t, err)
		require.NoError(t, c.Set(ctx, "bob", person{}, state.WithClass(state.Trusted)))
		require.ErrorIs(t, c.Set(ctx, "bob", person{Mail: "a@x"}), state.ErrUnique)
		_, err = c.Delete(ctx, "bob")
		require.NoError(t, err)
		told := h.take()
		var teams []any
		for _, ev := range told {
			require.Equal(t, []any{agent, "people"}, []any{ev.Scope, ev.Collection})
			new, _ := ev.Values.New.(map[string]any)
			old, _ := ev.Values.Old.(map[string]any)
			teams = append(teams, fmt.Sprint(ev.Op, " ", ev.Key, " ", old["team"], " ", new["team"]))
		}
		require.Equal(t, []any{
			"set people/ada <nil> red", "set people/ada red blue", "set people/ada blue blue", "set people/bob <nil> ", "delete people/bob  <nil>",
		}, teams)
		require.Equal(t, "request-9", told[0].Correlation)
		require.Equal(t, told[0].Version, told[0].SeqNum)
		require.Zero(t, told[4].Version)
		require.NoError(t, f.Hooks().Unregister("hear"))
		f.reopenOnDisk()
		require.Equal(t, told, recorded(t, f.Store))
		var ofAda []hook.Event
		for ev, err := range f.Timeline().ByKey(ctx, agent, "people/ada", timelineAll) {
			require.NoError(t, err)
			ofAda = append(ofAda, ev)
		}
		require.Equal(t, told[:3], ofAda)

		h = hear(t, f.Store, true)
		sc = f.Scope(agent)
		c = people(t, sc, byMail, byTeam)
		writes := f.Metrics().Writes
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			in := tx.Scope(agent)
			require.NoError(t, c.In(in).Set(ctx, "cyd", person{Team: "one"}))
			require.NoError(t, in.Set(ctx, "people/cyd", "a key of that name"))
			return c.In(in).Set(ctx, "cyd", person{Team: "two"})
		}))
		told = h.take()
		require.Len(t, told, 2)
		require.Equal(t, "two", told[0].Values.New.(map[string]any)["team"])
		require.Equal(t, "a key of that name", told[1].Values.New)
		require.Equal(t, []string{"people", ""}, []string{told[0].Collection, told[1].Collection}, "which tells them apart")
		last := recorded(t, f.Store)[5:] // in either order
		require.ElementsMatch(t, []string{"people", ""}, []string{last[0].Collection, last[1].Collection})
		require.Equal(t, int64(3), f.Metrics().Writes-writes)
		require.NoError(t, c.Set(ctx, "cyd", person{}))
		require.Equal(t, int64(4), f.Metrics().Writes-writes, "as without hooks")
		requireAgreement(t, sc, c)
		require.Len(t, recorded(t, f.Store), 8)
	})
}

// What cannot be read is told of when it goes, without its value.
func TestDocumentsThatCannotBeReadAreToldOf(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, true)
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		require.NoError(t, c.Set(ctx, "ada", person{}))
		require.NoError(t, state.Forge(sc, "\x00dpeople\x00ada", []byte{0}))
		h.take()
		asked := 0
		register(t, f.Store, before("veto", func(*hook.Change) error {
			if asked++; asked == 1 {
				return hook.Veto("once")
			}
			return nil
		}, hook.BeforeDelete))
		var veto *hook.VetoError
		_, err := c.Delete(ctx, "ada")
		require.ErrorAs(t, err, &veto)
		require.Empty(t, h.take())
		existed, err := c.Delete(ctx, "ada")
		require.NoError(t, err)
		require.True(t, existed)
		require.Equal(t, 2, asked)
		told := h.take()
		require.Len(t, told, 1)
		require.Equal(t, []any{hook.OpDelete, "people/ada", false}, []any{told[0].Op, told[0].Key, told[0].Values.HasOld})
	})
}

// B17: a document that expires is told of once, and its entries are not.
func TestADocumentsExpiryIsToldOnce(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		events := make(chan hook.Event, 10)
		register(t, f.Store, hook.Hook{Name: "expired", Points: []hook.Point{hook.AfterExpire}, After: func(_ context.Context, ev hook.Event) error {
			events <- ev
			return nil
		}})
		c := people(t, f.Scope(agent), byMail, byTeam, byTag)
		require.NoError(t, c.Set(ctx, "ada", person{Mail: "a@x", Tags: []string{"one", "two"}}, state.WithTTL(20*time.Millisecond)))
		ev := <-events
		require.Equal(t, []any{hook.OpExpire, agent, "people", "people/ada"}, []any{ev.Op, ev.Scope, ev.Collection, ev.Key})
		require.NoError(t, c.Set(ctx, "bob", person{}, state.WithTTL(20*time.Millisecond)))
		require.Equal(t, "people/bob", (<-events).Key, "no other before it")
		var recordedOf []string
		for _, ev := range recorded(t, f.Store) {
			recordedOf = append(recordedOf, ev.Op.String()+" "+ev.Key)
		}
		require.Equal(t, []string{"set people/ada", "expire people/ada", "set people/bob", "expire people/bob"}, recordedOf)
	})
}

// Concurrent updates of a document with hooks that ask for values lose nothing, and what they tell is a chain.
func TestUpdatesOfADocumentMakeAChain(t *testing.T) {
	everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, true)
		c := people(t, f.Scope(agent), byTeam)
		done := make(chan error)
		for range 4 {
			go func() {
				var failed error
				for range 20 {
					_, err := c.Update(ctx, "n", func(p person, _ bool) (person, error) { p.Age++; return p, nil })
					failed = errors.Join(failed, err)
				}
				done <- failed
			}()
		}
		for range 4 {
			require.NoError(t, <-done)
		}
		seen := map[int64]bool{}
		for _, ev := range h.take() {
			old, _ := ev.Values.Old.(map[string]any)
			was, _ := old["age"].(int64)
			now := ev.Values.New.(map[string]any)["age"].(int64)
			require.Equal(t, was+1, now)
			require.False(t, seen[now])
			seen[now] = true
		}
		require.Len(t, seen, 80)
	})
}

// B64: what a policy protects is protected in a document, in its index entries and in its events; what it blocks
// is not stored.
func TestDocumentsAreProtected(t *testing.T) {
	o := protected()
	o.Timeline = &state.TimelineOptions{RecordValues: true}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, true)
		sc := f.Scope(scope.User("ann"))
		c := people(t, sc, byMail, byTeam, byTag, byWord)
		doc := person{Name: "Ann", Mail: mail, Team: mail, Tags: []string{mail, "x"}, Notes: "write to " + mail}
		require.NoError(t, c.Set(ctx, "ann", doc))
		_, err := c.Update(ctx, "ann", func(p person, _ bool) (person, error) {
			require.NotEqual(t, mail, p.Mail)
			p.Age, p.Team = 7, mail
			return p, nil
		})
		require.NoError(t, err)
		require.ErrorIs(t, c.Set(ctx, "bob", person{Mail: mail}), state.ErrUnique, "tokens are stable")
		var blocked *privacy.BlockedError
		require.ErrorAs(t, c.Set(ctx, "card", person{Notes: card}), &blocked)
		entries := 0
		for key, value := range kept(t, sc) {
			require.NotContains(t, key+value, mail)
			require.NotContains(t, key+value, "4111")
			if strings.HasPrefix(key, "\x00i") {
				entries++
			}
		}
		require.Greater(t, entries, 4)
		requireAgreement(t, sc, c)
		for _, events := range [][]hook.Event{h.take(), recorded(t, f.Store)} {
			require.Len(t, events, 2)
			require.NotContains(t, fmt.Sprint(events[0].Values, events[1].Values), mail)
		}
		stored, err := c.Get(ctx, "ann")
		require.NoError(t, err)
		require.Equal(t, []string{"ann"}, docsOf(t, c, index.Query{Where: []index.Cond{index.Eq("mail", stored.Mail)}}))
		err = c.Set(ctx, "ann", person{}, state.WithClass(state.Sensitive))
		require.True(t, errors.Is(err, state.ErrSensitive) || errors.Is(err, state.ErrNotEncrypted), err)
		_, err = state.OpenCollection[person](ctx, sc, "secrets", index.Def{Name: "t", Fields: []string{"api_token"}})
		require.ErrorIs(t, err, state.ErrSensitive)
	})
}

// Who looks at a change is told of which collection it is, as who is told of it behind: a key and a document may
// have one name.
func TestChangesNameTheirCollection(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		var asked, told []string
		register(t, f.Store,
			hook.Hook{Name: "before", Points: everyBefore, Before: func(_ context.Context, c *hook.Change) error {
				asked = append(asked, fmt.Sprint(c.Op, " ", c.Collection, " ", c.Key))
				return nil
			}},
			hook.Hook{Name: "after", Points: everyAfter, Inline: true, After: func(_ context.Context, ev hook.Event) error {
				told = append(told, fmt.Sprint(ev.Op, " ", ev.Collection, " ", ev.Key))
				return nil
			}})
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		require.NoError(t, c.Set(ctx, "ada", person{}))
		require.NoError(t, sc.Set(ctx, "people/ada", 1))
		_, err := c.Update(ctx, "ada", func(p person, _ bool) (person, error) { return p, nil })
		require.NoError(t, err)
		for _, del := range []func() (bool, error){
			func() (bool, error) { return c.Delete(ctx, "ada") },
			func() (bool, error) { return sc.Delete(ctx, "people/ada") },
		} {
			existed, err := del()
			require.NoError(t, err)
			require.True(t, existed)
		}
		require.NoError(t, c.Set(ctx, "bad", person{}))
		require.NoError(t, state.Forge(sc, "\x00dpeople\x00bad", []byte{1}))
		_, err = c.Delete(ctx, "bad")
		require.NoError(t, err)
		require.NoError(t, sc.Drop(ctx))
		require.Equal(t, []string{
			"set people people/ada", "set  people/ada", "set people people/ada", "delete people people/ada",
			"delete  people/ada", "set people people/bad", "delete people people/bad", "clear  ",
		}, asked)
		require.Equal(t, asked, told)
	})
}
