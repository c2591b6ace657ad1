// Event correlation: what has happened for one request, what has set what off, and what the hooks
// of today would have said to it.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := state.OpenMemory(&state.Options{Timeline: &state.TimelineOptions{RecordValues: true, MaxEvents: 100_000}})
	if err != nil {
		return err
	}
	defer store.Close()
	err = store.Hooks().Register(hook.Hook{
		Name: "count orders", Points: []hook.Point{hook.AfterSet}, Keys: "order/*",
		After: func(ctx context.Context, ev hook.Event) error {
			_, err := store.Increment(ctx, ev.Scope, "orders", 1) // with the hook's context: the event is the cause
			return err
		},
	})
	if err != nil {
		return err
	}

	// Two requests, each with an id and somebody who makes it.
	for _, r := range []struct {
		id, who, what string
		price         int
	}{{"request-17", "ann", "tea", 3}, {"request-18", "bob", "diamond", 9000}} {
		request, err := hook.WithCorrelation(ctx, r.id)
		if err != nil {
			return err
		}
		if request, err = hook.WithActor(request, r.who); err != nil {
			return err
		}
		if err := store.Set(request, scope.User(r.who), "order/1", map[string]any{"what": r.what, "price": r.price}); err != nil {
			return err
		}
	}
	if err := store.Hooks().Drain(ctx); err != nil {
		return err
	}

	history := store.Timeline()
	for ev, err := range history.ByCorrelation(ctx, "request-17", timeline.Range{}) {
		if err != nil {
			return err
		}
		fmt.Println(ev.Op, ev.Scope, ev.Key, "=", ev.Values.New, "for", ev.Correlation)
		for effect, err := range history.Effects(ctx, ev.ID) {
			if err != nil {
				return err
			}
			fmt.Println("  has set off:", effect.Op, effect.Key)
		}
	}
	for ev, err := range history.ByKey(ctx, scope.User("bob"), "orders", timeline.Range{}) {
		if err != nil {
			return err
		}
		causes, err := history.Causes(ctx, ev.ID)
		if err != nil {
			return err
		}
		for _, cause := range causes {
			fmt.Println(ev.Scope, ev.Key, "because of", cause.Op, cause.Key, "by", cause.Actor)
		}
	}
	return replay(ctx, store)
}

// replay plays the past to a rule that did not exist then. Nothing is written.
func replay(ctx context.Context, store *state.Store) error {
	err := store.Hooks().Register(hook.Hook{
		Name: "no luxury", Points: []hook.Point{hook.BeforeSet}, Keys: "order/*",
		Before: func(_ context.Context, c *hook.Change) error {
			v, err := c.Value()
			if err != nil {
				return err
			}
			if order, ok := v.(map[string]any); ok && order["price"].(int64) > 1000 {
				return hook.Veto("too dear")
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	report, err := store.Timeline().Replay(ctx, store.Hooks(), timeline.Replay{
		Hooks: []string{"no luxury"}, Simulate: true,
		Each: func(ev hook.Event, out hook.Outcome) {
			if out.Refused != nil {
				fmt.Println("would be refused:", ev.Correlation, "-", out.Refused)
			}
		},
	})
	fmt.Println("played:", report.Events, "vetoed:", report.Vetoed, err)
	return nil
}
