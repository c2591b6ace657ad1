// Hook integration: other parts of a program follow the state. An index of words is kept by a hook
// on the queue; one that fails is counted, and switched off for a while by its breaker.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := state.OpenMemory(&state.Options{Hooks: hook.Options{
		Workers: 2, QueueLen: 1000, WhenFull: hook.Block, // writers wait for room; hook.Drop counts what it drops
	}})
	if err != nil {
		return err
	}
	defer store.Close() // after-hooks are told of what is in the queue first
	words := store.Scope(scope.Custom("words"))
	if err := register(store, words); err != nil {
		return err
	}

	agent := store.Scope(scope.Agent("writer"))
	for _, text := range []string{"buy tea", "drink tea", "drink more tea"} {
		if err := agent.Set(ctx, "note:1", text); err != nil {
			return err
		}
	}
	if err := store.Hooks().Drain(ctx); err != nil { // only to see what they have done
		return err
	}
	for word, err := range words.All(ctx, "") {
		if err != nil {
			return err
		}
		fmt.Println(word.Key, "in", word.Value)
	}

	// A validator that cannot answer lets nothing pass; one that is advisory lets it.
	err = store.Set(ctx, scope.User("ann"), "address", "Main Street 1")
	var failed *hook.CallError
	fmt.Println("refused:", errors.As(err, &failed), "-", err)
	if err := store.Set(ctx, scope.User("ann"), "city", "Bern"); err != nil {
		return err
	}
	for _, h := range store.Hooks().Metrics().Hooks {
		fmt.Printf("%-16s calls: %d failures: %d refused: %d breaker: %s\n", h.Name, h.Calls, h.Failures, h.Refused, h.Breaker)
	}
	return nil
}

// register adds the hooks: the index, a search engine that is down, and two validators that ask a
// service that is down.
func register(store *state.Store, words *state.Scope) error {
	down := errors.New("the service is down")
	for _, h := range []hook.Hook{
		{
			Name: "index words", Points: []hook.Point{hook.AfterSet, hook.AfterDelete}, Scopes: "agent:*", Keys: "note:*", Values: true,
			After: func(ctx context.Context, ev hook.Event) error { return index(ctx, words, ev) },
		},
		{
			Name: "tell search", Points: []hook.Point{hook.AfterSet}, Scopes: "agent:*", Priority: hook.Low,
			Timeout: time.Second, Breaker: hook.Breaker{Window: 2, Failures: 2, OpenFor: time.Hour},
			After: func(context.Context, hook.Event) error { return down },
		},
		{
			Name: "check address", Points: []hook.Point{hook.BeforeSet}, Scopes: "user:*", Keys: "address",
			Before: func(context.Context, *hook.Change) error { return down },
		},
		{
			Name: "check city", Points: []hook.Point{hook.BeforeSet}, Scopes: "user:*", Keys: "city", Advisory: true,
			Before: func(context.Context, *hook.Change) error { return down },
		},
	} {
		if err := store.Hooks().Register(h); err != nil {
			return err
		}
	}
	return nil
}

// index makes the words of a note those that it has now. Events of one key come one after another.
func index(ctx context.Context, words *state.Scope, ev hook.Event) error {
	if old, ok := ev.Values.Old.(string); ok {
		if _, err := words.DeleteMany(ctx, strings.Fields(old)); err != nil {
			return err
		}
	}
	places := map[string]any{}
	if text, ok := ev.Values.New.(string); ok {
		for _, word := range strings.Fields(text) {
			places[word] = ev.Key
		}
	}
	return words.SetMany(ctx, places)
}
