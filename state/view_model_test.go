package state_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// world is what a store should hold: values by scope and key, of documents by what the store calls them.
type world map[scope.Scope]map[string]int64

// B63: random principals with random rights, which change, do random things with values and documents in several
// scopes: what the reference denies is denied and changes nothing; everything else does what it says, and lists
// show what may be seen.
func TestRandomOperationsOfViews(t *testing.T) {
	steps := 20_000
	if testing.Short() {
		steps = 1_500
	}
	o := controlled()
	o.NoSync = true
	modelled(t, *o, func(t *testing.T, f *fixture) {
		seed := uint64(0) // of each form another; the length of the directory's name was another each time
		if f.dir != "" {
			seed = 1
		}
		rng := rand.New(rand.NewPCG(63, seed))
		pick := func(from ...string) string { return from[rng.IntN(len(from))] }
		scopes := []scope.Scope{agent, scope.Agent("a2"), scope.User("u")}
		h := hear(t, f.Store, false)
		w := world{}
		c := people(t, f.As("root").Scope(agent), byTeam)
		p := &policy{now: time.Now}
		done, denied := 0, 0
		for range steps {
			if rng.IntN(25) == 0 {
				change(t, f.Store, func(r *access.Rules) error {
					for all := r.All(); len(all) > 12; all = r.All() {
						if err := r.Revoke(all[1+rng.IntN(len(all)-1)].ID); err != nil {
							return err
						}
					}
					rule := access.Rule{
						Subject: access.Subject{Principal: access.Principal(pick("ann", "bob"))}, Verbs: access.Verbs(1+rng.IntN(31)) | access.Verbs(rng.IntN(32)),
						Scopes: pick("**", "agent:*", "agent:a1", "user:*"), Keys: pick("*", "*", "a*", "people/*", "people/a", "b"),
					}
					if rng.IntN(4) == 0 {
						rule.Effect = access.Deny
					}
					_, err := r.Grant(rule)
					return err
				})
				rules, err := f.As("root").Rules(ctx)
				require.NoError(t, err)
				p = &policy{rules: rules.All(), now: time.Now}
			}
			who, name, key := access.Principal(pick("ann", "ann", "bob", "eve")), scopes[rng.IntN(len(scopes))], pick("a", "ab", "b")
			ok, told := w.act(t, p, f.As(who), who, c, name, key, rng)
			if ok {
				done++
			} else {
				denied++
			}
			events := h.take()
			require.Len(t, events, told)
			for _, ev := range events {
				require.Equal(t, string(who), ev.Actor)
			}
		}
		require.Greater(t, done, steps/10)
		require.Greater(t, denied, steps/10)
		t.Logf("%d done, %d denied", done, denied)
		require.Len(t, records(t, f.Store, audit.Query{Verdict: audit.OnlyDenied}), int(f.Metrics().Denied))
		for _, name := range scopes {
			got := map[string]int64{}
			sc := f.As("root").Scope(name)
			for e, err := range sc.All(ctx, "") {
				require.NoError(t, err)
				got[e.Key] = e.Value.(int64)
			}
			for d, err := range c.In(sc).All(ctx, allDocs) {
				require.NoError(t, err)
				got["people/"+d.Key] = int64(d.Value.Age)
			}
			require.Equal(t, len(w[name]), len(got))
			for key, n := range got {
				require.Equal(t, w[name][key], n)
			}
		}
	})
}

// act does one thing in the store and, if the policy allows it, in the world. It returns whether it is allowed, and
// of how many changes hooks are to be told.
func (w world) act(t *testing.T, p *policy, v *state.View, who access.Principal, c docs, name scope.Scope, key string, rng *rand.Rand) (ok bool, told int) {
	t.Helper()
	sc := v.Scope(name)
	c, n := c.In(sc), rng.Int64N(100)
	is := func(err error, allowed bool) bool {
		t.Helper()
		var denied *access.AccessError
		require.Equal(t, allowed, !errors.As(err, &denied), "%v", err)
		if !allowed {
			require.Error(t, err)
		}
		return allowed
	}
	now := w[name]
	old, there := now[key]
	doc := "people/" + key
	oldDoc, thereDoc := now[doc]
	put := func(key string, n int64) {
		if w[name] == nil {
			w[name] = map[string]int64{}
		}
		w[name][key] = n
	}
	switch rng.IntN(12) {
	case 0, 1:
		err := sc.Set(ctx, key, n)
		if ok = is(err, p.key(who, access.OpSet, name, key)); ok {
			require.NoError(t, err)
			put(key, n)
			told = 1
		}
	case 2:
		got, err := state.Get[int64](ctx, sc, key)
		if ok = is(err, p.key(who, access.OpGet, name, key)); ok {
			require.Equal(t, []any{there, old}, []any{err == nil, got})
		}
	case 3:
		sum, err := state.Increment(ctx, sc, key, int64(1))
		if ok = is(err, p.key(who, access.OpUpdate, name, key)); ok {
			require.Equal(t, old+1, sum)
			put(key, sum)
			told = 1
		}
	case 4:
		existed, err := sc.Delete(ctx, key)
		if ok = is(err, p.key(who, access.OpDelete, name, key)); ok {
			require.NoError(t, err)
			if require.Equal(t, there, existed); there {
				told = 1
			}
			delete(now, key)
		}
	case 5:
		var got []string
		var failed error
		for e, err := range sc.All(ctx, "") {
			if failed = err; err == nil {
				got = append(got, e.Key)
			}
		}
		if ok = is(failed, p.some(who, access.OpScan, name, "")); ok {
			require.NoError(t, failed)
			require.Equal(t, w.shown(p, who, name, false), got)
		}
	case 6, 7:
		err := c.Set(ctx, key, person{Team: "red", Age: int(n)})
		if ok = is(err, p.key(who, access.OpSet, name, doc)); ok {
			require.NoError(t, err)
			put(doc, n)
			told = 1
		}
	case 8:
		got, err := c.Get(ctx, key)
		if ok = is(err, p.key(who, access.OpGet, name, doc)); ok {
			require.Equal(t, []any{thereDoc, int(oldDoc)}, []any{err == nil, got.Age})
		}
	case 9:
		existed, err := c.Delete(ctx, key)
		if ok = is(err, p.key(who, access.OpDelete, name, doc)); ok {
			require.NoError(t, err)
			if require.Equal(t, thereDoc, existed); thereDoc {
				told = 1
			}
			delete(now, doc)
		}
	case 10:
		var got []string
		var failed error
		for d, err := range c.All(ctx, allDocs) {
			if failed = err; err == nil {
				got = append(got, "people/"+d.Key)
			}
		}
		if ok = is(failed, p.some(who, access.OpScan, name, "people/")); ok {
			require.NoError(t, failed)
			slices.Sort(got) // they come in the order of the index
			require.Equal(t, w.shown(p, who, name, true), got)
		}
	case 11:
		err := sc.Drop(ctx)
		if ok = is(err, p.whole(who, access.OpDrop, name)); ok {
			require.NoError(t, err)
			delete(w, name)
			told = 1
		}
	}
	return ok, told
}

// shown returns, in order, which keys or documents a principal may scan.
func (w world) shown(p *policy, who access.Principal, name scope.Scope, documents bool) []string {
	var keys []string
	for key := range w[name] {
		if strings.HasPrefix(key, "people/") == documents && p.key(who, access.OpScan, name, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
