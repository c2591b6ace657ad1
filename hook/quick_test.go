package hook_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

// Who has a hook's own call gives it up when the hook has gone meanwhile, or the dispatcher: else Close waits for ever.
func TestAHookMayGoWhileItRuns(t *testing.T) {
	for _, goes := range []string{"unregistered", "closed"} {
		synctest.Test(t, func(t *testing.T) {
			d := newDispatcher(t, hook.Options{})
			h, letGo := deaf("h", time.Hour)
			require.NoError(t, d.Register(h))
			passed := make(chan error, 1)
			go func() { passed <- d.Before(background, set(scope.Global(), "k", 1)) }()
			synctest.Wait()
			ended := make(chan error, 1)
			if goes == "closed" {
				go func() { ended <- d.Close(background) }()
			} else {
				ended <- d.Unregister("h")
			}
			synctest.Wait()
			require.Empty(t, passed)
			letGo()
			require.NoError(t, <-passed)
			require.NoError(t, <-ended)
			if goes == "unregistered" {
				require.NoError(t, d.Register(h))
				require.NoError(t, d.Before(background, set(scope.Global(), "k", 1)))
				require.NoError(t, d.Unregister("h"))
				require.NoError(t, d.Close(background))
			}
			require.ErrorIs(t, d.Register(h), hook.ErrClosed)
		})
	}
}

// Callers of one hook at once, and a hook that makes the change it is asked about, do not see each other's values.
func TestCallersOfOneHookAtOnce(t *testing.T) {
	d := newDispatcher(t, hook.Options{})
	type nested struct{ of any }
	require.NoError(t, d.Register(before("h", func(ctx context.Context, c *hook.Change) error {
		v, err := c.Value()
		if n, ok := v.(int); ok && n%10 == 0 {
			inner := set(scope.Global(), "inner", nested{v})
			if err := d.Before(ctx, inner); err != nil {
				return err
			}
			v, _ = inner.Replaced()
		}
		c.Replace(fmt.Sprint(v))
		return err
	})))
	const callers, each = 8, 200
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				n := caller*each + i
				c := set(scope.Global(), "k", n)
				if err := d.Before(background, c); err != nil {
					t.Error(err)
				}
				want := fmt.Sprint(n)
				if n%10 == 0 {
					want = fmt.Sprint(nested{n})
				}
				if v, _ := c.Replaced(); v != want {
					t.Errorf("%v became %v", n, v)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, callers*each*11/10, figures(t, d, "h").Calls)
}

// The state of a call keeps the lowest bits of its deadline, which are the same again after 104 days.
func TestDeadlinesOfADispatcherThatIsOld(t *testing.T) {
	both(t, func(t *testing.T, isolated bool) {
		synctest.Test(t, func(t *testing.T) {
			d := newDispatcher(t, hook.Options{})
			h := before("slow", func(ctx context.Context, _ *hook.Change) error { <-ctx.Done(); return nil })
			h.Timeout, h.Isolated = hook.MaxTimeout, isolated
			require.NoError(t, d.Register(h))
			for day := range 3 {
				time.Sleep(1<<53 - hook.MaxTimeout - time.Duration(day))
				begun := time.Now()
				require.ErrorIs(t, d.Before(background, set(scope.Global(), "k", 1)), hook.ErrTimeout)
				require.Equal(t, hook.MaxTimeout, time.Since(begun))
			}
		})
	})
}

// Places in a queue are used again: what an event has that the next one in its place has not does not stay.
func TestEventsPassTheQueueWhole(t *testing.T) {
	d := newDispatcher(t, hook.Options{Workers: 1, QueueLen: 1})
	var got hook.Event
	h := after("h", func(_ context.Context, ev hook.Event) error { got = ev; return nil })
	h.Points, h.Values = []hook.Point{hook.AfterSet, hook.AfterCopy}, true
	require.NoError(t, d.Register(h))
	full := hook.Event{
		ID: hook.ID{1}, Time: time.UnixMilli(2).UTC(), SeqNum: 3, Op: hook.OpCopy, Scope: scope.Step("w", "s"), To: scope.Agent("a"),
		Key: "k", Collection: "c", Version: 4, Actor: "me", Correlation: "whole", Cause: hook.ID{5}, Values: &hook.Values{New: 6, HasNew: true},
	}
	events := []hook.Event{full, {ID: hook.ID{7}, Time: full.Time, Op: hook.OpSet, Scope: scope.Global(), Key: "plain"}}
	for _, only := range []func(ev *hook.Event){
		func(ev *hook.Event) { ev.To = full.To },
		func(ev *hook.Event) { ev.Collection = full.Collection },
		func(ev *hook.Event) { ev.Actor = full.Actor },
		func(ev *hook.Event) { ev.Correlation = full.Correlation },
		func(ev *hook.Event) { ev.Cause = full.Cause },
		func(ev *hook.Event) { ev.Values = full.Values },
	} {
		ev := events[1]
		only(&ev)
		events = append(events, ev, events[1])
	}
	for _, ev := range events {
		d.After(background, ev)
		require.NoError(t, d.Drain(background))
		require.Equal(t, ev, got)
	}
}

// Keys, and scopes that have the same key, are shared among the workers.
func TestWorkersShareKeysAndScopes(t *testing.T) {
	for name, ev := range map[string]func(i int) hook.Event{
		"keys":      func(i int) hook.Event { return event(fmt.Sprint("conversation/turn-", i)) },
		"long keys": func(i int) hook.Event { return event(fmt.Sprint(i, "-a key that differs in its first bytes")) },
		"scopes": func(i int) hook.Event {
			return hook.Event{Op: hook.OpSet, Scope: scope.User(fmt.Sprint(i)), Key: "profile"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDispatcher(t, hook.Options{Workers: 8})
				var busy atomic.Int32
				release := make(chan struct{})
				require.NoError(t, d.Register(after("h", func(context.Context, hook.Event) error { busy.Add(1); <-release; return nil })))
				for i := range 200 {
					d.After(background, ev(i))
				}
				synctest.Wait()
				require.EqualValues(t, 8, busy.Load())
				close(release)
			})
		})
	}
}
