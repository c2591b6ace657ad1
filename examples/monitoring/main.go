// Performance monitoring: the figures of a store, of its hooks and of its engine, and how they get
// to a monitoring system.
package main

import (
	"bytes"
	"context"
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
	store, err := state.OpenMemory(&state.Options{Engine: &state.EngineOptions{MemoryBudget: 4 << 20}})
	if err != nil {
		return err
	}
	defer store.Close()
	err = store.Hooks().Register(hook.Hook{
		Name: "check", Points: []hook.Point{hook.BeforeSet}, Keys: "step/*",
		Before: func(context.Context, *hook.Change) error { return nil },
	})
	if err != nil {
		return err
	}

	// Sums are since the store was opened: rates are the difference of two.
	before, began := store.Metrics(), time.Now()
	if err := work(ctx, store); err != nil {
		return err
	}
	after, took := store.Metrics(), time.Since(began)
	writes := after.Writes - before.Writes
	fmt.Println("writes:", writes, "reads:", after.Reads-before.Reads, "conflicts:", after.Conflicts-before.Conflicts)
	log.Printf("%.0f writes a second", float64(writes)/took.Seconds())

	// How long calls take. One in 251 is measured, of lists and commits every one.
	for _, l := range after.Latencies {
		if l.Op == "get" || l.Op == "set" || l.Op == "list" {
			fmt.Println("latencies of", l.Op, "rise:", 0 < l.P50 && l.P50 <= l.P95 && l.P95 <= l.P99 && l.P99 <= l.P999)
			log.Printf("%s: p50 %v, p95 %v, p99 %v, p99.9 %v of %d calls", l.Op, l.P50, l.P95, l.P99, l.P999, l.Samples)
		}
	}

	// Whether what is read is in memory, and what merging costs.
	hits, written := after.CacheHitRate(), after.WriteAmplification()
	fmt.Println("a part of the blocks was in the cache:", 0 <= hits && hits <= 1)
	log.Printf("hit rate %.2f, %.1f bytes written for each that was flushed", hits, written)

	// What the engine does, and whether it keeps up.
	e := &after.Engine
	fmt.Println("in memtables:", e.MemtableBytes > 0)
	log.Printf("%d memtables wait for a flush, writes stopped %d times", e.FrozenMemtables, e.WriteStops)
	fmt.Println("snapshots left open:", e.Snapshots, "iterators left open:", e.Iterators)

	// Hooks: how often, how long, what went wrong.
	for _, h := range store.Hooks().Metrics().Hooks {
		fmt.Println("hook", h.Name+":", h.Calls, "calls", h.Failures, "failures, breaker", h.Breaker)
		fmt.Println("its durations rise:", 0 < h.P50 && h.P50 <= h.P95 && h.P95 <= h.P99)
		log.Printf("hook %s: p50 %v, p95 %v, p99 %v", h.Name, h.P50, h.P95, h.P99)
	}

	// As Prometheus scrapes them, those of the engine too: a handler of /metrics writes these lines.
	// docs/state-metrics.md and docs/metrics.md have all names.
	var scrape bytes.Buffer
	if err := after.WritePrometheus(&scrape, "agents"); err != nil {
		return err
	}
	for line := range strings.Lines(scrape.String()) {
		if strings.HasPrefix(line, "loam_snapshots") || strings.HasPrefix(line, "loam_state_writes_total") {
			fmt.Print(line)
		}
	}
	return nil
}

// work is what the figures are of.
func work(ctx context.Context, store *state.Store) error {
	agent := store.Scope(scope.Agent("a1"))
	for i := range 10_000 {
		key := fmt.Sprintf("step/%d", i)
		if err := agent.Set(ctx, key, i); err != nil {
			return err
		}
		if _, err := agent.Get(ctx, key); err != nil {
			return err
		}
	}
	if _, err := agent.List(ctx, state.ListOptions{Prefix: "step/", Limit: 100}); err != nil {
		return err
	}
	_, err := agent.DeleteMany(ctx, []string{"step/0", "step/1"})
	return err
}
