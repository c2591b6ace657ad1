// Memory backend: the whole store in memory, for tests and for state that may go with the process.
package main

import (
	"context"
	"errors"
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
	store, err := state.OpenMemory(&state.Options{
		Engine: &state.EngineOptions{MemoryBudget: 32 << 20}, // of caches and buffers
	})
	if err != nil {
		return err
	}
	if err := countWords(ctx, store, "to be or not to be"); err != nil {
		return err
	}
	for e, err := range store.Scope(scope.Tool("words")).All(ctx, "") {
		if err != nil {
			return err
		}
		fmt.Println(e.Key, e.Value)
	}
	if err := store.Close(); err != nil {
		return err
	}

	_, err = store.Get(ctx, scope.Tool("words"), "be")
	fmt.Println("closed:", errors.Is(err, state.ErrClosed))
	again, err := state.OpenMemory(nil)
	if err != nil {
		return err
	}
	defer again.Close()
	_, err = again.Get(ctx, scope.Tool("words"), "be")
	fmt.Println("nothing is left:", errors.Is(err, state.ErrNotFound))
	return nil
}

// countWords is what a test would test: it does not know where the store keeps things.
func countWords(ctx context.Context, store *state.Store, text string) error {
	words := store.Scope(scope.Tool("words"))
	word := ""
	for _, r := range text + " " {
		if r != ' ' {
			word += string(r)
			continue
		}
		if _, err := words.Increment(ctx, word, 1); err != nil {
			return err
		}
		word = ""
	}
	return nil
}
