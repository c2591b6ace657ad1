package timeline_test

import (
	"context"
	"fmt"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/scope"
)

// Events recorded by an after-hook, and found by the id that the caller gave.
func Example() {
	ctx := context.Background()
	d, err := hook.New(hook.Options{Now: time.Now, Since: time.Since})
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := timeline.New(&timeline.Memory{}, timeline.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = d.Register(hook.Hook{
		Name: "record", Points: []hook.Point{hook.AfterSet}, Inline: true,
		After: func(ctx context.Context, ev hook.Event) error { return t.Record(ctx, ev) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := hook.WithCorrelation(ctx, "request-1")
	if err != nil {
		fmt.Println(err)
		return
	}
	d.After(request, hook.Event{Op: hook.OpSet, Scope: scope.Agent("a1"), Key: "plan", Version: 10})
	d.After(ctx, hook.Event{Op: hook.OpSet, Scope: scope.Agent("a2"), Key: "plan", Version: 11})
	d.After(request, hook.Event{Op: hook.OpSet, Scope: scope.Tool("search"), Key: "query", Version: 12})
	for ev, err := range t.ByCorrelation(ctx, "request-1", timeline.Range{}) {
		fmt.Println(ev.Op, ev.Scope, ev.Key, ev.Version, err)
	}
	fmt.Println(d.Close(ctx))
	// Output:
	// set agent:a1 plan 10 <nil>
	// set tool:search query 12 <nil>
	// <nil>
}
