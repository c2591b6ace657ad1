// High-performance backend: a large budget, compression by S2, and writes that return before they
// are on the device. They survive the process, killed at any instant; a power cut can take what
// was written since the last sync, which comes twenty times a second here.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

const (
	documents = 20_000
	batchLen  = 500
)

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "loam-fast-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := &state.Options{
		NoSync: true,
		Engine: &state.EngineOptions{
			MemoryBudget: 1 << 30, // taken as it is needed
			Compression:  lsm.S2,
			SyncInterval: 50 * time.Millisecond,
		},
	}
	store, err := state.Open(dir, options)
	if err != nil {
		return err
	}
	agent := store.Scope(scope.Agent("crawler"))

	// Batches: one commit for many values.
	began := time.Now()
	batch := make(map[string]any, batchLen)
	for i := range documents {
		batch[fmt.Sprintf("page/%06d", i)] = map[string]any{"url": fmt.Sprintf("https://example.org/%d", i), "depth": i % 7, "seen": true}
		if len(batch) == batchLen {
			if err := agent.SetMany(ctx, batch); err != nil {
				return err
			}
			clear(batch)
		}
	}
	// Blind changes: nothing is read, nothing conflicts.
	for range 1000 {
		if err := agent.IncrementBlind(ctx, "pages", documents/1000); err != nil {
			return err
		}
	}
	// What must not be lost asks for it: this write, and all before it, are on the device when it
	// returns.
	if err := agent.Set(ctx, "checkpoint", documents, state.Sync); err != nil {
		return err
	}
	log.Printf("%d documents in %v", documents, time.Since(began).Round(time.Millisecond))
	m := store.Metrics()
	fmt.Println("writes:", m.Writes, "a sync for each tenth at most:", m.Engine.LogSyncs < m.Writes/10)
	if err := store.Close(); err != nil { // what was acknowledged is durable then
		return err
	}

	store, err = state.Open(dir, options)
	if err != nil {
		return err
	}
	defer store.Close()
	agent = store.Scope(scope.Agent("crawler"))
	count := 0
	for _, err := range agent.Keys(ctx, "page/") {
		if err != nil {
			return err
		}
		count++
	}
	pages, err := state.Get[int](ctx, agent, "pages")
	fmt.Println("pages found:", count, "counted:", pages, err)
	return nil
}
