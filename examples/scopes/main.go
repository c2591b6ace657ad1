// Scopes: a space of keys for each user, session, agent, tool and workflow, and what can be done
// to a scope as a whole.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := state.OpenMemory(nil)
	if err != nil {
		return err
	}
	defer store.Close()

	// One key, many scopes. Names are never joined: an agent called a:b is not the key b of agent a.
	for _, s := range []scope.Scope{
		scope.Global(), scope.User("ann"), scope.Session("s1"), scope.Agent("a"), scope.Agent("a:b"), scope.Tool("search"),
		scope.Workflow("nightly"), scope.Step("nightly", "load"), scope.Hook("audit"), scope.Custom("trial"),
	} {
		if err := store.Set(ctx, s, "name", s.String()); err != nil {
			return err
		}
	}
	for s, err := range store.ListScopes(scope.AnyKind, "") {
		if err != nil {
			return err
		}
		name, err := store.Get(ctx, s, "name")
		if err != nil {
			return err
		}
		fmt.Println(s.Kind(), "-", name)
	}
	parsed, err := scope.Parse(`agent:a\:b`)
	fmt.Println("parsed:", parsed == scope.Agent("a:b"), err)

	if err := inherit(ctx, store); err != nil {
		return err
	}
	return wholeScopes(ctx, store)
}

// inherit shows that a step finds what its workflow has, and everybody what Global has.
func inherit(ctx context.Context, store *state.Store) error {
	if err := store.Set(ctx, scope.Global(), "model", "small"); err != nil {
		return err
	}
	if err := store.Set(ctx, scope.Workflow("nightly"), "model", "large"); err != nil {
		return err
	}
	for _, s := range []scope.Scope{scope.Step("nightly", "load"), scope.Agent("a")} {
		model, from, err := store.GetInherited(ctx, s, "model")
		if err != nil {
			return err
		}
		fmt.Println(s, "uses model", model, "of", from)
	}
	return nil
}

// wholeScopes counts, forks, moves and drops.
func wholeScopes(ctx context.Context, store *state.Store) error {
	agent := store.Scope(scope.Agent("planner"))
	if err := agent.SetMany(ctx, map[string]any{"goal": "report", "step": 1}); err != nil {
		return err
	}
	stats, err := agent.Stats(ctx)
	if err != nil {
		return err
	}
	fmt.Println("entries:", stats.Entries, "exact:", stats.Exact)

	trial, err := agent.Fork(ctx, scope.Agent("planner-2")) // to try something on
	if err != nil {
		return err
	}
	if err := trial.Set(ctx, "goal", "poem"); err != nil {
		return err
	}
	if err := agent.Move(ctx, scope.Agent("retired")); err != nil { // another name, at once
		return err
	}
	if err := trial.Drop(ctx); err != nil { // gone, at once, whatever it held
		return err
	}
	for s, err := range store.ListScopes(scope.KindAgent, "") {
		if err != nil {
			return err
		}
		fmt.Println("left:", s)
	}
	goal, err := store.Get(ctx, scope.Agent("retired"), "goal")
	fmt.Println("goal of the retired:", goal, err)
	return nil
}
