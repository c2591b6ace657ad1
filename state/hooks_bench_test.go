package state_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/loamdb/loam/hook"
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

// The difference that a hook before it, one on the queue after it, and both make to an unsynced Set, and both to one
// that waits for the device:
// rounds of Sets without and with them take turns, so that what else the machine does meets both. The
// least and the median round count.
func BenchmarkHookOverhead(b *testing.B) {
	before := hook.Hook{Name: "before", Points: []hook.Point{hook.BeforeSet}, Before: func(context.Context, *hook.Change) error { return nil }}
	after := hook.Hook{Name: "after", Points: []hook.Point{hook.AfterSet}, After: func(context.Context, hook.Event) error { return nil }}
	for _, c := range []struct {
		name  string
		hooks []hook.Hook
	}{{"before", []hook.Hook{before}}, {"after", []hook.Hook{after}}, {"pair", []hook.Hook{before, after}}} {
		b.Run(c.name, func(b *testing.B) { overhead(b, c.hooks, 200, state.NoSync) })
	}
	b.Run("synced", func(b *testing.B) { overhead(b, []hook.Hook{before, after}, 10, state.Sync) })
}

func overhead(b *testing.B, hooks []hook.Hook, round int, sync state.Option) {
	plain, hooked := benchStore(b, nil), benchStore(b, nil)
	register(b, state.StoreOf(hooked), hooks...)
	times := [2][]float64{}
	for b.Loop() {
		for i, sc := range []*state.Scope{plain, hooked} {
			begun := time.Now()
			for range round {
				if err := sc.Set(ctx, "conversation/turn-17", document, sync); err != nil {
					b.Fatal(err)
				}
			}
			times[i] = append(times[i], float64(time.Since(begun))/float64(round))
			if err := state.StoreOf(hooked).Hooks().Drain(ctx); err != nil {
				b.Fatal(err)
			}
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	n := len(times[0])
	b.ReportMetric(times[0][0], "ns/plain")
	b.ReportMetric(times[1][0]-times[0][0], "ns/hooks-least")
	b.ReportMetric(times[1][n/2]-times[0][n/2], "ns/hooks-median")
	b.ReportMetric(0, "ns/op")
}
