package state_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

var timelineAll timeline.Range

// reopenOnDisk closes the store and opens it again, unless it is in memory.
func (f *fixture) reopenOnDisk() {
	if f.dir != "" {
		f.reopen()
	}
}

func recorded(t testing.TB, store *state.Store) []hook.Event {
	t.Helper()
	var events []hook.Event
	for ev, err := range store.Timeline().ByTime(ctx, timelineAll) {
		require.NoError(t, err)
		events = append(events, ev)
	}
	return events
}

// What is recorded of an event is the event, its number and the key's version included.
func TestWhatIsRecordedIsWhatWasTold(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{RecordValues: true}}, func(t *testing.T, f *fixture) {
		h := hear(t, f.Store, true)
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", 1))
		require.NoError(t, sc.SetWithTTL(ctx, "k", 2, time.Hour))
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": "two", "c": nil}, state.WithTTL(time.Hour)))
		_, err := sc.Append(ctx, "list", 1)
		require.NoError(t, err)
		_, err = sc.DeleteMany(ctx, []string{"a", "b"})
		require.NoError(t, err)
		_, err = sc.Delete(ctx, "c")
		require.NoError(t, err)
		require.NoError(t, sc.IncrementBlind(ctx, "n", 1))
		told := h.take()
		require.Len(t, told, 10)
		require.NoError(t, f.Hooks().Unregister("hear"))
		f.reopenOnDisk()
		require.Equal(t, told, recorded(t, f.Store))
		h = hear(t, f.Store, true)

		require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
			require.NoError(t, tx.Scope(agent).Set(ctx, "t", 1))
			return tx.Scope(scope.Agent("other")).Set(ctx, "t", 2)
		}))
		require.NoError(t, f.Scope(scope.Agent("other")).Drop(ctx))
		told = append(told, h.take()...)
		// Events of a transaction, of whole scopes, and of what has gone had another number where they were
		// recorded, or none.
		require.NoError(t, f.Scope(agent).SetRetention(ctx, state.Retention{MaxEntries: 1}))
		require.NoError(t, f.Scope(scope.Agent("short")).SetWithTTL(ctx, "k", 1, time.Millisecond))
		expired := 0
		settled(t, func() bool {
			for _, ev := range h.take() {
				if told = append(told, ev); ev.Op == hook.OpExpire {
					expired++
				}
			}
			return expired == 4 // k, list and n, and of the other scope k
		})
		got := recorded(t, f.Store)
		require.Len(t, got, len(told))
		for i := 10; i < len(told); i++ {
			require.NotZero(t, got[i].SeqNum)
		}
		require.ElementsMatch(t, told[10:], got[10:])
		require.Empty(t, f.Store.Metrics().Unrecorded)
	})
}

// The timeline is no scope of users: not listed, not to be named, and not part of any.
func TestTheTimelineIsTheStoresOwn(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		require.NoError(t, f.Set(ctx, agent, "k", 1))
		for s, err := range f.ListScopes(scope.AnyKind, "") {
			require.NoError(t, err)
			require.Equal(t, agent, s)
		}
		require.ErrorIs(t, f.Set(ctx, scope.Custom("__timeline"), "k", 1), state.ErrScope)
		st, err := f.Scope(agent).Stats(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, st.Entries)
		require.Len(t, recorded(t, f.Store), 1)
	})
}

// A correlation id by which nothing could be found is refused where events are recorded.
func TestACorrelationThatCannotBeRecorded(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		err := f.Set(ctx, agent, "k", 1, state.WithCorrelation("a\x00b"))
		require.ErrorIs(t, err, state.ErrOption)
		require.Empty(t, recorded(t, f.Store))
	})
}

// Without the option nothing is recorded, and what was is found still.
func TestATimelineThatHasEnded(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		require.NoError(t, f.Set(ctx, agent, "k", 1))
		f.opts = nil
		f.reopen()
		require.NoError(t, f.Set(ctx, agent, "k", 2))
		want := 1
		if f.dir == "" {
			want = 0
		}
		require.Len(t, recorded(t, f.Store), want)
		if f.dir != "" {
			f.opts = &state.Options{Engine: &state.EngineOptions{ReadOnly: true}, Timeline: &state.TimelineOptions{}}
			f.reopen()
			require.Len(t, recorded(t, f.Store), want)
			require.ErrorIs(t, f.Timeline().Record(ctx, hook.Event{ID: hook.ID{1}, Op: hook.OpBackup, Time: time.Unix(1, 0)}), state.ErrReadOnly)
		}
	})
}

// B37: hooks are run on recorded changes, as they were or changed by a function, and nothing is written
// when that is simulated.
func TestHooksAreRunOnThePast(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{RecordValues: true}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for i := range 4 {
			require.NoError(t, sc.Set(ctx, fmt.Sprint("k", i), i))
		}
		f.reopenOnDisk()
		sc = f.Scope(agent)
		var seen []any
		register(t, f.Store, hook.Hook{Name: "no twos", Points: []hook.Point{hook.BeforeSet}, Before: func(ctx context.Context, c *hook.Change) error {
			v, err := c.Value()
			if err != nil {
				return err
			}
			seen = append(seen, v)
			switch v {
			case int64(2):
				return hook.Veto("no twos")
			case int64(3):
				c.Replace(int64(30))
			}
			if err := f.Scope(agent).Set(ctx, "side effect", v, state.WithClass(state.Trusted)); !errors.Is(err, hook.ErrSimulated) {
				return err
			}
			return nil
		}})
		apply := func(ctx context.Context, ev hook.Event, c hook.Change) error {
			v, err := c.Value()
			if err != nil {
				return err
			}
			return f.Scope(c.Scope).Set(ctx, "again "+c.Key, v, state.WithClass(state.Trusted))
		}
		before := recorded(t, f.Store)
		report, err := f.Timeline().Replay(ctx, f.Hooks(), timeline.Replay{Simulate: true, Apply: apply})
		require.NoError(t, err)
		require.Equal(t, timeline.Report{Events: 4, Vetoed: 1, Replaced: 1}, report)
		require.Equal(t, []any{int64(0), int64(1), int64(2), int64(3)}, seen)
		require.Equal(t, before, recorded(t, f.Store))
		_, err = sc.Get(ctx, "side effect")
		require.ErrorIs(t, err, state.ErrNotFound)

		report, err = f.Timeline().Replay(ctx, f.Hooks(), timeline.Replay{
			Range: timeline.Range{From: before[0].Time, To: before[3].Time.Add(1)}, Scopes: "agent:*", Apply: apply,
			Change: func(ev *hook.Event) (bool, error) {
				ev.Values = &hook.Values{New: ev.Values.New.(int64) + 1, HasNew: true}
				return ev.Key != "k0", nil
			},
		})
		require.NoError(t, err)
		require.Equal(t, timeline.Report{Events: 3, PassedOver: 1, Vetoed: 1, Replaced: 1, Applied: 2}, report)
		values, err := sc.GetMany(ctx, "again k0", "again k1", "again k2", "again k3")
		require.NoError(t, err)
		require.Equal(t, map[string]any{"again k2": int64(30), "again k3": int64(4)}, values)
	})
}

// B37: values that were not recorded are not made up.
func TestAReplayNeedsValues(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		require.NoError(t, f.Set(ctx, agent, "k", 1))
		register(t, f.Store, hook.Hook{Name: "n", Points: []hook.Point{hook.BeforeSet}, Before: func(context.Context, *hook.Change) error { return nil }})
		_, err := f.Timeline().Replay(ctx, f.Hooks(), timeline.Replay{Simulate: true})
		require.ErrorIs(t, err, hook.ErrNotRecorded)
	})
}

// Of recorded events the oldest go: too many, or too old ones.
func TestTheTimelineForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.OpenMemory(&state.Options{Timeline: &state.TimelineOptions{MaxEvents: 50, MaxAge: time.Hour}})
		require.NoError(t, err)
		for i := range 200 {
			require.NoError(t, store.Set(ctx, agent, "k", i))
			synctest.Wait()
			require.LessOrEqual(t, len(recorded(t, store)), 56)
		}
		require.GreaterOrEqual(t, len(recorded(t, store)), 50)
		time.Sleep(time.Hour / 2)
		require.NoError(t, store.Set(ctx, agent, "k", "young"))
		time.Sleep(time.Hour * 2 / 3)
		synctest.Wait()
		require.Len(t, recorded(t, store), 1)
		require.NoError(t, store.Close())
	})
}
