package access_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/scope"
)

var (
	requests = flag.Int("requests", 0, "how many random requests are made; 0: as many as the lane has time for")
	seed     = flag.Uint64("seed", 6, "of the random policies and requests")
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

func fixed() time.Time { return noon }

func alice() access.Subject { return access.Subject{Principal: "alice"} }

func role(name access.Role) access.Subject { return access.Subject{Role: name} }

// policy compiles rules and memberships, and returns the reference beside it.
func policy(t testing.TB, members []access.Membership, rules ...access.Rule) (*access.Policy, *reference) {
	t.Helper()
	set := &access.Rules{}
	for _, m := range members {
		require.NoError(t, set.Join(m.Role, m.Member))
	}
	for _, r := range rules {
		_, err := set.Grant(r)
		require.NoError(t, err)
	}
	p, err := access.NewPolicy(set, fixed)
	require.NoError(t, err)
	return p, &reference{rules: set.All(), members: set.Memberships(), now: noon}
}

// agree asks for a request in every way and compares the answers.
func agree(t testing.TB, p *access.Policy, f *reference, r access.Request) bool {
	t.Helper()
	want := f.allows(r)
	got := p.Decide(r)
	if got.Allowed != want {
		require.Equal(t, want, got.Allowed, "%+v\n%s", r, p.Explain(r))
	}
	x := p.Explain(r)
	if x.Decision != got {
		require.Equal(t, got, x.Decision, "%+v\n%s", r, x)
	}
	deciding := 0
	for _, j := range x.Rules {
		if j.Outcome == access.Decides {
			deciding++
			require.Equal(t, got.Rule, j.Rule.ID)
			require.Equal(t, got.Allowed, j.Rule.Effect == access.Allow)
		}
	}
	if (got.Rule != 0) != (deciding == 1) {
		t.Fatalf("%d rules decide, not rule %d\n%s", deciding, got.Rule, x)
	}
	if err := p.Check(r); (err == nil) != want {
		t.Fatalf("%+v: %v", r, err)
	}
	return want
}

// B63. Every operation by everybody who can be related to a rule, in every scope and for
// every key that can be related to its patterns, with rules that allow, deny, have expired or will.
func TestEveryCellOfTheMatrix(t *testing.T) {
	members := []access.Membership{
		{Role: "staff", Member: alice()}, {Role: "outer", Member: role("middle")}, {Role: "middle", Member: role("inner")},
		{Role: "inner", Member: alice()}, {Role: "others", Member: access.Subject{Principal: "bob"}},
	}
	subjects := []access.Subject{alice(), role("staff"), role("outer"), role("others"), {Principal: "bob"}}
	scopes := []string{"agent:a1", "agent:*", "**", "global", "agent:a", "user:*", "workflow:w:step:*"}
	keys := []string{"plan:1", "plan:*", "*", "plan:2", "*:1", "other*"}
	asking := []string{"agent:a1", "global", "workflow:w:step:s"}
	if testing.Short() {
		keys, asking = keys[:4], asking[:1]
	}
	total := 0
	defer func() { hand(t, "cells", total) }()
	for _, s := range asking {
		asked, err := scope.Parse(s)
		require.NoError(t, err)
		t.Run(s, func(t *testing.T) {
			cells, allowed := 0, 0
			for _, subject := range subjects {
				for _, scopes := range scopes {
					for _, keys := range keys {
						rule := access.Rule{Subject: subject, Verbs: access.AllVerbs, Scopes: scopes, Keys: keys}
						for _, rules := range variants(rule) {
							p, f := policy(t, members, rules...)
							for op := access.OpGet; op <= access.OpRules; op++ {
								r := access.Request{Principal: "alice", Op: op, Scope: asked, Key: "plan:1"}
								cells++
								if agree(t, p, f, r) {
									allowed++
								}
							}
						}
					}
				}
			}
			require.Greater(t, cells, 2000)
			require.Greater(t, allowed, cells/20)
			require.Less(t, allowed, cells*2/3)
			total += cells
		})
	}
}

// hand gives figures of a test to the scorecard.
func hand(t *testing.T, name string, n int) {
	t.Attr(name, fmt.Sprint(n))
	wrong := 0
	if t.Failed() {
		wrong = 1
	}
	t.Attr("wrong-"+name, fmt.Sprint(wrong))
}

// variants returns sets of rules around one: it alone, denied, expired, denying beside one
// that allows, and so on.
func variants(rule access.Rule) [][]access.Rule {
	with := func(change func(*access.Rule)) access.Rule {
		r := rule
		change(&r)
		return r
	}
	deny := with(func(r *access.Rule) { r.Effect = access.Deny })
	all := access.Rule{Subject: alice(), Verbs: access.AllVerbs, Scopes: "**", Keys: "*"}
	expired := func(r access.Rule) access.Rule { r.Expires = noon; return r }
	later := func(r access.Rule) access.Rule { r.Expires = noon.Add(1); return r }
	readOnly := with(func(r *access.Rule) { r.Verbs = access.Read | access.List })
	noDelete := with(func(r *access.Rule) { r.Verbs, r.Effect = access.Delete, access.Deny })
	return [][]access.Rule{
		{rule}, {deny}, {all, deny}, {deny, all}, {rule, deny}, {expired(rule)}, {later(rule)},
		{all, expired(deny)}, {all, later(deny)}, {readOnly}, {all, noDelete},
	}
}

// B63. Random rules, memberships and requests, against the reference; a filter says of
// each key what a decision says.
func TestRandomPoliciesDecideAsTheReference(t *testing.T) {
	most := *requests
	switch {
	case most > 0:
	case os.Getenv("LOAM_LONG") != "":
		most = 1_000_000
	case testing.Short():
		most = 10_000
	default:
		most = 30_000
	}
	rng := rand.New(rand.NewPCG(*seed, 38))
	allowed, denied := 0, 0
	defer func() { hand(t, "requests", allowed+denied) }()
	for allowed+denied < most {
		p, f := randomPolicy(t, rng)
		for range 100 {
			r := access.Request{
				Principal: access.Principal(pick(rng, principals)), Op: access.Op(rng.IntN(21)),
				Scope: pickScope(t, rng), Key: pick(rng, someKeys),
			}
			if agree(t, p, f, r) {
				allowed++
			} else {
				denied++
			}
			if r.Op.Valid() && !r.Op.Whole() {
				agreeFilter(t, p, f, r)
			}
		}
	}
	require.Greater(t, allowed, most/50)
}

var (
	principals    = []string{"alice", "bob", "carol", "nobody"}
	roles         = []access.Role{"r0", "r1", "r2", "r3"}
	someScopes    = []string{"global", "agent:a", "agent:ab", "agent:b", "user:a", "workflow:a", "workflow:a:step:b", "custom:**"}
	scopePatterns = append([]string{"**", "**", "agent:*", "agent:a*", "user:*", "workflow:*", "workflow:*:step:*", "custom:*"}, someScopes...)
	someKeys      = []string{"a", "ab", "abc", "a:b", "b", "*", "b:a", ""}
	keyPatterns   = []string{"*", "*", "**", "a*", "a*c", "*b", "*:*", "a", "ab", "abc", "b", "ab*"}
	somePrefixes  = []string{"", "a", "ab", "abc", "b", "b:", "x"}
)

func pick(rng *rand.Rand, from []string) string { return from[rng.IntN(len(from))] }

func pickScope(t testing.TB, rng *rand.Rand) scope.Scope {
	t.Helper()
	if rng.IntN(30) == 0 {
		return scope.Scope{}
	}
	s, err := scope.Parse(pick(rng, someScopes))
	require.NoError(t, err)
	return s
}

func randomPolicy(t testing.TB, rng *rand.Rand) (*access.Policy, *reference) {
	t.Helper()
	set := &access.Rules{}
	subject := func() access.Subject {
		if rng.IntN(2) == 0 {
			return access.Subject{Principal: access.Principal(pick(rng, principals[:3]))}
		}
		return role(roles[rng.IntN(len(roles))])
	}
	for range rng.IntN(8) {
		if err := set.Join(roles[rng.IntN(len(roles))], subject()); err != nil {
			require.ErrorIs(t, err, access.ErrCycle)
		}
	}
	for range rng.IntN(24) {
		r := access.Rule{Subject: subject(), Verbs: access.Verbs(1+rng.IntN(31)) | access.Verbs(rng.IntN(32)), Scopes: pick(rng, scopePatterns), Keys: pick(rng, keyPatterns)}
		if rng.IntN(6) == 0 {
			r.Effect = access.Deny
		}
		if rng.IntN(4) == 0 {
			r.Expires = noon.Add(time.Duration(rng.IntN(3) - 1))
		}
		id, err := set.Grant(r)
		require.NoError(t, err)
		if rng.IntN(8) == 0 {
			require.NoError(t, set.Revoke(id))
		}
	}
	p, err := access.NewPolicy(set, fixed)
	require.NoError(t, err)
	rules := set.All()
	for i := range rules { // to the reference ** is as * among keys
		rules[i].Keys = strings.ReplaceAll(rules[i].Keys, "**", "*")
	}
	return p, &reference{rules: rules, members: set.Memberships(), now: noon}
}

// agreeFilter compares a filter with decisions about single keys.
func agreeFilter(t testing.TB, p *access.Policy, f *reference, r access.Request) {
	t.Helper()
	for _, prefix := range somePrefixes {
		r.Key = prefix
		filter, err := p.Filter(r)
		coverage := filter.Covers(prefix)
		require.Equal(t, coverage == access.NoKeys, err != nil, "%+v", r)
		require.Equal(t, err == nil, filter.Decision().Allowed)
		for _, key := range someKeys {
			r.Key = key
			want := f.allows(r)
			if filter.Allows(key) != want {
				t.Fatalf("%+v: the filter says %v\n%s", r, !want, p.Explain(r))
			}
			if strings.HasPrefix(key, prefix) && (coverage == access.NoKeys && want || coverage == access.AllKeys && !want) {
				t.Fatalf("%+v: %s of prefix %q\n%s", r, coverage, prefix, p.Explain(r))
			}
		}
	}
}

func ExamplePolicy_Explain() {
	rules := &access.Rules{}
	agents := access.Subject{Role: "agents"}
	for _, r := range []access.Rule{
		{Subject: agents, Verbs: access.Read | access.Write, Scopes: "agent:*", Keys: "*"},
		{Subject: agents, Effect: access.Deny, Verbs: access.Write, Scopes: "agent:*", Keys: "config:*"},
	} {
		if _, err := rules.Grant(r); err != nil {
			fmt.Println(err)
		}
	}
	if err := rules.Join("agents", access.Subject{Principal: "planner"}); err != nil {
		fmt.Println(err)
	}
	p, err := access.NewPolicy(rules, time.Now)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := access.Request{Principal: "planner", Op: access.OpSet, Scope: scope.Agent("a1"), Key: "config:model"}
	fmt.Println(p.Check(r))
	fmt.Print(p.Explain(r))
	// Output:
	// access: planner may not set key "config:model" of scope agent:a1
	// planner, set key "config:model" of agent:a1: denied by rule 2
	// rule 1: allow role agents read+write on keys * of agent:*: is overruled
	// rule 2: deny role agents write on keys config:* of agent:*: decides
}
