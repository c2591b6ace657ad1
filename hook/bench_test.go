package hook_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

func newDispatcher(t testing.TB, o hook.Options) *hook.Dispatcher {
	t.Helper()
	if o.Now == nil {
		o.Now, o.Since = time.Now, time.Since
	}
	d, err := hook.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	return d
}

func pass(context.Context, *hook.Change) error { return nil }
func listen(context.Context, hook.Event) error { return nil }

// change runs what a Set of a state store does around its write. It reads the clock, since a
// value has the time at which it was written.
func change(ctx context.Context, d *hook.Dispatcher, value any) error {
	now := time.Now()
	c := hook.Change{Op: hook.OpSet, Scope: scope.Agent("a1"), Key: "user:name", Time: now}
	c.Give(value)
	if err := d.Before(ctx, &c); err != nil {
		return err
	}
	d.After(ctx, hook.Event{Op: hook.OpSet, Scope: c.Scope, Key: c.Key, Version: 7, Time: now})
	return nil
}

// What hooks cost a change: one no-op hook before it and one on the queue after it.
func BenchmarkChange(b *testing.B) {
	noop := func(isolated bool) []hook.Hook {
		return []hook.Hook{
			{Name: "before", Points: []hook.Point{hook.BeforeSet}, Before: pass, Isolated: isolated},
			{Name: "after", Points: []hook.Point{hook.AfterSet}, After: listen},
		}
	}
	elsewhere := noop(false)
	elsewhere[0].Scopes, elsewhere[1].Keys = "user:*", "order:*"
	var value any = "v"
	for _, c := range []struct {
		name  string
		hooks []hook.Hook
	}{{"none", nil}, {"no match", elsewhere}, {"before", noop(false)[:1]}, {"isolated before", noop(true)[:1]}, {"after", noop(false)[1:]}, {"pair", noop(false)}, {"isolated pair", noop(true)}} {
		b.Run(c.name, func(b *testing.B) {
			d := newDispatcher(b, hook.Options{})
			for _, h := range c.hooks {
				require.NoError(b, d.Register(h))
			}
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if err := change(ctx, d, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("a timer for each call", func(b *testing.B) { // what the watchdog saves
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(context.Background(), hook.DefaultTimeout)
			if pass(ctx, nil) != nil {
				b.Fatal("failed")
			}
			cancel()
		}
	})
	b.Run("clock", func(b *testing.B) {
		for b.Loop() {
			time.Now()
		}
	})
}
