package access_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/scope"
)

func allow(s access.Subject, v access.Verbs, scopes, keys string) access.Rule {
	return access.Rule{Subject: s, Verbs: v, Scopes: scopes, Keys: keys}
}

func deny(s access.Subject, v access.Verbs, scopes, keys string) access.Rule {
	r := allow(s, v, scopes, keys)
	r.Effect = access.Deny
	return r
}

func asks(op access.Op, s scope.Scope, key string) access.Request {
	return access.Request{Principal: "alice", Op: op, Scope: s, Key: key}
}

// B63
func TestNothingIsAllowedWithoutARule(t *testing.T) {
	p, _ := policy(t, nil)
	for op := access.OpGet; op <= access.OpRules; op++ {
		require.Error(t, p.Check(asks(op, scope.Global(), "k")), op)
	}
	p, _ = policy(t, nil, allow(alice(), access.AllVerbs, "**", "*"))
	require.NoError(t, p.Check(asks(access.OpGet, scope.Global(), "k")))
	require.NoError(t, p.Check(asks(access.OpRules, scope.Scope{}, "")))
	require.Error(t, p.Check(asks(access.OpGet, scope.Scope{}, "k")), "an invalid scope")
	require.Error(t, p.Check(asks(0, scope.Global(), "k")), "no operation")
	require.Error(t, p.Check(asks(access.OpRules+1, scope.Global(), "k")), "no operation")
	require.Error(t, p.Check(access.Request{Principal: "", Op: access.OpGet, Scope: scope.Global(), Key: "k"}), "nobody")
}

// B63
func TestDenyWins(t *testing.T) {
	everyone := []access.Membership{{Role: "staff", Member: alice()}}
	p, _ := policy(t, everyone,
		allow(alice(), access.AllVerbs, "agent:a1", "plan"),
		deny(role("staff"), access.Write, "**", "*"))
	require.NoError(t, p.Check(asks(access.OpGet, scope.Agent("a1"), "plan")))
	require.Error(t, p.Check(asks(access.OpSet, scope.Agent("a1"), "plan")))
	require.Error(t, p.Check(asks(access.OpUpdate, scope.Agent("a1"), "plan")), "one of its verbs is denied")
}

// B63
func TestNoVerbGivesAnother(t *testing.T) {
	verbs := []access.Verbs{access.Read, access.Write, access.Delete, access.List, access.Admin}
	for _, given := range verbs {
		p, _ := policy(t, nil, allow(alice(), given, "**", "*"))
		for op := access.OpGet; op <= access.OpRules; op++ {
			err := p.Check(asks(op, scope.Global(), "k"))
			require.Equal(t, op.Needs() == given, err == nil, "%s for %s", given, op)
		}
	}
}

func TestARuleAboutGlobalIsAboutGlobalAlone(t *testing.T) {
	p, _ := policy(t, nil, allow(alice(), access.AllVerbs, "global", "*"))
	require.NoError(t, p.Check(asks(access.OpGet, scope.Global(), "k")))
	for _, s := range []scope.Scope{scope.Agent("a"), scope.User("global"), scope.Custom("global"), scope.Step("w", "s")} {
		require.Error(t, p.Check(asks(access.OpGet, s, "k")), s)
	}
	require.Error(t, p.Check(asks(access.OpRules, scope.Scope{}, "")))
}

func TestRulesEndAtTheirExpiry(t *testing.T) {
	now := noon
	rules := &access.Rules{}
	granted := allow(alice(), access.Read|access.List, "global", "*")
	granted.Expires = noon.Add(time.Hour)
	_, err := rules.Grant(granted)
	require.NoError(t, err)
	banned := deny(alice(), access.Read, "global", "*")
	banned.Expires = noon.Add(time.Minute)
	_, err = rules.Grant(banned)
	require.NoError(t, err)
	p, err := access.NewPolicy(rules, func() time.Time { return now })
	require.NoError(t, err)
	for _, c := range []struct {
		at      time.Duration
		allowed bool
	}{
		{0, false}, {time.Minute - 1, false}, {time.Minute, true}, {time.Hour - 1, true}, {time.Hour, false}, {-time.Hour, false},
	} {
		now = noon.Add(c.at)
		r := asks(access.OpGet, scope.Global(), "k")
		require.Equal(t, c.allowed, p.Check(r) == nil, c.at)
		_, err := p.Filter(asks(access.OpScan, scope.Global(), ""))
		require.Equal(t, c.allowed, err == nil, c.at)
		require.Equal(t, c.allowed, p.Explain(r).Decision.Allowed, c.at)
	}
}

func TestWholeScopesNeedEveryKey(t *testing.T) {
	agent := scope.Agent("a1")
	p, _ := policy(t, nil, allow(alice(), access.AllVerbs, "agent:*", "plan*"), allow(alice(), access.AllVerbs, "agent:*", "*plan"))
	require.Error(t, p.Check(asks(access.OpClear, agent, "")), "some keys only")
	p, _ = policy(t, nil, allow(alice(), access.AllVerbs, "agent:*", "*"), deny(alice(), access.Delete, "agent:a1", "keep"))
	for op := access.OpStats; op <= access.OpSettings; op++ {
		refused := op.Needs()&access.Delete != 0
		require.Equal(t, refused, p.Check(asks(op, agent, "")) != nil, op)
		require.NoError(t, p.Check(asks(op, scope.Agent("a2"), "")), op)
	}
	require.NoError(t, p.Check(asks(access.OpDelete, agent, "k")))
	require.Error(t, p.Check(asks(access.OpDelete, agent, "keep")))
}

func TestScopesThatLookAlikeAreApart(t *testing.T) {
	p, _ := policy(t, nil, allow(alice(), access.Read, `agent:a`, "b*"), allow(alice(), access.Read, `user:a\:b`, "*"))
	require.NoError(t, p.Check(asks(access.OpGet, scope.Agent("a"), "b:k")))
	require.NoError(t, p.Check(asks(access.OpGet, scope.User("a:b"), "k")))
	for _, s := range []scope.Scope{scope.Agent("a:b"), scope.Agent("ab"), scope.Agent("A"), scope.Agent("а"), scope.User("a"), scope.Custom("agent:a")} {
		require.Error(t, p.Check(asks(access.OpGet, s, "b:k")), s)
	}
	star, _ := policy(t, nil, allow(alice(), access.Read, `agent:a\*`, `k\*`))
	require.NoError(t, star.Check(asks(access.OpGet, scope.Agent("a*"), "k*")))
	require.Error(t, star.Check(asks(access.OpGet, scope.Agent("ab"), "k*")))
	require.Error(t, star.Check(asks(access.OpGet, scope.Agent("a*"), "kk")))
}

// B63. The answer is made before anybody has looked for the key.
func TestDenialsSayWhatWasAskedAndNoMore(t *testing.T) {
	p, _ := policy(t, nil, deny(alice(), access.Read, "**", "*"))
	for _, c := range []struct {
		request access.Request
		text    string
	}{
		{asks(access.OpGet, scope.Agent("a1"), "plan"), `access: alice may not get key "plan" of scope agent:a1`},
		{asks(access.OpExport, scope.Agent("a1"), "ignored"), `access: alice may not export in scope agent:a1`},
		{asks(access.OpRules, scope.Scope{}, ""), `access: alice may not change rules`},
	} {
		err := p.Check(c.request)
		require.EqualError(t, err, c.text)
		var denied *access.AccessError
		require.True(t, errors.As(err, &denied))
		require.Equal(t, c.request.Op, denied.Op)
		require.Equal(t, c.request.Scope, denied.Scope)
	}
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	members := []access.Membership{{Role: "staff", Member: alice()}}
	expiring := allow(alice(), access.Read, "agent:*", "plan:*")
	expiring.Expires = noon.Add(1)
	p, _ := policy(t, members, expiring, allow(role("staff"), access.AllVerbs, "user:u", "*"), deny(alice(), access.Write, "**", "x"))
	requests := []access.Request{
		asks(access.OpGet, scope.Agent("a1"), "plan:1"), asks(access.OpSet, scope.User("u"), "k"),
		asks(access.OpDrop, scope.User("u"), ""),
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, r := range requests {
			if p.Check(r) != nil {
				panic(r)
			}
		}
		_ = p.Decide(asks(access.OpSet, scope.Agent("a1"), "x"))
	}))
	f, err := p.Filter(asks(access.OpScan, scope.User("u"), ""))
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = f.Allows("k") }))
}

// A rule that could not apply is not even looked at: a clock that must not be asked shows it.
func TestRulesThatCannotApplyCostNothing(t *testing.T) {
	rules := &access.Rules{}
	grant := func(r access.Rule) {
		r.Expires = noon
		_, err := rules.Grant(r)
		require.NoError(t, err)
	}
	for i := range 1000 {
		grant(allow(access.Subject{Principal: access.Principal(fmt.Sprint("p", i))}, access.Read, "**", "*"))
		grant(allow(alice(), access.Read, fmt.Sprint("agent:a", i), "*"))
		grant(allow(alice(), access.Read, "agent:a", fmt.Sprint("k", i)))
		grant(allow(alice(), access.Read, "user:*", "*"))
	}
	_, err := rules.Grant(allow(alice(), access.Read, "agent:a", "k"))
	require.NoError(t, err)
	p, err := access.NewPolicy(rules, func() time.Time { panic("a rule with an expiry was looked at") })
	require.NoError(t, err)
	require.NoError(t, p.Check(asks(access.OpGet, scope.Agent("a"), "k")))
	require.Panics(t, func() { _ = p.Check(asks(access.OpGet, scope.Agent("a"), "k1")) })
}

func TestFiltersDecideRangesAtOnce(t *testing.T) {
	p, _ := policy(t, nil, allow(alice(), access.Read|access.List, "agent:a", "plan:*"),
		allow(alice(), access.Read, "agent:a", "*"), deny(alice(), access.Read, "agent:a", "plan:secret:*"),
		allow(alice(), access.AllVerbs, "user:u", "*"))
	f, err := p.Filter(asks(access.OpScan, scope.Agent("a"), ""))
	require.NoError(t, err)
	for prefix, want := range map[string]access.Coverage{
		"": access.SomeKeys, "plan:": access.SomeKeys, "plan:a": access.AllKeys, "plan:secret:": access.NoKeys,
		"plan:secret:x": access.NoKeys, "plan:secret": access.SomeKeys, "b": access.NoKeys,
	} {
		require.Equal(t, want, f.Covers(prefix), prefix)
	}
	require.True(t, f.Allows("plan:1"))
	require.False(t, f.Allows("plan:secret:1"))
	require.False(t, f.Allows("other"), "it may be read, not listed")
	_, err = p.Filter(asks(access.OpScan, scope.Agent("a"), "plan:secret:"))
	require.EqualError(t, err, `access: alice may not scan key "plan:secret:" of scope agent:a`)
	f, err = p.Filter(asks(access.OpScan, scope.User("u"), "x"))
	require.NoError(t, err)
	require.Equal(t, access.AllKeys, f.Covers("x"))
	f, err = p.Filter(asks(access.OpGet, scope.Scope{}, ""))
	require.Error(t, err)
	require.Equal(t, access.NoKeys, f.Covers(""))
	f, err = p.Filter(asks(access.OpExport, scope.User("u"), ""))
	require.Error(t, err, "a whole scope is no scan")
	require.False(t, f.Allows("k"))
}

func TestVerbsAndOperationsHaveNames(t *testing.T) {
	require.Equal(t, "read+delete+admin", (access.Read | access.Delete | access.Admin).String())
	for v := access.Verbs(1); v <= access.AllVerbs; v++ {
		got, err := access.ParseVerbs(v.String())
		require.NoError(t, err)
		require.Equal(t, v, got)
	}
	for _, text := range []string{"", "read+", "reads", "verbs(0)", access.Verbs(64).String()} {
		_, err := access.ParseVerbs(text)
		require.ErrorIs(t, err, access.ErrInvalid, text)
	}
	require.Equal(t, "op(20)", access.Op(20).String())
	require.Equal(t, "copy to", access.OpCopyTo.String())
}

func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		rules := []access.Rule{allow(alice(), access.Read, "agent:a", "*")}
		for i := range n {
			rules = append(rules, allow(alice(), access.Read, fmt.Sprint("user:u", i), "*"),
				allow(access.Subject{Principal: access.Principal(fmt.Sprint("p", i))}, access.Read, "**", "*"))
		}
		p, _ := policy(b, nil, rules...)
		b.Run(fmt.Sprint(2*n+1, "-rules"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.Check(asks(access.OpGet, scope.Agent("a"), "plan")) != nil {
					b.Fatal("denied")
				}
			}
		})
	}
}
