package state_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

// Hooks that change and forbid what is written.
func ExampleStore_Hooks() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	for _, h := range []hook.Hook{
		{Name: "trim", Points: []hook.Point{hook.BeforeSet}, Scopes: "user:*", Keys: "name", Priority: hook.High,
			Before: func(_ context.Context, c *hook.Change) error {
				v, err := c.Value()
				if name, ok := v.(string); ok {
					c.Replace(strings.TrimSpace(name))
				}
				return err
			}},
		{Name: "no empty names", Points: []hook.Point{hook.BeforeSet}, Scopes: "user:*", Keys: "name",
			Before: func(_ context.Context, c *hook.Change) error {
				if v, err := c.Value(); err != nil || v != "" {
					return err
				}
				return hook.Veto("a name cannot be empty")
			}},
	} {
		if err := store.Hooks().Register(h); err != nil {
			log.Fatal(err)
		}
	}
	user := store.Scope(scope.User("7"))
	fmt.Println(user.Set(ctx, "name", " Ann "))
	fmt.Println(user.Get(ctx, "name"))
	err := user.Set(ctx, "name", "  ")
	fmt.Println(err)
	var veto *hook.VetoError
	fmt.Println(errors.As(err, &veto), veto.Hook)
	fmt.Println(user.Get(ctx, "name"))
	// Output:
	// <nil>
	// Ann <nil>
	// set user:7 "name": hook: no empty names vetoes the change: a name cannot be empty
	// true no empty names
	// Ann <nil>
}

// Another part of a program, an index of words here, that follows what changes: its hook runs on the
// queue, behind the write.
func ExampleStore_Hooks_integration() {
	ctx := context.Background()
	store := memory()
	defer store.Close()
	err := store.Hooks().Register(hook.Hook{
		Name: "index words", Points: []hook.Point{hook.AfterSet, hook.AfterDelete}, Scopes: "agent:*", Keys: "note:*", Values: true,
		After: func(ctx context.Context, ev hook.Event) error {
			index := store.Scope(scope.Custom("words"))
			for _, word := range strings.Fields(fmt.Sprint(ev.Values.Old)) {
				if _, err := index.Delete(ctx, word); err != nil {
					return err
				}
			}
			if !ev.Values.HasNew {
				return nil
			}
			for _, word := range strings.Fields(fmt.Sprint(ev.Values.New)) {
				if err := index.Set(ctx, word, ev.Key); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	agent := store.Scope(scope.Agent("writer"))
	if err := agent.Set(ctx, "note:1", "buy tea"); err != nil {
		log.Fatal(err)
	}
	if err := agent.Set(ctx, "note:1", "drink tea"); err != nil {
		log.Fatal(err)
	}
	if err := store.Hooks().Drain(ctx); err != nil { // only to see what it has done
		log.Fatal(err)
	}
	for word, err := range store.Scope(scope.Custom("words")).All(ctx, "") {
		fmt.Println(word.Key, word.Value, err)
	}
	m := store.Hooks().Metrics().Hooks[0]
	fmt.Println(m.Name, m.Calls, m.Failures)
	// Output:
	// drink note:1 <nil>
	// tea note:1 <nil>
	// index words 2 0
}

// What has happened for one request, and what it has set off, from the timeline.
func ExampleStore_Timeline() {
	ctx := context.Background()
	store, err := state.OpenMemory(&state.Options{Timeline: &state.TimelineOptions{RecordValues: true}})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	err = store.Hooks().Register(hook.Hook{
		Name: "count orders", Points: []hook.Point{hook.AfterSet}, Keys: "order:*",
		After: func(ctx context.Context, ev hook.Event) error {
			_, err := store.Increment(ctx, ev.Scope, "orders", 1)
			return err
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	request, err := hook.WithCorrelation(ctx, "request-17")
	if err != nil {
		log.Fatal(err)
	}
	user := store.Scope(scope.User("ann"))
	if err := user.Set(request, "order:1", "tea"); err != nil {
		log.Fatal(err)
	}
	if err := user.Set(ctx, "theme", "dark"); err != nil {
		log.Fatal(err)
	}
	if err := store.Hooks().Drain(ctx); err != nil {
		log.Fatal(err)
	}
	for ev, err := range store.Timeline().ByCorrelation(ctx, "request-17", timeline.Range{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Op, ev.Scope, ev.Key, ev.Values.New)
		causes, err := store.Timeline().Causes(ctx, ev.ID)
		if err != nil {
			log.Fatal(err)
		}
		for _, cause := range causes {
			fmt.Println("  because of", cause.Op, cause.Key)
		}
	}
	// Output:
	// set user:ann order:1 tea
	// set user:ann orders 1
	//   because of set order:1
}

// Hooks of today on changes of the past: what would they have made of them?
func ExampleStore_Timeline_replay() {
	ctx := context.Background()
	store, err := state.OpenMemory(&state.Options{Timeline: &state.TimelineOptions{RecordValues: true}})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	for key, price := range map[string]int{"tea": 3, "diamond": 9000} {
		if err := store.Set(ctx, scope.Custom("prices"), key, price); err != nil {
			log.Fatal(err)
		}
	}
	err = store.Hooks().Register(hook.Hook{
		Name: "no luxury", Points: []hook.Point{hook.BeforeSet}, Scopes: "custom:prices",
		Before: func(_ context.Context, c *hook.Change) error {
			if v, err := c.Value(); err != nil || v.(int64) < 1000 {
				return err
			}
			return hook.Veto("too dear")
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	report, err := store.Timeline().Replay(ctx, store.Hooks(), timeline.Replay{Simulate: true})
	fmt.Println(report.Events, report.Vetoed, err)
	// Output:
	// 2 1 <nil>
}
