package state_test

import (
	"context"
	"testing"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/interleave"
	"github.com/loamdb/loam/state"
)

// What hooks cost an unsynced Set, and what recording its event does.
func BenchmarkSetWithHooks(b *testing.B) {
	before := hook.Hook{Name: "before", Points: []hook.Point{hook.BeforeSet}, Before: func(context.Context, *hook.Change) error { return nil }}
	after := hook.Hook{Name: "after", Points: []hook.Point{hook.AfterSet}, After: func(context.Context, hook.Event) error { return nil }}
	values := after
	values.Values = true
	for _, c := range []struct {
		name  string
		hooks []hook.Hook
		o     *state.Options
	}{
		{"none", nil, nil}, {"before", []hook.Hook{before}, nil}, {"after", []hook.Hook{after}, nil}, {"pair", []hook.Hook{before, after}, nil},
		{"values", []hook.Hook{values}, nil}, {"recorded", nil, &state.Options{Timeline: &state.TimelineOptions{}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			sc := benchStore(b, c.o)
			register(b, state.StoreOf(sc), c.hooks...)
			b.ReportAllocs()
			for b.Loop() {
				if err := sc.Set(ctx, "conversation/turn-17", document, state.NoSync); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a hook before it, one on the queue after it, and both add to an unsynced Set, and both to one that
// waits for the device. Each is beside sets without hooks alone, and the unsynced ones in long rounds: behind a round its
// queue is drained, which wakes a worker on the other processor, and what is measured next begins while it goes to
// sleep. In rounds of 20, with all of them in turns, a pair seemed to take 300 ns more than its two hooks.
func BenchmarkHookOverhead(b *testing.B) {
	before := hook.Hook{Name: "before", Points: []hook.Point{hook.BeforeSet}, Before: func(context.Context, *hook.Change) error { return nil }}
	after := hook.Hook{Name: "after", Points: []hook.Point{hook.AfterSet}, After: func(context.Context, hook.Event) error { return nil }}
	side := func(b *testing.B, sync state.Option, name string, hooks ...hook.Hook) interleave.Side {
		sc := benchStore(b, nil)
		register(b, state.StoreOf(sc), hooks...)
		return interleave.Side{
			Name: name,
			Call: func() error { return sc.Set(ctx, "conversation/turn-17", document, sync) },
			Rest: func() error { return state.StoreOf(sc).Hooks().Drain(ctx) },
		}
	}
	for _, c := range []struct {
		name  string
		hooks []hook.Hook
	}{{"before", []hook.Hook{before}}, {"after", []hook.Hook{after}}, {"pair", []hook.Hook{before, after}}} {
		b.Run("unsynced/"+c.name, func(b *testing.B) {
			interleave.Run(b, 200, side(b, state.NoSync, "none"), side(b, state.NoSync, c.name, c.hooks...))
		})
	}
	b.Run("synced", func(b *testing.B) {
		interleave.Run(b, 5, side(b, state.Sync, "none"), side(b, state.Sync, "pair", before, after))
	})
}
