// Access control: principals, roles, rules that allow and deny, an audit of what was denied, and the
// reason for an answer.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := state.OpenMemory(&state.Options{Access: &state.AccessOptions{Admin: "root"}})
	if err != nil {
		return err
	}
	defer store.Close()
	root := store.As("root")
	if err := grant(ctx, root); err != nil {
		return err
	}

	// Everybody works through a view of his own, which asks before it does anything.
	planner := scope.Agent("planner")
	alice := store.As("alice").Scope(planner)
	fmt.Println("alice sets plan:", alice.Set(ctx, "plan", "write"))
	show(alice.Set(ctx, "config:model", "large"))
	_, err = store.As("mallory").Scope(planner).Get(ctx, "plan")
	show(err)
	show(store.Set(ctx, planner, "plan", "nobody's")) // the store itself is nobody's
	err = store.As("bob").Transact(ctx, func(tx *state.Txn) error {
		_, err := tx.Scope(planner).Increment(ctx, "steps", 1)
		return err
	})
	show(err)

	// A list shows what its reader may see.
	if err := root.Scope(scope.User("carol")).Set(ctx, "theme", "dark"); err != nil {
		return err
	}
	for s, err := range store.As("alice").ListScopes(scope.AnyKind, "") {
		if err != nil {
			return err
		}
		fmt.Println("alice sees", s)
	}

	for r, err := range root.Audit(ctx, audit.Query{Verdict: audit.OnlyDenied}) {
		if err != nil {
			return err
		}
		fmt.Printf("denied: %q %s %s %s, rule %d\n", r.Principal, r.Op, r.Scope, r.Key, r.Rule)
	}
	why, err := root.Explain(ctx, access.Request{Principal: "alice", Op: access.OpSet, Scope: planner, Key: "config:model"})
	if err != nil {
		return err
	}
	fmt.Print(why)
	return nil
}

// grant says who may do what: planners work with agents, but for their configuration; bob reads for
// an hour.
func grant(ctx context.Context, root *state.View) error {
	rules, err := root.Rules(ctx)
	if err != nil {
		return err
	}
	_, err = root.ChangeRules(ctx, rules.Version(), func(r *access.Rules) error {
		planners, bob := access.Subject{Role: "planners"}, access.Subject{Principal: "bob"}
		for _, rule := range []access.Rule{
			{Subject: planners, Verbs: access.Read | access.Write | access.List, Scopes: "agent:*", Keys: "*"},
			{Subject: planners, Effect: access.Deny, Verbs: access.Write, Scopes: "agent:*", Keys: "config:*"},
			{Subject: bob, Verbs: access.Read, Scopes: "agent:planner", Keys: "*", Expires: time.Now().Add(time.Hour)},
			{Subject: access.Subject{Principal: "root"}, Verbs: access.Read | access.Write, Scopes: "**", Keys: "*"},
		} {
			if _, err := r.Grant(rule); err != nil {
				return err
			}
		}
		return r.Join("planners", access.Subject{Principal: "alice"})
	})
	return err
}

func show(err error) {
	var denied *access.AccessError
	fmt.Println("denied:", errors.As(err, &denied), "-", err)
}
