package state_test

import (
	"errors"
	"fmt"
	"os"
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

// policy answers as plainly as can be what principals may do: it shares nothing with package access but the
// types, and the table of what each operation needs, which is package access's to test.
type policy struct {
	rules   []access.Rule
	members map[access.Role][]access.Subject
	now     func() time.Time

	about map[access.Principal][]access.Rule // those that are about one, once they were looked for
}

func (p *policy) rulesOf(who access.Principal) []access.Rule {
	rules, ok := p.about[who]
	if !ok {
		for i := range p.rules {
			if p.is(who, p.rules[i].Subject) {
				rules = append(rules, p.rules[i])
			}
		}
		if p.about == nil {
			p.about = map[access.Principal][]access.Rule{}
		}
		p.about[who] = rules
	}
	return rules
}

// is reports whether a principal is a rule's subject.
func (p *policy) is(who access.Principal, s access.Subject) bool {
	return s.Principal == who || s.Role != "" && slices.ContainsFunc(p.members[s.Role], func(m access.Subject) bool { return p.is(who, m) })
}

// like matches a text with a pattern, of which a star is any run of letters.
func like(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		return like(pattern[1:], text) || text != "" && like(pattern, text[1:])
	}
	return text != "" && text[0] == pattern[0] && like(pattern[1:], text[1:])
}

// likeScope matches the scopes that these tests have, none of which is a step.
func likeScope(pattern string, s scope.Scope) bool {
	return pattern == "**" || !strings.Contains(pattern, ":step:") && like(pattern, s.String())
}

// ruled returns the effects on a verb of the rules about a principal and a scope whose pattern of keys is so.
func (p *policy) ruled(who access.Principal, verb access.Verbs, s scope.Scope, keys func(r *access.Rule) bool) (allowed, denied bool) {
	rules := p.rulesOf(who)
	for i := range rules {
		r := &rules[i]
		if r.Verbs&verb == 0 || !likeScope(r.Scopes, s) || !r.Expires.IsZero() && !p.now().Before(r.Expires) || !keys(r) {
			continue
		}
		allowed, denied = allowed || r.Effect == access.Allow, denied || r.Effect == access.Deny
	}
	return allowed, denied
}

// everyVerb reports whether each verb that an operation needs is allowed and not denied.
func (p *policy) everyVerb(who access.Principal, op access.Op, s scope.Scope, keys func(r *access.Rule) bool) bool {
	for verb := access.Read; verb <= access.Admin; verb <<= 1 {
		if op.Needs()&verb == 0 {
			continue
		}
		if allowed, denied := p.ruled(who, verb, s, keys); !allowed || denied {
			return false
		}
	}
	return op.Needs() != 0
}

// key answers for one key.
func (p *policy) key(who access.Principal, op access.Op, s scope.Scope, key string) bool {
	return p.everyVerb(who, op, s, func(r *access.Rule) bool { return like(r.Keys, key) })
}

// whole answers for a whole scope: no key of it may be denied.
func (p *policy) whole(who access.Principal, op access.Op, s scope.Scope) bool {
	return p.everyVerb(who, op, s, func(r *access.Rule) bool { return r.Effect == access.Deny || r.Keys == "*" })
}

// some answers for what shows the keys with a prefix: a rule may be about one of them, and none denies all. The
// patterns of these tests have a star at their end, or none.
func (p *policy) some(who access.Principal, op access.Op, s scope.Scope, prefix string) bool {
	return p.everyVerb(who, op, s, func(r *access.Rule) bool {
		head, open := strings.CutSuffix(r.Keys, "*")
		all := open && strings.HasPrefix(prefix, head)
		if r.Effect == access.Deny {
			return all
		}
		return all || strings.HasPrefix(head, prefix)
	})
}

// door answers for a door.
func (p *policy) door(who access.Principal, d *door, s scope.Scope) bool {
	for _, op := range alsoAsks[d.name] {
		if !p.whole(who, op, s) {
			return false
		}
	}
	switch d.op {
	case access.OpList, access.OpScan, access.OpWatch:
		return p.some(who, d.op, s, d.key)
	case access.OpCopy:
		return p.whole(who, d.op, s) && p.whole(who, access.OpCopyTo, other)
	case access.OpMove:
		return p.whole(who, d.op, s) && p.whole(who, access.OpMoveTo, other)
	case access.OpStats, access.OpDrop, access.OpSettings, access.OpExport, access.OpImport:
		return p.whole(who, d.op, s)
	}
	return p.key(who, d.op, s, d.key)
}

// matrix are the principals of the matrix, each with rules of a kind of their own.
func matrix(r *access.Rules, every int) (all []access.Principal, err error) {
	n := 0
	for _, through := range []string{"self", "role", "role of a role", "somebody else's"} {
		for _, verbs := range []access.Verbs{access.Read, access.Write, access.Delete, access.List, access.Admin, access.Read | access.Write, access.Read | access.List, access.AllVerbs} {
			for _, scopes := range []string{"agent:a1", "agent:*", "**", "user:*", "global"} {
				for _, keys := range []string{"k", "k*", "*", "people/*", "people/k", "x*"} {
					for _, kind := range []string{"allow", "deny", "expired", "denied until now"} {
						if n++; n%every > 0 {
							continue
						}
						who := access.Principal(fmt.Sprintf("p%d", n))
						all = append(all, who)
						subject := access.Subject{Principal: who}
						own := access.Role(fmt.Sprintf("r%d", n))
						switch through {
						case "role":
							err = errors.Join(err, r.Join(own, subject))
							subject = access.Subject{Role: own}
						case "role of a role":
							err = errors.Join(err, r.Join(own, access.Subject{Role: own + "'"}), r.Join(own+"'", subject))
							subject = access.Subject{Role: own}
						case "somebody else's":
							err = errors.Join(err, r.Join(own, access.Subject{Principal: "else"}))
							subject = access.Subject{Role: own}
						}
						rule := access.Rule{Subject: subject, Verbs: verbs, Scopes: scopes, Keys: keys}
						past := time.Now().Add(-time.Hour)
						switch kind {
						case "deny":
							rule.Effect = access.Deny
						case "expired":
							rule.Expires = past
						case "denied until now":
							rule.Effect, rule.Expires = access.Deny, past
						}
						_, failed := r.Grant(rule)
						err = errors.Join(err, failed)
						if rule.Effect == access.Deny {
							_, failed = r.Grant(access.Rule{Subject: access.Subject{Principal: who}, Verbs: access.AllVerbs, Scopes: "**", Keys: "*"})
						} else {
							_, failed = r.Grant(access.Rule{Subject: access.Subject{Principal: who}, Verbs: access.AllVerbs, Scopes: "custom:*", Keys: "*"})
						}
						err = errors.Join(err, failed)
					}
				}
			}
		}
	}
	return all, err
}

// B63: principals, by themselves and in roles, with verbs on patterns of scopes and keys, allowed, denied and
// expired, at every door of the store, live, at a snapshot and in a transaction, are answered as the
// reference says; every denial is recorded, by the rule that has decided, and nothing else.
func TestEveryCellOfTheStoresMatrix(t *testing.T) {
	every := 15
	switch {
	case testing.Short():
		every = 37
	case os.Getenv("LOAM_LONG") != "":
		every = 1
	}
	o := controlled()
	o.NoSync = true
	everywhere(t, o, func(t *testing.T, f *fixture) {
		var all []access.Principal
		change(t, f.Store, func(r *access.Rules) (err error) {
			all, err = matrix(r, every)
			return err
		})
		rules, err := f.As("root").Rules(ctx)
		require.NoError(t, err)
		p := &policy{rules: rules.All(), members: map[access.Role][]access.Subject{}, now: time.Now}
		for _, m := range rules.Memberships() {
			p.members[m.Role] = append(p.members[m.Role], m.Member)
		}
		root := f.As("root").Scope(agent)
		c := people(t, root, byTeam)
		require.NoError(t, c.Set(ctx, "k", person{Team: "red"}))
		require.NoError(t, root.Set(ctx, "k", 1))
		snap, err := f.Snapshot()
		require.NoError(t, err)
		require.NoError(t, snap.Close())
		cells, allowed, denials := 0, 0, map[string]int{}
		for i, who := range all {
			v := f.As(who)
			snap, err := v.Snapshot()
			require.NoError(t, err)
			rolledBack := errors.New("rolled back")
			for j := range doors {
				d := &doors[j]
				var err error
				switch sc := v.Scope(agent); (i + j) % 3 {
				case 0:
					err = d.open(sc, c.In(sc))
				case 1:
					sc = snap.Scope(agent)
					err = d.open(sc, c.In(sc))
				default:
					require.ErrorIs(t, v.Transact(ctx, func(tx *state.Txn) error {
						sc := tx.Scope(agent)
						err = d.open(sc, c.In(sc))
						return rolledBack
					}), rolledBack)
				}
				cells++
				var denied *access.AccessError
				refused := errors.As(err, &denied)
				if want := p.door(who, d, agent); want == refused {
					x, _ := f.As("root").Explain(ctx, access.Request{Principal: who, Op: d.op, Scope: agent, Key: d.key})
					require.Equal(t, want, !refused, "%s at %s: %v\n%v", who, d.name, err, x)
				}
				if !refused {
					allowed++
					continue
				}
				require.Equal(t, who, denied.Principal)
				denials[fmt.Sprint(denied.Principal, denied.Op, denied.Scope, denied.Key)]++
			}
			require.NoError(t, snap.Close())
		}
		require.Greater(t, cells, 2000)
		require.Greater(t, allowed, cells/10)
		require.Greater(t, cells-allowed, cells/3)
		t.Logf("%d cells, %d allowed", cells, allowed)
		for _, r := range records(t, f.Store, audit.Query{Verdict: audit.OnlyDenied}) {
			denials[fmt.Sprint(r.Principal, r.Op, r.Scope, r.Key)]--
			x, err := f.As("root").Explain(ctx, access.Request{Principal: r.Principal, Op: r.Op, Scope: r.Scope, Key: r.Key})
			require.NoError(t, err)
			if !r.Op.Whole() && (r.Op == access.OpList || r.Op == access.OpScan || r.Op == access.OpWatch) {
				continue // Explain answers for one key
			}
			require.Equal(t, x.Decision.Rule, r.Rule)
			require.Equal(t, p.decides(r.Principal, r.Op, r.Scope, r.Key), r.Rule, "%+v", r)
		}
		for what, n := range denials {
			require.Zero(t, n, what)
		}
		_, err = f.As("root").VerifyAudit(ctx)
		require.NoError(t, err)
		require.Zero(t, f.Metrics().AuditDropped)
	})
}

// decides returns the first rule that denies something that is needed.
func (p *policy) decides(who access.Principal, op access.Op, s scope.Scope, key string) access.RuleID {
	for _, rule := range p.rulesOf(who) {
		one := &policy{about: map[access.Principal][]access.Rule{who: {rule}}, now: p.now}
		for verb := access.Read; verb <= access.Admin; verb <<= 1 {
			_, denied := one.ruled(who, op.Needs()&verb, s, func(r *access.Rule) bool { return op.Whole() || like(r.Keys, key) })
			if denied {
				return rule.ID
			}
		}
	}
	return 0
}
