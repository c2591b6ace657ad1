// Fast path: a class says how much is done for a value on its way into the store. Trusted values
// are not looked at and do not wait for the device, Ephemeral ones stay in memory.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync/atomic"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := state.OpenMemory(&state.Options{
		ScopeClasses: []state.ScopeClass{{Scopes: "tool:*", Class: state.Trusted}}, // the default of some scopes
		InferClass:   true,                                                         // cache:… is Ephemeral, and others
		Privacy:      []state.Privacy{{Scopes: "**", Policy: privacy.Policy{Default: privacy.Redact}}},
	})
	if err != nil {
		return err
	}
	defer store.Close()
	var looked atomic.Int64
	err = store.Hooks().Register(hook.Hook{
		Name: "look", Points: []hook.Point{hook.BeforeSet},
		Before: func(context.Context, *hook.Change) error { looked.Add(1); return nil },
	})
	if err != nil {
		return err
	}

	// The class of a call counts first, then that of the key's name, then that of the scope.
	agent, tool := store.Scope(scope.Agent("a1")), store.Scope(scope.Tool("search"))
	for _, w := range []struct {
		in   *state.Scope
		key  string
		opts []state.Option
	}{
		{agent, "standard", nil},
		{agent, "trusted", []state.Option{state.WithClass(state.Trusted)}},
		{agent, "external", []state.Option{state.WithClass(state.External)}},
		{agent, "cache:page", nil},
		{tool, "calls", nil},
	} {
		before := looked.Load()
		if err := w.in.Set(ctx, w.key, "by ann@example.org", w.opts...); err != nil {
			return err
		}
		value, meta, err := w.in.GetWithMeta(ctx, w.key) // read like any other, whatever the class
		if err != nil {
			return err
		}
		fmt.Printf("%-11s %-10s hooks: %-6t %v\n", w.key, meta.Class, looked.Load() > before, value)
	}

	// Counters without a read: one that many raise.
	for range 1000 {
		if err := tool.IncrementBlind(ctx, "hits", 1); err != nil {
			return err
		}
	}
	hits, err := state.Get[int](ctx, tool, "hits")
	fmt.Println("hits:", hits, err)

	// Ephemeral values have a place of their own, and make room for each other.
	m := store.Metrics()
	fmt.Println("ephemeral:", m.Ephemeral, "evicted:", m.Evicted)

	// What comes from outside may be a sixteenth as long.
	err = agent.Set(ctx, "upload", strings.Repeat("x", 2<<20), state.WithClass(state.External))
	fmt.Println("too large:", errors.Is(err, state.ErrTooLarge))
	return nil
}
