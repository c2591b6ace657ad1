package hook_test

import (
	"context"
	"errors"
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

// deaf returns a before-hook that ignores its context until it is let go.
func deaf(name string, timeout time.Duration) (h hook.Hook, letGo func()) {
	release := make(chan struct{})
	h = before(name, func(context.Context, *hook.Change) error { <-release; return nil })
	h.Timeout = timeout
	return h, func() { close(release) }
}

func TestAHookIsToldWhenItsTimeIsUp(t *testing.T) {
	both(t, func(t *testing.T, isolated bool) {
		synctest.Test(t, func(t *testing.T) {
			d := newDispatcher(t, hook.Options{})
			h := before("slow", func(ctx context.Context, _ *hook.Change) error {
				deadline, ok := ctx.Deadline()
				require.True(t, ok)
				require.Equal(t, 50*time.Millisecond, time.Until(deadline))
				<-ctx.Done()
				require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
				return nil // too late
			})
			h.Timeout, h.Isolated = 50*time.Millisecond, isolated
			require.NoError(t, d.Register(h))
			for range 3 {
				begun := time.Now()
				err := d.Before(background, set(scope.Global(), "k", 1))
				require.ErrorIs(t, err, hook.ErrTimeout)
				require.Equal(t, 50*time.Millisecond, time.Since(begun))
				time.Sleep(time.Hour) // the watchdog parks
			}
			m := figures(t, d, "slow")
			require.EqualValues(t, 3, m.Timeouts)
			require.EqualValues(t, 3, m.Failures)
			require.Zero(t, m.Stuck)
		})
	})
}

// Of two hooks whose time is up, each is told at its own time, also one with a shorter
// timeout that is registered while the other one runs.
func TestDeadlinesAreMetEachAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		var wg sync.WaitGroup
		for i, timeout := range []time.Duration{time.Minute, time.Second, 5 * time.Millisecond} {
			h, letGo := deaf(fmt.Sprint("h", i), timeout)
			defer letGo()
			h.Keys, h.Isolated = fmt.Sprint("k", i), true
			require.NoError(t, d.Register(h))
			for n := range 3 {
				wg.Go(func() {
					time.Sleep(time.Duration(n) * 100 * time.Millisecond)
					begun := time.Now()
					err := d.Before(background, set(scope.Global(), h.Keys, 1))
					if took := time.Since(begun); !errors.Is(err, hook.ErrTimeout) || took != timeout {
						t.Errorf("%v after %v instead of %v", err, took, timeout)
					}
				})
			}
			synctest.Wait()
		}
		wg.Wait()
	})
}

// H4: nobody waits for an isolated hook, its calls that hang are bounded, and what it does
// when it wakes up at last is not seen.
func TestAHookThatHangsHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		release := make(chan struct{})
		h := before("hang", func(_ context.Context, c *hook.Change) error {
			<-release
			c.Replace("late")
			return nil
		})
		h.Timeout, h.Isolated, h.Advisory, h.Breaker = time.Second, true, true, hook.Breaker{Window: 64, Failures: 64}
		require.NoError(t, d.Register(h))
		require.NoError(t, d.Register(before("next", func(_ context.Context, c *hook.Change) error { c.Replace("next"); return nil })))
		begun := time.Now()
		for range 20 {
			c := set(scope.Global(), "k", "v")
			require.NoError(t, d.Before(background, c))
			v, _ := c.Replaced()
			require.Equal(t, "next", v)
		}
		require.Equal(t, 16*time.Second, time.Since(begun))
		m := figures(t, d, "hang")
		require.Equal(t, 16, m.Stuck)
		require.EqualValues(t, 4, m.Refused)
		close(release)
		synctest.Wait()
		require.Zero(t, figures(t, d, "hang").Stuck)
		require.NoError(t, d.Before(background, set(scope.Global(), "k", "v")))
	})
}

// A hook on its caller's goroutine holds it once; then it is isolated.
func TestAHookThatWasLateIsIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		h, letGo := deaf("deaf", time.Second)
		require.NoError(t, d.Register(h))
		held := make(chan error, 1)
		begun := time.Now()
		go func() { held <- d.Before(background, set(scope.Global(), "k", 1)) }()
		time.Sleep(2 * time.Second)
		require.Empty(t, held)
		require.ErrorIs(t, d.Before(background, set(scope.Global(), "k", 1)), hook.ErrTimeout)
		require.Equal(t, 3*time.Second, time.Since(begun))
		letGo()
		require.ErrorIs(t, <-held, hook.ErrTimeout, "too late, though it returned nil")
	})
}

func TestTheContextOfAHookEndsWithItsParentAndItsCall(t *testing.T) {
	both(t, func(t *testing.T, isolated bool) {
		synctest.Test(t, func(t *testing.T) {
			d := newDispatcher(t, hook.Options{})
			var kept, derived context.Context
			h := before("keep", func(ctx context.Context, c *hook.Change) error {
				kept = ctx
				require.Equal(t, "here", ctx.Value(parentKey{}))
				require.NoError(t, ctx.Err())
				var cancel context.CancelFunc
				derived, cancel = context.WithCancel(ctx)
				_ = cancel // ends with the call
				if c.Key == "wait" {
					<-derived.Done()
				}
				return ctx.Err()
			})
			h.Isolated = isolated
			require.NoError(t, d.Register(h))
			parent, cancel := context.WithCancel(context.WithValue(background, parentKey{}, "here"))
			require.NoError(t, d.Before(parent, set(scope.Global(), "k", 1)))
			ended := kept
			require.ErrorIs(t, ended.Err(), context.Canceled)
			<-derived.Done()
			time.AfterFunc(time.Second, cancel)
			require.ErrorIs(t, d.Before(parent, set(scope.Global(), "wait", 1)), context.Canceled)
			require.NotSame(t, ended, kept, "a context that was used is not used again")
			m := figures(t, d, "keep")
			require.EqualValues(t, 1, m.Failures)
			soon, stop := context.WithTimeout(background, time.Millisecond)
			defer stop()
			h = before("soon", func(ctx context.Context, _ *hook.Change) error {
				at, _ := ctx.Deadline()
				require.Equal(t, time.Millisecond, time.Until(at))
				return nil
			})
			require.NoError(t, d.Unregister("keep"))
			require.NoError(t, d.Register(h))
			require.NoError(t, d.Before(soon, set(scope.Global(), "k", 1)))
		})
	})
}

type parentKey struct{}

func TestABreakerOpensRefusesProbesAndCloses(t *testing.T) { // B35
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		fails, calls := true, 0
		validator := before("validator", func(context.Context, *hook.Change) error {
			calls++
			if fails {
				return errors.New("down")
			}
			return nil
		})
		validator.Breaker = hook.Breaker{Window: 4, Failures: 2, OpenFor: time.Minute}
		advisory := validator
		advisory.Name, advisory.Keys, advisory.Advisory = "advisory", "a", true
		validator.Keys = "v"
		require.NoError(t, d.Register(validator))
		require.NoError(t, d.Register(advisory))
		try := func(key string) error { return d.Before(background, set(scope.Global(), key, 1)) }
		state := func() hook.BreakerState { return figures(t, d, "validator").Breaker }

		require.Error(t, try("v"))
		require.Equal(t, hook.Closed, state())
		fails = false
		for range 4 { // the failure falls out of the window
			require.NoError(t, try("v"))
		}
		fails = true
		require.Error(t, try("v"))
		require.Equal(t, hook.Closed, state())
		require.Error(t, try("v"))
		require.Equal(t, hook.Open, state())

		calls, fails = 0, false
		require.ErrorIs(t, try("v"), hook.ErrUnavailable, "an open validator refuses")
		require.Zero(t, calls)
		time.Sleep(time.Minute)
		fails = true
		require.ErrorContains(t, try("v"), "down", "the probe")
		require.ErrorIs(t, try("v"), hook.ErrUnavailable)
		time.Sleep(time.Minute)
		fails = false
		require.NoError(t, try("v"))
		require.Equal(t, hook.Closed, state())
		require.Equal(t, 2, calls)
		require.EqualValues(t, 2, figures(t, d, "validator").Refused)

		fails = true
		for range 3 {
			require.NoError(t, try("a"))
		}
		m := figures(t, d, "advisory")
		require.Equal(t, hook.Open, m.Breaker)
		require.EqualValues(t, 1, m.Refused)
	})
}

// One probe at a time; the others are refused until it is known how it went.
func TestAHalfOpenBreakerLetsOneCallPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		var calls atomic.Int32
		h := before("h", func(context.Context, *hook.Change) error {
			if calls.Add(1) == 1 {
				return errors.New("down")
			}
			time.Sleep(time.Second)
			return nil
		})
		h.Breaker = hook.Breaker{Failures: 1, Window: 1, OpenFor: time.Minute}
		require.NoError(t, d.Register(h))
		require.Error(t, d.Before(background, set(scope.Global(), "k", 1)))
		time.Sleep(time.Minute)
		var wg sync.WaitGroup
		var passed atomic.Int32
		for range 16 {
			wg.Go(func() {
				if d.Before(background, set(scope.Global(), "k", 1)) == nil {
					passed.Add(1)
				}
			})
		}
		synctest.Wait()
		require.Equal(t, hook.HalfOpen, figures(t, d, "h").Breaker)
		wg.Wait()
		require.EqualValues(t, 1, passed.Load())
		require.Equal(t, hook.Closed, figures(t, d, "h").Breaker)
	})
}

func TestSlowCallsOpenABreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		took := 2 * time.Second
		h := before("h", func(context.Context, *hook.Change) error { time.Sleep(took); return nil })
		h.Breaker = hook.Breaker{SlowCalls: 2, SlowAfter: time.Second, OpenFor: time.Minute}
		require.NoError(t, d.Register(h))
		try := func() error { return d.Before(background, set(scope.Global(), "k", 1)) }
		require.NoError(t, try())
		require.NoError(t, try())
		require.ErrorIs(t, try(), hook.ErrUnavailable)
		time.Sleep(time.Minute)
		require.NoError(t, try(), "a probe that is slow")
		require.ErrorIs(t, try(), hook.ErrUnavailable)
		time.Sleep(time.Minute)
		took = time.Millisecond
		require.NoError(t, try())
		require.NoError(t, try())
	})
}

// Callers that give up say nothing of the hook.
func TestABreakerDoesNotCountWhatCallersCallOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		fails := true
		h := before("h", func(ctx context.Context, c *hook.Change) error {
			if c.Key == "wait" {
				<-ctx.Done()
				return ctx.Err()
			}
			if fails {
				return errors.New("down")
			}
			return nil
		})
		h.Breaker = hook.Breaker{Window: 1, Failures: 1, OpenFor: time.Minute}
		require.NoError(t, d.Register(h))
		giveUp := func() {
			ctx, cancel := context.WithTimeout(background, time.Second)
			defer cancel()
			require.ErrorIs(t, d.Before(ctx, set(scope.Global(), "wait", 1)), context.DeadlineExceeded)
		}
		giveUp()
		require.Equal(t, hook.Closed, figures(t, d, "h").Breaker)
		require.Error(t, d.Before(background, set(scope.Global(), "k", 1)))
		time.Sleep(time.Minute)
		giveUp() // the probe
		require.Equal(t, hook.Open, figures(t, d, "h").Breaker)
		fails = false
		require.NoError(t, d.Before(background, set(scope.Global(), "k", 1)), "the next call probes")
	})
}

func TestFiguresOfAHook(t *testing.T) { // B70
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		var n int
		require.NoError(t, d.Register(before("h", func(context.Context, *hook.Change) error {
			n++
			time.Sleep(time.Duration(n) * time.Millisecond)
			return nil
		})))
		require.Zero(t, figures(t, d, "h").P50)
		for range 100 {
			require.NoError(t, d.Before(background, set(scope.Global(), "k", 1)))
		}
		m := figures(t, d, "h")
		require.EqualValues(t, 100, m.Calls)
		for _, q := range []struct {
			got, exact time.Duration
		}{{m.P50, 50 * time.Millisecond}, {m.P95, 95 * time.Millisecond}, {m.P99, 99 * time.Millisecond}} {
			require.Greater(t, q.got, q.exact)
			require.LessOrEqual(t, q.got, q.exact+q.exact/8)
		}
	})
}

// Close waits for before-hooks that are running, and their time is still watched.
func TestCloseWaitsForBeforeHooks(t *testing.T) {
	both(t, func(t *testing.T, isolated bool) {
		synctest.Test(t, func(t *testing.T) {
			d := newDispatcher(t, hook.Options{})
			h := before("slow", func(ctx context.Context, _ *hook.Change) error {
				<-ctx.Done()
				return ctx.Err()
			})
			h.Timeout, h.Isolated = time.Minute, isolated
			require.NoError(t, d.Register(h))
			ended := make(chan error, 1)
			go func() { ended <- d.Before(background, set(scope.Global(), "k", 1)) }()
			synctest.Wait()
			begun := time.Now()
			require.NoError(t, d.Close(background))
			require.Equal(t, time.Minute, time.Since(begun))
			require.ErrorIs(t, <-ended, hook.ErrTimeout)
		})
	})
}

// Durations that no histogram has a bucket for are in the last one.
func TestTheLongestCallsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		require.NoError(t, d.Register(before("h", func(_ context.Context, c *hook.Change) error {
			if c.Key == "long" {
				time.Sleep(100 * time.Minute) // deaf, on its caller's goroutine
			}
			return nil
		})))
		require.NoError(t, d.Before(background, set(scope.Global(), "k", 1)))
		require.LessOrEqual(t, figures(t, d, "h").P99, 64*time.Nanosecond)
		require.ErrorIs(t, d.Before(background, set(scope.Global(), "long", 1)), hook.ErrTimeout)
		m := figures(t, d, "h")
		require.EqualValues(t, 2, m.Calls)
		require.Greater(t, m.P99, 70*time.Minute)
	})
}

// More callers at once than calls are kept for: all are served.
func TestManyCallersAtOnce(t *testing.T) {
	both(t, func(t *testing.T, isolated bool) {
		synctest.Test(t, func(t *testing.T) {
			d := newDispatcher(t, hook.Options{})
			h := before("slow", func(context.Context, *hook.Change) error { time.Sleep(time.Second); return nil })
			h.Isolated = isolated
			require.NoError(t, d.Register(h))
			var wg sync.WaitGroup
			for range 300 {
				wg.Go(func() {
					if err := d.Before(background, set(scope.Global(), "k", 1)); err != nil {
						t.Error(err)
					}
				})
			}
			begun := time.Now()
			wg.Wait()
			require.Equal(t, time.Second, time.Since(begun))
		})
	})
}

// Beyond the first calls every eighth one tells how long they take, for eight: all are counted, and a breaker
// meets each that is slow.
func TestFiguresOfManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{})
		took := time.Millisecond
		h := before("h", func(context.Context, *hook.Change) error { time.Sleep(took); return nil })
		h.Breaker = hook.Breaker{SlowCalls: 3, SlowAfter: time.Second, OpenFor: time.Minute}
		require.NoError(t, d.Register(h))
		h.Name, h.Breaker = "i", hook.Breaker{}
		require.NoError(t, d.Register(h))
		for i := range 4096 {
			if i == 2048 {
				took = 10 * time.Millisecond
			}
			require.NoError(t, d.Before(background, set(scope.Global(), "k", 1)))
		}
		for _, name := range []string{"h", "i"} {
			m := figures(t, d, name)
			require.EqualValues(t, 4096, m.Calls)
			require.Greater(t, m.P50, took/11)
			require.Less(t, m.P50, took/8)
			require.Greater(t, m.P95, took)
		}
		took = time.Second
		for range 3 {
			require.NoError(t, d.Before(background, set(scope.Global(), "k", 1)))
		}
		require.ErrorIs(t, d.Before(background, set(scope.Global(), "k", 1)), hook.ErrUnavailable)
	})
}
