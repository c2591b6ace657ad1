package hook_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

func event(key string) hook.Event {
	return hook.Event{Op: hook.OpSet, Scope: scope.Agent("a"), Key: key}
}

func TestSlowAfterHooksDoNotSlowChanges(t *testing.T) { // B33
	synctest.Test(t, func(t *testing.T) {
		var failures atomic.Int32
		d := newDispatcher(t, hook.Options{OnFailure: func(*hook.CallError) { failures.Add(1) }})
		var runs atomic.Int32
		for i := range 5 {
			h := after(fmt.Sprint("h", i), func(context.Context, hook.Event) error {
				time.Sleep(100 * time.Millisecond)
				runs.Add(1)
				if i == 0 {
					return errors.New("of no effect")
				}
				return nil
			})
			h.Breaker.Failures = 20
			require.NoError(t, d.Register(h))
		}
		begun := time.Now()
		for i := range 10 {
			d.After(background, event(fmt.Sprint("k", i)))
		}
		require.Zero(t, time.Since(begun))
		require.NoError(t, d.Drain(background))
		require.EqualValues(t, 50, runs.Load())
		require.EqualValues(t, 10, failures.Load())
		require.EqualValues(t, 10, figures(t, d, "h0").Failures)
	})
}

func TestAnInlineAfterHookIsDoneWhenTheChangeReturns(t *testing.T) {
	both(t, func(t *testing.T, isolated bool) {
		synctest.Test(t, func(t *testing.T) {
			d := newDispatcher(t, hook.Options{})
			done := 0
			h := after("inline", func(context.Context, hook.Event) error { done++; return errors.New("counted") })
			h.Inline, h.Isolated = true, isolated
			require.NoError(t, d.Register(h))
			d.After(background, event("k"))
			require.Equal(t, 1, done)
			require.EqualValues(t, 1, figures(t, d, "inline").Failures)
		})
	})
}

func TestAFullQueueDropsOrBlocks(t *testing.T) { // B34, H6
	for _, policy := range []hook.Policy{hook.Drop, hook.Block} {
		synctest.Test(t, func(t *testing.T) {
			d := newDispatcher(t, hook.Options{Workers: 1, QueueLen: 2, WhenFull: policy})
			require.NoError(t, d.Register(after("slow", func(context.Context, hook.Event) error { time.Sleep(time.Second); return nil })))
			begun := time.Now()
			for i := range 5 {
				d.After(background, event(fmt.Sprint("k", i)))
				synctest.Wait() // the worker takes what it can
			}
			if policy == hook.Drop {
				require.Zero(t, time.Since(begun))
				m := d.Metrics()
				require.Equal(t, 2, m.Queued)
				require.Equal(t, 2, m.Capacity)
				require.EqualValues(t, 2, m.Dropped)
			} else {
				require.Equal(t, 2*time.Second, time.Since(begun))
				ctx, cancel := context.WithTimeout(background, time.Millisecond)
				defer cancel()
				d.After(ctx, event("gives up"))
			}
			require.NoError(t, d.Drain(background))
			m := figures(t, d, "slow")
			if policy == hook.Drop {
				require.EqualValues(t, 3, m.Calls)
				require.EqualValues(t, 2, m.Drops)
			} else {
				require.EqualValues(t, 5, m.Calls)
				require.EqualValues(t, 1, m.Drops)
			}
		})
	}
}

// The queue gets past a hook that hangs, in order, and handles the rest of its event.
func TestAnAfterHookThatHangsHoldsNobody(t *testing.T) { // H4, H5
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{Workers: 1})
		release := make(chan struct{})
		var order []string
		hang := after("hang", func(ctx context.Context, ev hook.Event) error {
			if ev.Key == "bad" {
				<-release
			}
			return nil
		})
		hang.Timeout = time.Second
		require.NoError(t, d.Register(hang))
		require.NoError(t, d.Register(after("order", func(_ context.Context, ev hook.Event) error {
			order = append(order, ev.Key)
			return nil
		})))
		for _, key := range []string{"a", "bad", "b", "exit", "c"} {
			d.After(background, event(key))
		}
		require.NoError(t, d.Drain(background))
		require.Equal(t, []string{"a", "bad", "b", "exit", "c"}, order)
		require.EqualValues(t, 1, figures(t, d, "hang").Timeouts)
		require.Equal(t, 1, figures(t, d, "hang").Stuck)
		close(release)
		synctest.Wait()
		require.Zero(t, figures(t, d, "hang").Stuck)
	})
}

func TestAfterHooksMayPanicOrEndTheirGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{Workers: 1})
		handled := 0
		require.NoError(t, d.Register(after("bad", func(_ context.Context, ev hook.Event) error {
			switch ev.Key {
			case "panic":
				panic("p")
			case "exit":
				runtime.Goexit()
			}
			return nil
		})))
		require.NoError(t, d.Register(after("good", func(context.Context, hook.Event) error { handled++; return nil })))
		for _, key := range []string{"panic", "exit", "exit", "fine"} {
			d.After(background, event(key))
		}
		require.NoError(t, d.Drain(background))
		require.Equal(t, 4, handled)
		require.EqualValues(t, 3, figures(t, d, "bad").Failures)
	})
}

func TestCloseHandlesWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{Workers: 1})
		handled := 0
		require.NoError(t, d.Register(after("slow", func(context.Context, hook.Event) error { time.Sleep(time.Second); handled++; return nil })))
		for range 5 {
			d.After(background, event("k"))
		}
		require.NoError(t, d.Close(background))
		require.Equal(t, 5, handled)
	})
}

func TestCloseWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{Workers: 1, QueueLen: 4})
		told := 0
		require.NoError(t, d.Register(after("slow", func(ctx context.Context, _ hook.Event) error {
			<-ctx.Done()
			return ctx.Err()
		})))
		require.NoError(t, d.Register(after("later", func(context.Context, hook.Event) error { told++; return nil })))
		for range 5 {
			d.After(background, event("k"))
			synctest.Wait()
		}
		blocked := make(chan struct{})
		go func() { d.After(background, event("k")); close(blocked) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		begun := time.Now()
		require.ErrorIs(t, d.Close(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begun))
		<-blocked
		synctest.Wait()
		require.Zero(t, told)
		slow, later := figures(t, d, "slow"), figures(t, d, "later")
		require.EqualValues(t, 1, slow.Calls)
		require.EqualValues(t, 5, slow.Drops)
		require.EqualValues(t, 6, later.Drops, "calls and drops are all there was (H6)")
	})
}

// A hook that writes what it listens to does not go on for ever, and does not wait for itself.
func TestHooksThatSetThemselvesOffEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last error
		d := newDispatcher(t, hook.Options{Workers: 1, QueueLen: 1, OnFailure: func(e *hook.CallError) { last = e }})
		calls := 0
		h := after("loop", nil)
		h.After = func(ctx context.Context, ev hook.Event) error {
			calls++
			d.After(ctx, event("k"))
			return nil
		}
		require.NoError(t, d.Register(h))
		d.After(background, event("k"))
		require.NoError(t, d.Drain(background))
		require.Equal(t, 16, calls)
		require.ErrorIs(t, last, hook.ErrDepth)

		h.Name, h.After = "fan", func(ctx context.Context, ev hook.Event) error {
			for range 3 {
				d.After(ctx, event("k"))
			}
			return nil
		}
		require.NoError(t, d.Unregister("loop"))
		require.NoError(t, d.Register(h))
		begun := time.Now()
		d.After(background, event("k"))
		require.NoError(t, d.Drain(background))
		require.Zero(t, time.Since(begun), "a worker does not wait for room in its own queue")
		require.ErrorIs(t, last, hook.ErrDepth)
		require.Positive(t, figures(t, d, "fan").Drops)

		depth := 0
		require.NoError(t, d.Register(before("deep", func(ctx context.Context, c *hook.Change) error {
			depth++
			return d.Before(ctx, set(scope.Global(), "k", 1))
		})))
		require.ErrorIs(t, d.Before(background, set(scope.Global(), "k", 1)), hook.ErrDepth)
		require.Equal(t, 16, depth)
	})
}

func TestEventsOfAnUnregisteredHookAreNotItsOwnAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{Workers: 1})
		calls := 0
		require.NoError(t, d.Register(after("h", func(context.Context, hook.Event) error { calls++; time.Sleep(time.Second); return nil })))
		for range 5 {
			d.After(background, event("k"))
		}
		synctest.Wait()
		require.NoError(t, d.Unregister("h"))
		require.NoError(t, d.Drain(background))
		require.Equal(t, 1, calls)
		require.Zero(t, d.Metrics().Dropped)
	})
}

func TestDrainWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		require.NoError(t, d.Register(after("h", func(context.Context, hook.Event) error { time.Sleep(time.Second); return nil })))
		d.After(background, event("k"))
		ctx, cancel := context.WithTimeout(background, time.Millisecond)
		defer cancel()
		require.ErrorIs(t, d.Drain(ctx), context.DeadlineExceeded)
		require.NoError(t, d.Drain(background))
	})
}

// Drain returned while a worker had an event that another one's hook had made meanwhile: the one had been idle when it was
// looked at, and the other was by the time that it was.
func TestDrainWaitsForWhatHooksPassOn(t *testing.T) {
	d := newDispatcher(t, hook.Options{Workers: 16})
	var handled atomic.Int64
	require.NoError(t, d.Register(after("pass on", func(ctx context.Context, ev hook.Event) error {
		if len(ev.Key) < 8 {
			d.After(ctx, event(ev.Key+"+")) // another worker's, as a rule
		}
		handled.Add(1)
		return nil
	})))
	for i := range 3000 {
		handled.Store(0)
		d.After(background, event(fmt.Sprint(i%10)))
		require.NoError(t, d.Drain(background))
		require.EqualValues(t, 8, handled.Load(), "round %d", i)
	}
}
