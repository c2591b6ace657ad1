package state_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

// Who may do what, and what is recorded.
func ExampleStore_As() {
	ctx := context.Background()
	store, err := state.OpenMemory(&state.Options{Access: &state.AccessOptions{Admin: "root"}})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	root := store.As("root")
	rules, err := root.Rules(ctx)
	if err != nil {
		log.Fatal(err)
	}
	_, err = root.ChangeRules(ctx, rules.Version(), func(r *access.Rules) error {
		planners := access.Subject{Role: "planners"}
		for _, rule := range []access.Rule{
			{Subject: planners, Verbs: access.Read | access.Write | access.List, Scopes: "agent:*", Keys: "*"},
			{Subject: planners, Effect: access.Deny, Verbs: access.Write, Scopes: "agent:*", Keys: "config:*"},
		} {
			if _, err := r.Grant(rule); err != nil {
				return err
			}
		}
		return r.Join("planners", access.Subject{Principal: "alice"})
	})
	if err != nil {
		log.Fatal(err)
	}

	agent := store.As("alice").Scope(scope.Agent("a1"))
	fmt.Println(agent.Set(ctx, "plan", "write the report"))
	err = agent.Set(ctx, "config:model", "large")
	var denied *access.AccessError
	fmt.Println(errors.As(err, &denied), err)
	_, err = agent.Delete(ctx, "plan")
	fmt.Println(err)

	for r, err := range root.Audit(ctx, audit.Query{Verdict: audit.OnlyDenied}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Seq, r.Principal, r.Op, r.Scope, r.Key, "rule", r.Rule)
	}
	// Output:
	// <nil>
	// true set agent:a1 "config:model": access: alice may not set key "config:model" of scope agent:a1
	// delete agent:a1 "plan": access: alice may not delete key "plan" of scope agent:a1
	// 2 alice set agent:a1 config:model rule 3
	// 3 alice delete agent:a1 plan rule 0
}

// What is personal is protected before it is stored.
func ExamplePrivacy() {
	ctx := context.Background()
	store, err := state.OpenMemory(&state.Options{Privacy: []state.Privacy{{
		Scopes: "user:*",
		Policy: privacy.Policy{Default: privacy.Redact, Modes: map[privacy.Detector]privacy.Mode{
			privacy.Email: privacy.Tokenise,
			privacy.Card:  privacy.Block,
		}},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	user := store.Scope(scope.User("ann"))
	fmt.Println(user.Set(ctx, "note", "ann@example.org called from 192.168.17.23"))
	stored, err := state.Get[string](ctx, user, "note")
	if err != nil {
		log.Fatal(err)
	}
	mark, rest, _ := strings.Cut(stored, "] ")
	fmt.Println(mark[:len("[token:email:")], rest)
	fmt.Println(user.Reveal(ctx, "note"))
	err = user.Set(ctx, "payment", map[string]any{"card": "4111 1111 1111 1111"})
	fmt.Println(errors.Is(err, privacy.ErrBlocked), err)
	// Output:
	// <nil>
	// [token:email: called from [redacted:ipv4]
	// ann@example.org called from [redacted:ipv4] <nil>
	// true set user:ann "payment": privacy: blocked: card at "card"
}
