package access_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/scope"
)

var background = context.Background()

func TestRulesThatCannotBeAreRefused(t *testing.T) {
	rules := &access.Rules{}
	good := allow(alice(), access.Read, "agent:*", "*")
	for name, spoil := range map[string]func(*access.Rule){
		"no subject":     func(r *access.Rule) { r.Subject = access.Subject{} },
		"two subjects":   func(r *access.Rule) { r.Subject.Role = "r" },
		"long name":      func(r *access.Rule) { r.Subject.Principal = access.Principal(strings.Repeat("a", 129)) },
		"control in it":  func(r *access.Rule) { r.Subject.Principal = "a\nb" },
		"no UTF-8":       func(r *access.Rule) { r.Subject.Principal = "\xff" },
		"effect":         func(r *access.Rule) { r.Effect = 2 },
		"no verbs":       func(r *access.Rule) { r.Verbs = 0 },
		"unknown verb":   func(r *access.Rule) { r.Verbs = 32 },
		"no scopes":      func(r *access.Rule) { r.Scopes = "" },
		"kind of scope":  func(r *access.Rule) { r.Scopes = "agents:*" },
		"no keys":        func(r *access.Rule) { r.Keys = "" },
		"escape in keys": func(r *access.Rule) { r.Keys = `a\b` },
		"keys not UTF-8": func(r *access.Rule) { r.Keys = "\xff*" },
		"long keys":      func(r *access.Rule) { r.Keys = strings.Repeat("a", 1025) },
		"long scopes":    func(r *access.Rule) { r.Scopes = "agent:" + strings.Repeat("a", 1025) },
		"far expiry":     func(r *access.Rule) { r.Expires = time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		r := good
		spoil(&r)
		_, err := rules.Grant(r)
		require.ErrorIs(t, err, access.ErrInvalid, name)
	}
	require.ErrorIs(t, rules.Join("", alice()), access.ErrInvalid)
	require.ErrorIs(t, rules.Join("r", access.Subject{}), access.ErrInvalid)
	require.ErrorIs(t, rules.Leave("r", alice()), access.ErrUnknown)
	require.ErrorIs(t, rules.Revoke(1), access.ErrUnknown)
	require.Empty(t, rules.All())
	_, err := access.NewPolicy(rules, nil)
	require.ErrorIs(t, err, access.ErrInvalid)
}

func TestRolesAreNotMembersOfThemselves(t *testing.T) {
	rules := &access.Rules{}
	require.ErrorIs(t, rules.Join("a", role("a")), access.ErrCycle)
	require.NoError(t, rules.Join("a", role("b")))
	require.NoError(t, rules.Join("b", role("c")))
	require.NoError(t, rules.Join("a", role("c")))
	require.ErrorIs(t, rules.Join("c", role("a")), access.ErrCycle)
	require.NoError(t, rules.Join("a", role("b")), "once more")
	require.Len(t, rules.Memberships(), 3)
	require.NoError(t, rules.Leave("b", role("c")))
	require.NoError(t, rules.Leave("a", role("c")))
	require.NoError(t, rules.Join("c", role("a")))
}

func TestOnlyAnAdminChangesRules(t *testing.T) {
	store := &access.Memory{}
	k, err := access.Create(background, store, "root", fixed)
	require.NoError(t, err)
	_, err = access.Create(background, store, "root", fixed)
	require.ErrorIs(t, err, access.ErrExists)
	add := func(r access.Rule) func(*access.Rules) error {
		return func(rules *access.Rules) error { _, err := rules.Grant(r); return err }
	}
	// Admin of some scopes or keys is none of the rules.
	v, err := k.Change(background, "root", 1, func(rules *access.Rules) error {
		for _, r := range []access.Rule{allow(alice(), access.AllVerbs, "agent:*", "*"), allow(alice(), access.AllVerbs, "**", "a*")} {
			if _, err := rules.Grant(r); err != nil {
				return err
			}
		}
		return rules.Join("staff", alice())
	})
	require.NoError(t, err)
	require.EqualValues(t, 2, v)
	var denied *access.AccessError
	_, err = k.Change(background, "alice", 2, add(allow(alice(), access.AllVerbs, "**", "*")))
	require.True(t, errors.As(err, &denied))
	_, err = k.Change(background, "root", 1, add(allow(alice(), access.AllVerbs, "**", "*")))
	require.ErrorIs(t, err, access.ErrConflict)
	stop := errors.New("stop")
	_, err = k.Change(background, "root", 2, func(rules *access.Rules) error {
		return errors.Join(rules.Revoke(1), stop)
	})
	require.ErrorIs(t, err, stop)
	require.EqualValues(t, 2, k.Policy().Version(), "nothing has changed")
	require.Len(t, k.Policy().Rules().All(), 3)
	again, err := access.Open(background, store, fixed)
	require.NoError(t, err)
	require.Equal(t, k.Policy().Rules(), again.Policy().Rules())
}

func TestTheLastAdminStays(t *testing.T) {
	k, err := access.Create(background, &access.Memory{}, "root", fixed)
	require.NoError(t, err)
	soon := allow(alice(), access.AllVerbs, "**", "*")
	soon.Expires = noon.Add(time.Hour)
	ban := deny(role("all"), access.Admin, "agent:a", "k")
	ban.Expires = noon.Add(time.Hour)
	for name, edit := range map[string]func(*access.Rules) error{
		"revoked": func(r *access.Rules) error { return r.Revoke(1) },
		"one who expires": func(r *access.Rules) error {
			_, err := r.Grant(soon)
			return errors.Join(err, r.Revoke(1))
		},
		"a role without members": func(r *access.Rules) error {
			_, err := r.Grant(allow(role("empty"), access.AllVerbs, "**", "*"))
			return errors.Join(err, r.Revoke(1))
		},
		"denied": func(r *access.Rules) error {
			_, err := r.Grant(ban)
			return errors.Join(err, r.Join("all", access.Subject{Principal: "root"}))
		},
	} {
		_, err := k.Change(background, "root", 1, edit)
		require.ErrorIs(t, err, access.ErrNoAdmin, name)
	}
	_, err = k.Change(background, "root", 1, func(r *access.Rules) error {
		_, err := r.Grant(allow(role("admins"), access.Admin, "**", "*"))
		return errors.Join(err, r.Join("admins", alice()), r.Revoke(1))
	})
	require.NoError(t, err, "another one is left")
	rules := k.Policy().Rules()
	id, err := rules.Grant(soon)
	require.NoError(t, err)
	require.EqualValues(t, 3, id, "ids are not used again")
}

// failing is a store that fails when asked to.
type failing struct {
	access.Memory
	err error
}

func (f *failing) Save(ctx context.Context, base access.Version, p []byte) (bool, error) {
	if f.err != nil {
		return false, f.err
	}
	return f.Memory.Save(ctx, base, p)
}

func (f *failing) Load(ctx context.Context) (access.Version, []byte, error) {
	if f.err != nil {
		return 0, nil, f.err
	}
	return f.Memory.Load(ctx)
}

func TestKeepersOfOneStoreDoNotOverwriteEachOther(t *testing.T) {
	store := &failing{}
	_, err := access.Open(background, store, fixed)
	require.ErrorIs(t, err, access.ErrNoRules)
	one, err := access.Create(background, store, "root", fixed)
	require.NoError(t, err)
	two, err := access.Open(background, store, fixed)
	require.NoError(t, err)
	join := func(r *access.Rules) error { return r.Join("staff", alice()) }
	_, err = one.Change(background, "root", 1, join)
	require.NoError(t, err)
	_, err = two.Change(background, "root", 1, func(r *access.Rules) error { return r.Join("other", alice()) })
	require.ErrorIs(t, err, access.ErrConflict)
	require.EqualValues(t, 2, two.Policy().Version(), "what the other wrote was taken over")
	store.err = errors.New("no space")
	_, err = two.Change(background, "root", 2, join)
	require.ErrorIs(t, err, store.err)
	require.ErrorIs(t, two.Reload(background), store.err)
	_, err = access.Create(background, store, "root", fixed)
	require.ErrorIs(t, err, store.err)
	require.EqualValues(t, 2, two.Policy().Version())
	store.err = nil
	var changes sync.WaitGroup
	done := make([]int, 2)
	for i, k := range []*access.Keeper{one, two} {
		changes.Go(func() {
			for done[i] < 20 {
				_, err := k.Change(background, "root", k.Policy().Version(), func(r *access.Rules) error {
					_, err := r.Grant(allow(alice(), access.Read, "global", fmt.Sprint(i, done[i])))
					return err
				})
				if err == nil {
					done[i]++
				} else if !errors.Is(err, access.ErrConflict) {
					t.Error(err)
					return
				}
				_ = k.Policy().Check(asks(access.OpGet, scope.Global(), "k"))
			}
		})
	}
	changes.Wait()
	require.NoError(t, one.Reload(background))
	require.Len(t, one.Policy().Rules().All(), 41)
	require.EqualValues(t, 42, one.Policy().Version())
}

func TestFiltersAreFreshUntilSomethingChanges(t *testing.T) {
	now := noon
	k, err := access.Create(background, &access.Memory{}, "root", func() time.Time { return now })
	require.NoError(t, err)
	scan := access.Request{Principal: "root", Op: access.OpScan, Scope: scope.Global()}
	f, err := k.Policy().Filter(scan)
	require.NoError(t, err)
	require.True(t, k.Fresh(f))
	_, err = k.Change(background, "root", 1, func(r *access.Rules) error {
		rule := deny(access.Subject{Principal: "root"}, access.Read, "global", "x*")
		rule.Expires = noon.Add(time.Minute)
		_, err := r.Grant(rule)
		return err
	})
	require.NoError(t, err)
	require.False(t, k.Fresh(f))
	f, err = k.Policy().Filter(scan)
	require.NoError(t, err)
	require.False(t, f.Allows("x1"))
	now = noon.Add(time.Minute - 1)
	require.True(t, k.Fresh(f))
	now = noon.Add(time.Minute)
	require.False(t, k.Fresh(f))
	f, err = k.Policy().Filter(scan)
	require.NoError(t, err)
	require.True(t, f.Allows("x1"))
	require.True(t, k.Fresh(f))
}

// sample returns rules of every shape, as a store has them.
func sample(t testing.TB) []byte {
	store := &access.Memory{}
	k, err := access.Create(background, store, "root", fixed)
	require.NoError(t, err)
	_, err = k.Change(background, "root", 1, func(r *access.Rules) error {
		expiring := deny(role("staff"), access.Write|access.Delete, `workflow:w\:1:step:*`, "config:*")
		expiring.Expires = time.Unix(1_700_000_000, 123_456_789)
		_, err := r.Grant(allow(alice(), access.Read, "global", "gone"))
		_, err2 := r.Grant(expiring)
		return errors.Join(err, err2, r.Revoke(2), r.Join("staff", alice()), r.Join("staff", role("interns")))
	})
	require.NoError(t, err)
	_, p, err := store.Load(background)
	require.NoError(t, err)
	return p
}

func TestRulesEncodeAsTheirPageSays(t *testing.T) {
	p := sample(t)
	golden.Assert(t, "testdata/rules.txt", []byte(hex.EncodeToString(p)+"\n"))
	rules, err := access.Decode(p)
	require.NoError(t, err)
	require.Equal(t, p, access.Encode(nil, rules))
	require.EqualValues(t, 3, rules.All()[1].ID)
	for n := range p {
		_, err := access.Decode(p[:n])
		require.ErrorIs(t, err, access.ErrMalformed, "%d bytes", n)
	}
	_, err = access.Decode(append(bytes.Clone(p), 0))
	require.ErrorIs(t, err, access.ErrMalformed)
	_, err = access.Decode([]byte{2})
	require.ErrorIs(t, err, access.ErrTooNew)
	_, err = access.Decode([]byte{0})
	require.ErrorIs(t, err, access.ErrMalformed)
	// a in b, b in a
	cycle := []byte("\x01\x01\x00\x02\x01a\x02\x01b\x01b\x02\x01a\x00")
	_, err = access.Decode(cycle)
	require.ErrorIs(t, err, access.ErrCycle)
	require.ErrorIs(t, err, access.ErrMalformed)
	unsorted := []byte("\x01\x01\x00\x02\x01b\x01\x01x\x01a\x01\x01x\x00")
	_, err = access.Decode(unsorted)
	require.ErrorContains(t, err, "out of order")
}

func TestAStoreOfOtherRulesIsNotBelieved(t *testing.T) {
	store := &access.Memory{}
	_, err := store.Save(background, 0, sample(t)) // of version 2, as 1
	require.NoError(t, err)
	_, err = access.Open(background, store, fixed)
	require.ErrorIs(t, err, access.ErrMalformed)
}

// Whatever is accepted encodes to the same bytes, and can be compiled.
func FuzzDecode(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte("\x01\x01\x00\x02\x01a\x02\x01b\x01b\x02\x01a\x00"))
	f.Fuzz(func(t *testing.T, p []byte) {
		rules, err := access.Decode(p)
		if err != nil {
			if !errors.Is(err, access.ErrMalformed) && !errors.Is(err, access.ErrTooNew) {
				t.Fatal(err)
			}
			return
		}
		require.Equal(t, p, access.Encode(nil, rules))
		_, err = access.NewPolicy(rules, fixed)
		require.NoError(t, err)
	})
}

func Example() {
	ctx := context.Background()
	k, err := access.Create(ctx, &access.Memory{}, "root", time.Now)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = k.Change(ctx, "root", k.Policy().Version(), func(r *access.Rules) error {
		_, err := r.Grant(access.Rule{
			Subject: access.Subject{Role: "planners"}, Verbs: access.Read | access.List,
			Scopes: "agent:*", Keys: "plan:*",
		})
		if err != nil {
			return err
		}
		return r.Join("planners", access.Subject{Principal: "alice"})
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := k.Policy()
	fmt.Println(p.Check(access.Request{Principal: "alice", Op: access.OpGet, Scope: scope.Agent("a1"), Key: "plan:1"}))
	fmt.Println(p.Check(access.Request{Principal: "alice", Op: access.OpSet, Scope: scope.Agent("a1"), Key: "plan:1"}))
	f, err := p.Filter(access.Request{Principal: "alice", Op: access.OpScan, Scope: scope.Agent("a1")})
	fmt.Println(f.Covers("plan:"), f.Covers("config:"), f.Allows("plan:2"), err)
	// Output:
	// <nil>
	// access: alice may not set key "plan:1" of scope agent:a1
	// all none true <nil>
}
