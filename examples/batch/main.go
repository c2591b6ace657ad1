// Batch operations: many keys in one commit, many reads of one moment, pages of a long list.
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
	store, err := state.OpenMemory(nil)
	if err != nil {
		return err
	}
	defer store.Close()
	agent := store.Scope(scope.Agent("reader"))

	// Write many: all of them or none.
	docs := map[string]any{}
	for i := range 1000 {
		docs[fmt.Sprintf("doc/%04d", i)] = map[string]any{"n": i, "read": false}
	}
	if err := agent.SetMany(ctx, docs); err != nil {
		return err
	}
	err = agent.SetMany(ctx, map[string]any{"doc/1000": "fine", "doc/1001": make(chan int)})
	fmt.Println(errors.Is(err, state.ErrType), err)
	there, err := agent.Has(ctx, "doc/1000")
	fmt.Println("half a batch:", there, err)

	// Read many: as of one moment. What is not there is not in the answer.
	some, err := agent.GetMany(ctx, "doc/0001", "doc/0999", "doc/9999")
	if err != nil {
		return err
	}
	fmt.Println("read:", len(some), some["doc/0999"])

	if err := pages(ctx, agent); err != nil {
		return err
	}

	// Change many, over several scopes, in one commit: a transaction.
	err = store.Transact(ctx, func(tx *state.Txn) error {
		read, done := tx.Scope(scope.Agent("reader")), tx.Scope(scope.Workflow("nightly"))
		for i := range 10 {
			if _, err := read.Patch(ctx, fmt.Sprintf("doc/%04d", i), map[string]any{"read": true}); err != nil {
				return err
			}
		}
		_, err := done.Increment(ctx, "read", 10)
		return err
	})
	if err != nil {
		return err
	}
	doc, err := agent.Get(ctx, "doc/0009")
	fmt.Println("changed:", doc, err)

	// Delete many: it says how many there were. All of them: drop the scope.
	removed, err := agent.DeleteMany(ctx, []string{"doc/0000", "doc/0001", "doc/9999"})
	if err != nil {
		return err
	}
	if err := agent.Drop(ctx); err != nil {
		return err
	}
	stats, err := agent.Stats(ctx)
	fmt.Println("removed:", removed, "left after the drop:", stats.Entries, err)
	return nil
}

// pages reads a long list by pages, for somebody who turns them slowly.
func pages(ctx context.Context, agent *state.Scope) error {
	n, entries := 0, 0
	for o := (state.ListOptions{Prefix: "doc/", Limit: 300}); ; {
		page, err := agent.List(ctx, o)
		if err != nil {
			return err
		}
		n, entries = n+1, entries+len(page.Entries)
		if o.After = page.Next; o.After == "" {
			break
		}
	}
	fmt.Println("pages:", n, "entries:", entries)
	return nil
}
