package state_test

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/envelope"
	"github.com/stretchr/testify/require"
)

// An event has what its change has: the version is the key's, the time the store's.
func TestAnEventTellsWhatWasDone(t *testing.T) {
	for _, o := range []*state.Options{nil, {Timeline: &state.TimelineOptions{}}} {
		everywhere(t, o, func(t *testing.T, f *fixture) {
			h := hear(t, f.Store, false)
			sc := f.Scope(agent)
			version := func(key string) uint64 {
				_, m, err := sc.GetWithMeta(ctx, key)
				require.NoError(t, err)
				return uint64(m.Version)
			}
			ids := map[hook.ID]bool{}
			one := func(op hook.Op, key string) hook.Event {
				t.Helper()
				events := h.take()
				require.Len(t, events, 1)
				ev := events[0]
				require.Equal(t, op, ev.Op)
				require.Equal(t, agent, ev.Scope)
				require.Equal(t, key, ev.Key)
				require.False(t, ids[ev.ID])
				ids[ev.ID] = true
				require.Nil(t, ev.Values)
				require.WithinDuration(t, time.Now(), ev.Time, time.Minute)
				return ev
			}
			require.NoError(t, sc.Set(ctx, "k", 1))
			ev := one(hook.OpSet, "k")
			require.Equal(t, version("k"), ev.Version)
			require.Equal(t, ev.Version, ev.SeqNum)
			for _, write := range []func() error{
				func() error { _, err := sc.Increment(ctx, "k", 1); return err },
				func() error { return sc.SetWithTTL(ctx, "k", 1, time.Hour) },
				func() error { return sc.Set(ctx, "k", 1, state.NoSync) },
				func() error { return sc.IncrementBlind(ctx, "k", 1) },
			} {
				require.NoError(t, write())
				require.Equal(t, version("k"), one(hook.OpSet, "k").Version)
			}
			existed, err := sc.Delete(ctx, "k")
			require.NoError(t, err)
			require.True(t, existed)
			ev = one(hook.OpDelete, "k")
			require.Zero(t, ev.Version)
			require.NotZero(t, ev.SeqNum)

			require.NoError(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": 2, "c": 3}, state.WithTTL(time.Hour)))
			for i, ev := range h.take() {
				require.Equal(t, string(rune('a'+i)), ev.Key)
				require.Equal(t, version(ev.Key), ev.Version)
			}
			n, err := sc.DeleteMany(ctx, []string{"a", "absent", "b"})
			require.NoError(t, err)
			require.Equal(t, 2, n)
			events := h.take()
			require.Len(t, events, 2)
			require.Less(t, events[0].SeqNum, events[1].SeqNum)

			require.NoError(t, sc.Set(ctx, "t", 0))
			before := version("t")
			h.take()
			require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
				in := tx.Scope(agent)
				require.NoError(t, in.Set(ctx, "t", 1))
				require.NoError(t, in.Set(ctx, "u", 1))
				return in.Set(ctx, "t", 2) // one event for each key
			}))
			events = h.take()
			require.Len(t, events, 2)
			for _, ev := range events {
				require.Greater(t, ev.SeqNum, before, "it is one of the commit's")
				require.Zero(t, ev.Version)
			}
			_, err = sc.Copy(ctx, scope.Agent("b"))
			require.NoError(t, err)
			require.Equal(t, scope.Agent("b"), one(hook.OpCopy, "").To)
			require.NoError(t, sc.Move(ctx, scope.Agent("c")))
			require.Equal(t, scope.Agent("c"), one(hook.OpMove, "").To)
			require.NoError(t, sc.Drop(ctx))
			one(hook.OpClear, "")
			require.NoError(t, f.Scope(scope.Agent("b")).Set(ctx, "k", 1, ephemeral))
			require.Empty(t, h.take())
		})
	}
}

// Notes of expiries have numbers of their own, but behind the last write, whatever is only required behind that.
func TestNumbersOfACommit(t *testing.T) {
	for writes, want := range map[string][]uint64{
		"--": {9, 10}, "+-": {8, 10}, "-+": {9, 10}, "++": {8, 10}, "-+?": {9, 10, 0}, "?+??": {0, 10, 0, 0}, "+?+?": {8, 0, 10, 0},
	} {
		require.Equal(t, want, state.Numbers(writes, 10), writes)
	}
}

// Values are told only to hooks that ask, and are what the commit has found and left.
func TestValuesOfEvents(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		plain, h := hear(t, f.Store, false), &heard{}
		register(t, f.Store, hook.Hook{Name: "values", Points: everyAfter, Inline: true, Values: true, Keys: "*", After: func(_ context.Context, ev hook.Event) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, ev)
			return nil
		}})
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", map[string]any{"n": 1}))
		require.NoError(t, sc.Set(ctx, "k", 2))
		require.NoError(t, sc.SetMany(ctx, map[string]any{"k": nil}))
		_, err := sc.Update(ctx, "k", func(any, bool) (any, error) { return "u", nil })
		require.NoError(t, err)
		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			in := tx.Scope(agent)
			require.NoError(t, in.Set(ctx, "k", "inner"))
			return in.Set(ctx, "k", "t")
		}))
		_, err = sc.Delete(ctx, "k")
		require.NoError(t, err)
		var got []hook.Values
		for _, ev := range h.take() {
			got = append(got, *ev.Values)
		}
		require.Equal(t, []hook.Values{
			{New: map[string]any{"n": int64(1)}, HasNew: true},
			{Old: map[string]any{"n": int64(1)}, HasOld: true, New: int64(2), HasNew: true},
			{Old: int64(2), HasOld: true, HasNew: true},
			{HasOld: true, New: "u", HasNew: true},
			{Old: "u", HasOld: true, New: "t", HasNew: true},
			{Old: "t", HasOld: true},
		}, got)
		for _, ev := range plain.take() {
			require.Nil(t, ev.Values)
		}
		require.NoError(t, sc.IncrementBlind(ctx, "blind", 1))
		require.Nil(t, h.take()[0].Values, "nobody has read it")

		// A value in memory is replaced, and is no old value.
		require.NoError(t, sc.Set(ctx, "e", 1, ephemeral))
		require.NoError(t, sc.Set(ctx, "e", 2))
		require.Equal(t, hook.Values{New: int64(2), HasNew: true}, *h.take()[0].Values)
		v, err := sc.Get(ctx, "e")
		require.NoError(t, err)
		require.EqualValues(t, 2, v)

		// What cannot be read can be written.
		require.NoError(t, sc.PutRaw("raw", []byte{0xff}))
		require.NoError(t, sc.Set(ctx, "raw", 1))
		require.Equal(t, hook.Values{New: int64(1), HasNew: true}, *h.take()[0].Values)
	})
}

// Of many writers of a key each is told the value that it has replaced.
func TestOldValuesMakeAChain(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, true)
		sc := f.Scope(agent)
		const writers, writes = 8, 20
		together(writers, func(w int) {
			for i := range writes {
				if err := sc.Set(ctx, "k", w*writes+i, state.NoSync); err != nil {
					t.Error(err)
				}
			}
		})
		events := h.take()
		require.Len(t, events, writers*writes)
		sort.Slice(events, func(i, j int) bool { return events[i].SeqNum < events[j].SeqNum })
		for i, ev := range events {
			require.Equal(t, i > 0, ev.Values.HasOld)
			if i > 0 {
				require.Equal(t, events[i-1].Values.New, ev.Values.Old)
			}
		}
	})
}

// A condition that does not hold is a conflict, whoever asks for values.
func TestValuesDoNotHideAConflict(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, true)
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", 1))
		_, err := sc.CompareAndSet(ctx, "k", state.Absent, 2)
		require.ErrorIs(t, err, state.ErrConflict)
		set, err := sc.SetIfAbsent(ctx, "k", 2)
		require.NoError(t, err)
		require.False(t, set)
		require.Len(t, h.take(), 1)
		_, m, err := sc.GetWithMeta(ctx, "k")
		require.NoError(t, err)
		_, err = sc.CompareAndSet(ctx, "k", m.Version, 2)
		require.NoError(t, err)
		require.Equal(t, int64(1), h.take()[0].Values.Old)
	})
}

// B15: increments beside hooks that ask for values lose nothing.
func TestIncrementsWithHooks(t *testing.T) {
	everywhere(t, &state.Options{NoSync: true, Timeline: &state.TimelineOptions{RecordValues: true}}, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, true)
		asked := 0
		var mu sync.Mutex
		register(t, f.Store, hook.Hook{Name: "count", Points: []hook.Point{hook.BeforeSet}, Before: func(context.Context, *hook.Change) error {
			mu.Lock()
			defer mu.Unlock()
			asked++
			return nil
		}})
		together(10, func(int) {
			for range 10 {
				if _, err := f.Increment(ctx, agent, "n", 1); err != nil {
					t.Error(err)
				}
			}
		})
		n, err := f.Get(ctx, agent, "n")
		require.NoError(t, err)
		require.EqualValues(t, 100, n)
		require.Len(t, h.take(), 100, "once for each commit")
		require.GreaterOrEqual(t, asked, 100, "once for each attempt")
	})
}

// A value of class Sensitive is in no event: not when it goes, and not when another takes its place.
func TestSensitiveValuesAreNotTold(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{RecordValues: true}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		p, err := envelope.Append(nil, &envelope.Header{Class: state.Sensitive, Codec: envelope.MessagePack})
		require.NoError(t, err)
		h := hear(t, f.Store, true)
		for _, key := range []string{"replaced", "deleted"} {
			require.NoError(t, sc.PutRaw(key, append(p[:len(p):len(p)], 0xa6, 's', 'e', 'c', 'r', 'e', 't')))
			v, err := sc.Get(ctx, key)
			require.NoError(t, err)
			require.Equal(t, "secret", v)
		}
		require.NoError(t, sc.Set(ctx, "replaced", "plain"))
		_, err = sc.Delete(ctx, "deleted")
		require.NoError(t, err)
		for _, events := range [][]hook.Event{h.take(), recorded(t, f.Store)} {
			require.Len(t, events, 2)
			require.Equal(t, hook.Values{New: "plain", HasNew: true}, *events[0].Values)
			require.Nil(t, events[1].Values)
		}
	})
}

// B17: a value that expires is told of once, over reopening too.
func TestAnExpiryIsToldOnce(t *testing.T) {
	clock := &manual{} // by the machine's a slow Set came too late
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{}, Engine: &state.EngineOptions{Clock: clock}}, func(t *testing.T, f *fixture) {
		events := make(chan hook.Event, 10)
		expired := hook.Hook{Name: "expired", Points: []hook.Point{hook.AfterExpire}, After: func(_ context.Context, ev hook.Event) error {
			events <- ev
			return nil
		}}
		register(t, f.Store, expired)
		sc := f.Scope(agent)
		require.NoError(t, sc.SetWithTTL(ctx, "gone", 1, 20*time.Millisecond))
		require.NoError(t, sc.SetWithTTL(ctx, "stays", 1, 300*time.Millisecond))
		require.NoError(t, sc.Set(ctx, "stays", 2))
		require.NoError(t, sc.SetWithTTL(ctx, "trusted", 1, 20*time.Millisecond, state.WithClass(state.Trusted)))
		clock.advance(time.Minute)
		told := map[string]hook.Event{}
		for range 2 {
			ev := <-events
			told[ev.Key] = ev
		}
		ev := told["gone"]
		require.Contains(t, told, "trusted")
		require.Equal(t, hook.OpExpire, ev.Op)
		require.Equal(t, agent, ev.Scope)
		require.Zero(t, ev.Version)
		_, err := sc.Get(ctx, "gone")
		require.ErrorIs(t, err, state.ErrNotFound)
		if f.dir != "" {
			f.reopen()
			register(t, f.Store, expired)
		}
		require.NoError(t, f.SetWithTTL(ctx, agent, "next", 1, 350*time.Millisecond))
		clock.advance(time.Minute)
		require.Equal(t, "next", (<-events).Key, "no other again")
		n := 0
		for ev, err := range f.Timeline().ByKey(ctx, agent, "gone", timelineAll) {
			require.NoError(t, err)
			if ev.Op == hook.OpExpire {
				n++
				require.NotZero(t, ev.SeqNum)
			}
		}
		require.Equal(t, 1, n)
	})
}

// B36: a caller's correlation id is on the event, in the value and in the timeline; contexts derived from
// it, and what hooks do with theirs, keep it.
func TestCorrelation(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		register(t, f.Store, hook.Hook{Name: "count", Points: []hook.Point{hook.AfterSet}, Keys: "order:*", After: func(ctx context.Context, ev hook.Event) error {
			_, err := f.Scope(ev.Scope).Increment(ctx, "orders", 1)
			return err
		}})
		request, err := hook.WithCorrelation(ctx, "request-7")
		require.NoError(t, err)
		request, err = hook.WithActor(request, "ann")
		require.NoError(t, err)
		child, cancel := context.WithCancel(request)
		defer cancel()
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(child, "order:1", "tea"))
		require.NoError(t, f.Hooks().Drain(ctx))
		require.NoError(t, sc.Set(ctx, "other", 1))
		require.NoError(t, sc.Set(ctx, "by option", 1, state.WithCorrelation("request-8")))
		_, m, err := sc.GetWithMeta(ctx, "orders")
		require.NoError(t, err)
		require.Equal(t, "request-7", m.Correlation)
		f.reopenOnDisk()

		tl := f.Timeline()
		var events []hook.Event
		for ev, err := range tl.ByCorrelation(ctx, "request-7", timelineAll) {
			require.NoError(t, err)
			events = append(events, ev)
		}
		require.Len(t, events, 2)
		require.Equal(t, "order:1", events[0].Key)
		require.Equal(t, "orders", events[1].Key)
		for _, ev := range events {
			require.Equal(t, "ann", ev.Actor)
		}
		causes, err := tl.Causes(ctx, events[1].ID)
		require.NoError(t, err)
		require.Equal(t, events[:1], causes)
		for ev, err := range tl.Effects(ctx, events[0].ID) {
			require.NoError(t, err)
			require.Equal(t, events[1], ev)
		}
		for ev, err := range tl.ByCorrelation(ctx, "request-8", timelineAll) {
			require.NoError(t, err)
			require.Equal(t, "by option", ev.Key)
		}
		for ev, err := range tl.ByKey(ctx, agent, "other", timelineAll) {
			require.NoError(t, err)
			require.Empty(t, ev.Correlation)
			require.Equal(t, fmt.Sprint(ev.ID), ev.CorrelationID())
		}
	})
}
