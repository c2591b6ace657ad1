// State hooks: functions of yours that run before a change, where they may replace or forbid it,
// and after it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// hooks run by priority: what trims comes before what judges.
var hooks = []hook.Hook{
	{
		Name: "trim names", Points: []hook.Point{hook.BeforeSet}, Scopes: "user:*", Keys: "name", Priority: hook.High,
		Before: func(_ context.Context, c *hook.Change) error {
			v, err := c.Value()
			if name, ok := v.(string); ok {
				c.Replace(strings.TrimSpace(name))
			}
			return err
		},
	},
	{
		Name: "no empty names", Points: []hook.Point{hook.BeforeSet}, Scopes: "user:*", Keys: "name",
		Before: func(_ context.Context, c *hook.Change) error {
			if v, err := c.Value(); err != nil || v != "" {
				return err
			}
			return hook.Veto("a name cannot be empty")
		},
	},
	{
		Name: "plans stay", Points: []hook.Point{hook.BeforeDelete, hook.BeforeClear}, Scopes: "agent:*", Keys: "plan",
		Before: func(context.Context, *hook.Change) error { return hook.Veto("a plan is never deleted") },
	},
	{
		Name: "tell", Points: []hook.Point{hook.AfterSet, hook.AfterDelete}, Values: true,
		Inline: true, // before the write returns; without it, on a queue behind it
		After: func(_ context.Context, ev hook.Event) error {
			fmt.Printf("%s %s %s: %v -> %v\n", ev.Op, ev.Scope, ev.Key, ev.Values.Old, ev.Values.New)
			return nil
		},
	},
}

func run(ctx context.Context) error {
	store, err := state.OpenMemory(nil)
	if err != nil {
		return err
	}
	defer store.Close()
	for _, h := range hooks {
		if err := store.Hooks().Register(h); err != nil {
			return err
		}
	}

	user := store.Scope(scope.User("7"))
	if err := user.Set(ctx, "name", "  Ann "); err != nil {
		return err
	}
	if _, err := user.Increment(ctx, "visits", 1); err != nil {
		return err
	}
	veto(user.Set(ctx, "name", "   "))

	// One veto refuses all of a batch, and of a transaction.
	veto(user.SetMany(ctx, map[string]any{"name": "", "city": "Bern"}))
	has, err := user.Has(ctx, "city")
	if err != nil {
		return err
	}
	fmt.Println("half a batch:", has)

	agent := store.Scope(scope.Agent("planner"))
	if err := agent.Set(ctx, "plan", "cautious"); err != nil {
		return err
	}
	_, err = agent.Delete(ctx, "plan")
	veto(err)
	veto(agent.Drop(ctx))

	// Hooks come and go while the store is in use.
	if err := store.Hooks().Unregister("plans stay"); err != nil {
		return err
	}
	_, err = agent.Delete(ctx, "plan")
	return err
}

func veto(err error) {
	var v *hook.VetoError
	if errors.As(err, &v) {
		fmt.Printf("%s: %s\n", v.Hook, v.Reason)
		return
	}
	fmt.Println("no veto:", err)
}
