package state_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// ofTeam are the documents of a team.
func ofTeam(team string) []index.Cond { return []index.Cond{index.Eq("team", team)} }

// B63: whatever a query of a view reads, it finds the documents that may be seen, on its pages too, and nothing
// tells of the others, damage included.
func TestQueriesOfAViewFindWhatMayBeSeen(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		root := people(t, f.As("root").Scope(agent), byMail, byTeam, byTag, byWord)
		for i := range 20 {
			p := person{Name: fmt.Sprint(i % 7), Team: []string{"red", "blue"}[i%2], Age: i % 5, Tags: []string{fmt.Sprint(i % 3), "all"}, Notes: "some words"}
			require.NoError(t, root.Set(ctx, fmt.Sprintf("a%02d", i), p, state.NoSync))
			p.Mail = fmt.Sprint("mail", i)
			require.NoError(t, root.Set(ctx, fmt.Sprintf("b%02d", i), p, state.NoSync))
		}
		grant(t, f.Store, "alice", access.Allow, access.Read|access.List, "agent:a1", "people/a*")
		alice := root.In(f.As("alice").Scope(agent))
		queries := []index.Query{
			{}, {Order: []index.Order{index.Desc(index.Key)}}, {Where: ofTeam("red")},
			{Where: ofTeam("blue"), Order: []index.Order{index.Desc("age")}}, {Where: []index.Cond{index.Eq("mail", "mail3")}},
			{Where: []index.Cond{index.Eq("tags.*", "all")}}, {Where: []index.Cond{index.Prefix("word", "w")}},
			{Order: []index.Order{index.Asc("name")}}, {Where: []index.Cond{index.Ge(index.Key, "a1")}},
		}
		want := make([][]string, len(queries))
		for i, q := range queries {
			for _, key := range docsOf(t, root, q) {
				if strings.HasPrefix(key, "a") {
					want[i] = append(want[i], key)
				}
			}
		}
		require.NoError(t, state.Forge(f.As("root").Scope(agent).Behind(), "\x00dpeople\x00b03", []byte{0}))
		require.NoError(t, state.Forge(f.As("root").Scope(agent).Behind(), "\x00dpeople\x00b04", nil)) // its entries stay
		for _, err := range root.All(ctx, index.Query{Where: ofTeam("red")}) {
			if err != nil {
				require.ErrorIs(t, err, state.ErrDisagrees)
			}
		}
		for i, q := range queries {
			require.Equal(t, want[i], append([]string(nil), docsOf(t, alice, q)...), "%+v", q)
			var pages []string
			for q.Limit = 3; ; {
				r, err := alice.Query(ctx, q)
				require.NoError(t, err)
				for _, d := range r.Docs {
					pages = append(pages, d.Key)
				}
				if q.After = r.Next; r.Next == "" {
					break
				}
				require.Len(t, r.Docs, 3, "a page is full of what may be seen")
			}
			require.Equal(t, want[i], pages, "%+v", q)
			_, err := alice.Explain(ctx, q)
			require.NoError(t, err)
		}
		reads := f.Metrics().Reads
		require.Empty(t, docsOf(t, alice, queries[4]))
		require.Equal(t, reads, f.Metrics().Reads, "nothing was looked up")
		// At a snapshot and in a transaction too.
		snap, err := f.As("alice").Snapshot()
		require.NoError(t, err)
		require.Equal(t, want[2], docsOf(t, root.In(snap.Scope(agent)), queries[2]))
		require.NoError(t, snap.Close())
		require.NoError(t, f.As("alice").Transact(ctx, func(tx *state.Txn) error {
			require.Equal(t, want[2], docsOf(t, root.In(tx.Scope(agent)), queries[2]))
			return nil
		}))
		grant(t, f.Store, "alice", access.Deny, access.List, "agent:*", "people/*")
		_, err = alice.Query(ctx, queries[0])
		requireDenied(t, err)
		_, err = alice.Get(ctx, "a01")
		require.NoError(t, err)
	})
}

// B63: that a value is taken cannot be hidden from who may write, but by which document is, unless it may be read.
func TestAViewIsNotToldWhoHasAUniqueValue(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		root := people(t, f.As("root").Scope(agent), byMail)
		require.NoError(t, root.Set(ctx, "hidden", person{Mail: "h@x"}))
		require.NoError(t, root.Set(ctx, "alice/1", person{Mail: "a@x"}))
		grant(t, f.Store, "alice", access.Allow, access.AllVerbs, "agent:a1", "people/alice/*")
		alice := root.In(f.As("alice").Scope(agent))
		holder := func(err error) string {
			t.Helper()
			var unique *index.UniqueError
			require.ErrorIs(t, err, state.ErrUnique)
			require.ErrorAs(t, err, &unique)
			require.NotContains(t, err.Error(), "hidden")
			return unique.Holder
		}
		require.Equal(t, "alice/1", holder(alice.Set(ctx, "alice/2", person{Mail: "a@x"})))
		err := alice.Set(ctx, "alice/2", person{Mail: "h@x"})
		require.Empty(t, holder(err))
		require.ErrorContains(t, err, "held by another")
		_, err = alice.Update(ctx, "alice/1", func(p person, _ bool) (person, error) { p.Mail = "h@x"; return p, nil })
		require.Empty(t, holder(err))
		require.Empty(t, holder(f.As("alice").Transact(ctx, func(tx *state.Txn) error {
			return root.In(tx.Scope(agent)).Set(ctx, "alice/2", person{Mail: "h@x"})
		})))
		requireDenied(t, alice.Set(ctx, "hidden", person{Mail: "h@x"}))
		_, err = alice.Delete(ctx, "hidden")
		requireDenied(t, err)
		_, err = alice.Get(ctx, "absent")
		requireDenied(t, err, "whether there is such a document makes no difference")
		require.Error(t, alice.Set(ctx, "", person{}))
	})
}

// B63: indexes are settings of the scope. Who may list documents may open their collection as it is.
func TestIndexesAreChangedByAdmins(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		root := people(t, f.As("root").Scope(agent), byTeam)
		require.NoError(t, root.Set(ctx, "ada", person{Team: "red"}))
		open := func(sc *state.Scope, defs ...index.Def) error {
			_, err := state.OpenCollection[person](ctx, sc, "people", defs...)
			return err
		}
		behind := f.As("root").Scope(agent).Behind()
		before := kept(t, behind)
		requireDenied(t, open(f.Scope(agent), byTeam))
		requireDenied(t, open(f.As("alice").Scope(agent), byTeam))
		requireDenied(t, open(f.As("alice").Scope(agent), byMail))
		grant(t, f.Store, "alice", access.Allow, access.List|access.Write, "agent:a1", "people/*")
		alice := f.As("alice")
		require.NoError(t, open(alice.Scope(agent), byTeam))
		err := open(alice.Scope(agent), byMail)
		requireDenied(t, err)
		require.ErrorContains(t, err, "change settings")
		require.NoError(t, alice.Transact(ctx, func(tx *state.Txn) error {
			require.NoError(t, open(tx.Scope(agent), byTeam))
			require.ErrorIs(t, open(tx.Scope(agent), byMail), state.ErrReopen)
			return nil
		}))
		snap, err := alice.Snapshot()
		require.NoError(t, err)
		require.NoError(t, open(snap.Scope(agent), byMail))
		require.NoError(t, snap.Close())
		requireDenied(t, root.In(alice.Scope(agent)).Rebuild(ctx))
		require.Equal(t, before, kept(t, behind))
		in := root.In(alice.Scope(agent))
		require.NoError(t, in.Set(ctx, "bob", person{Team: "red"}))
		for _, err := range in.All(ctx, index.Query{}) {
			requireDenied(t, err, "to write and to list is not to read")
		}
		_, err = in.Update(ctx, "bob", func(p person, _ bool) (person, error) { return p, nil })
		requireDenied(t, err)

		grant(t, f.Store, "ada", access.Allow, access.Admin, "agent:a1", "*")
		require.NoError(t, open(f.As("ada").Scope(agent), byMail, byTeam))
		requireAgreement(t, behind, people(t, f.As("root").Scope(agent), byMail, byTeam))
		require.ErrorIs(t, in.Set(ctx, "cyd", person{}), state.ErrReopen)
	})
}

// B63: the actor of a change that is made by a view is its principal, whatever the caller says.
func TestTheActorIsThePrincipal(t *testing.T) {
	o := controlled()
	o.Timeline = &state.TimelineOptions{}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, false)
		var asked, inline []string
		register(t, f.Store,
			hook.Hook{Name: "asked", Points: everyBefore, Before: func(ctx context.Context, c *hook.Change) error {
				asked = append(asked, hook.TraceOf(ctx).Actor)
				return nil
			}},
			hook.Hook{Name: "inline", Points: everyAfter, Inline: true, After: func(ctx context.Context, _ hook.Event) error {
				inline = append(inline, hook.TraceOf(ctx).Actor)
				return nil
			}})
		grant(t, f.Store, "alice", access.Allow, access.AllVerbs, "**", "*")
		ctx, err := hook.WithActor(ctx, "root")
		require.NoError(t, err)
		alice := f.As("alice")
		sc := alice.Scope(agent)
		c := people(t, sc, byTeam)
		for i, do := range []func() error{
			func() error { return sc.Set(ctx, "k", 1) },
			func() error { _, err := sc.Increment(ctx, "k", 1); return err },
			func() error { return sc.SetMany(ctx, map[string]any{"l": 1}) },
			func() error { _, err := sc.Delete(ctx, "k"); return err },
			func() error { _, err := sc.DeleteMany(ctx, []string{"l"}); return err },
			func() error { return c.Set(ctx, "ada", person{}) },
			func() error { _, err := c.Delete(ctx, "ada"); return err },
			func() error {
				return alice.Transact(ctx, func(tx *state.Txn) error { return tx.Scope(agent).Set(ctx, "t", 1) })
			},
			func() error {
				return alice.Transact(ctx, func(tx *state.Txn) error { return c.In(tx.Scope(agent)).Set(ctx, "t", person{}) })
			},
			func() error { _, err := sc.Copy(ctx, scope.Agent("copy")); return err },
			func() error { return sc.Move(ctx, scope.Agent("moved")) },
			func() error { return alice.Scope(scope.Agent("moved")).Drop(ctx) },
		} {
			asked, inline = nil, nil
			require.NoError(t, do(), i)
			told := h.take()
			require.Len(t, told, 1, i)
			require.Equal(t, "alice", told[0].Actor, i)
			require.Equal(t, []string{"alice"}, asked, i)
			require.Equal(t, []string{"alice"}, inline, i)
		}
		n := 0
		for ev, err := range f.As("root").Timeline().ByTime(ctx, timelineAll) {
			require.NoError(t, err)
			require.Equal(t, "alice", ev.Actor)
			n++
		}
		require.Equal(t, 12, n)
	})
}

// B63: what hooks do themselves is asked for like everything else: with the store they have kept nothing, with a
// view what its principal may.
func TestHooksOwnAccessesAreChecked(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		counter := f.As("counter")
		grant(t, f.Store, "counter", access.Allow, access.Read|access.Write, "agent:a1", "count:*")
		var failed []error
		count := func(ctx context.Context) {
			_, err := counter.Scope(agent).Increment(ctx, "count:all", 1)
			failed = append(failed, err, f.Set(ctx, agent, "k", 1), counter.Scope(agent).Set(ctx, "k", 1))
		}
		points := []hook.Point{hook.BeforeSet, hook.AfterSet}
		register(t, f.Store, hook.Hook{Name: "count", Points: points, Keys: "k", Inline: true,
			Before: func(ctx context.Context, _ *hook.Change) error { count(ctx); return nil },
			After:  func(ctx context.Context, _ hook.Event) error { count(ctx); return nil }})
		h := hear(t, f.Store, false)
		root := f.As("root").Scope(agent)
		require.NoError(t, root.Set(ctx, "k", "mine"))
		require.Len(t, failed, 6)
		for i, err := range failed {
			if i%3 == 0 {
				require.NoError(t, err)
			} else {
				requireDenied(t, err)
			}
		}
		v, err := root.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "mine", v)
		actors := map[string]string{}
		for _, ev := range h.take() {
			actors[ev.Key] = ev.Actor
		}
		require.Equal(t, map[string]string{"k": "root", "count:all": "counter"}, actors)
		require.Len(t, records(t, f.Store, audit.Query{Verdict: audit.OnlyDenied, Principal: "counter"}), 2)
	})
}

// B63: what is shown of documents of class Sensitive is recorded, once for a query, and in a loop one by one where that
// has to come first.
func TestReadsOfSensitiveDocumentsAreRecorded(t *testing.T) {
	test := func(t *testing.T, f *fixture, looped ...audit.Record) {
		sc := f.As("root").Scope(agent)
		c := people(t, sc)
		require.NoError(t, c.Set(ctx, "plain", person{}))
		p, err := envelope.Append(nil, &envelope.Header{Class: state.Sensitive, Codec: envelope.MessagePack})
		require.NoError(t, err)
		for _, key := range []string{"s1", "s2"} {
			require.NoError(t, state.Forge(sc.Behind(), "\x00dpeople\x00"+key, append(p[:len(p):len(p)], 0x80)))
		}
		_, err = c.Get(ctx, "s1")
		require.NoError(t, err)
		require.Len(t, docsOf(t, c, index.Query{}), 3)
		_, err = c.Query(ctx, index.Query{Order: []index.Order{index.Asc("name")}})
		require.NoError(t, err)
		_, err = c.Update(ctx, "s1", func(person, bool) (person, error) { return person{}, errors.New("looked at") })
		require.ErrorContains(t, err, "looked at")
		_, err = c.Delete(ctx, "s2")
		require.NoError(t, err)
		var seen []audit.Record
		for _, r := range records(t, f.Store, audit.Query{}) {
			require.True(t, r.Sensitive && r.Allowed)
			seen = append(seen, audit.Record{Op: r.Op, Key: r.Key, Keys: r.Keys})
		}
		require.Equal(t, slices.Concat([]audit.Record{{Op: access.OpGet, Key: "people/s1"}}, looped, []audit.Record{
			{Op: access.OpScan, Key: "people/", Keys: 2}, {Op: access.OpGet, Key: "people/s1"}, {Op: access.OpDelete, Key: "people/s2"},
		}), seen)
	}
	everywhere(t, controlled(), func(t *testing.T, f *fixture) { test(t, f, audit.Record{Op: access.OpScan, Key: "people/", Keys: 2}) })
	required := controlled()
	required.Access.AuditRequired = true
	everywhere(t, required, func(t *testing.T, f *fixture) {
		test(t, f, audit.Record{Op: access.OpScan, Key: "people/s1", Keys: 1}, audit.Record{Op: access.OpScan, Key: "people/s2", Keys: 1})
	})
}
