package hook_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

// A store that runs hooks around its sets.
func Example() {
	ctx := context.Background()
	d, err := hook.New(hook.Options{Now: time.Now, Since: time.Since})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = d.Register(hook.Hook{
		Name: "lower", Points: []hook.Point{hook.BeforeSet}, Keys: "email",
		Before: func(_ context.Context, c *hook.Change) error {
			v, err := c.Value()
			if s, ok := v.(string); ok {
				c.Replace(strings.ToLower(s))
			}
			return err
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = d.Register(hook.Hook{
		Name: "print", Points: []hook.Point{hook.AfterSet}, Values: true,
		After: func(_ context.Context, ev hook.Event) error {
			fmt.Println(ev.Op, ev.Scope, ev.Key, ev.Values.New, "by", ev.Actor)
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	set := func(ctx context.Context, s scope.Scope, key string, value any) error {
		c := hook.Change{Op: hook.OpSet, Scope: s, Key: key}
		c.Give(value)
		if err := d.Before(ctx, &c); err != nil {
			return err
		}
		if v, replaced := c.Replaced(); replaced {
			value = v
		}
		// Here the store commits the value.
		ev := hook.Event{Op: c.Op, Scope: s, Key: key}
		if d.Interest(c.Op, s, scope.Scope{}, key).Values {
			ev.Values = &hook.Values{New: value, HasNew: true}
		}
		d.After(ctx, ev)
		return nil
	}
	alice, err := hook.WithActor(ctx, "alice")
	if err == nil {
		err = set(alice, scope.User("7"), "email", "Alice@Example.COM")
	}
	fmt.Println(err, d.Close(ctx))
	// Output:
	// set user:7 email alice@example.com by alice
	// <nil> <nil>
}

func ExampleVeto() {
	d, err := hook.New(hook.Options{Now: time.Now})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close(context.Background())
	err = d.Register(hook.Hook{
		Name: "keep", Points: []hook.Point{hook.BeforeDelete}, Scopes: "agent:*",
		Before: func(context.Context, *hook.Change) error { return hook.Veto("agents forget nothing") },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Before(context.Background(), &hook.Change{Op: hook.OpDelete, Scope: scope.Agent("a1"), Key: "memory"}))
	fmt.Println(d.Before(context.Background(), &hook.Change{Op: hook.OpDelete, Scope: scope.Global(), Key: "memory"}))
	// Output:
	// hook: keep vetoes the change: agents forget nothing
	// <nil>
}
