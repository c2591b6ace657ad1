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
	store, err := state.OpenMemory(nil)
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

	// What the engine does, and whether it keeps up.
	e := &after.Engine
	fmt.Println("in memtables:", e.MemtableBytes > 0, "waiting for a flush:", e.FrozenMemtables, "writes stopped:", e.WriteStops)
	fmt.Println("snapshots left open:", e.Snapshots, "iterators left open:", e.Iterators)

	// Hooks: how often, how long, what went wrong.
	for _, h := range store.Hooks().Metrics().Hooks {
		fmt.Println("hook", h.Name+":", h.Calls, "calls", h.Failures, "failures, breaker", h.Breaker)
		fmt.Println("its durations rise:", 0 < h.P50 && h.P50 <= h.P95 && h.P95 <= h.P99)
		log.Printf("hook %s: p50 %v, p95 %v, p99 %v", h.Name, h.P50, h.P95, h.P99)
	}

	// As Prometheus scrapes them: a handler of /metrics writes these lines. docs/metrics.md has all names.
	var scrape bytes.Buffer
	if err := e.WritePrometheus(&scrape, "agents"); err != nil {
		return err
	}
	for line := range strings.Lines(scrape.String()) {
		if strings.HasPrefix(line, "loam_snapshots") || strings.HasPrefix(line, "loam_write_stops_total") {
			fmt.Print(line)
		}
	}
	return nil
}

// work is what the figures are of.
func work(ctx context.Context, store *state.Store) error {
	agent := store.Scope(scope.Agent("a1"))
	for i := range 100 {
		key := fmt.Sprintf("step/%d", i)
		if err := agent.Set(ctx, key, i); err != nil {
			return err
		}
		if _, err := agent.Get(ctx, key); err != nil {
			return err
		}
	}
	_, err := agent.DeleteMany(ctx, []string{"step/0", "step/1"})
	return err
}
