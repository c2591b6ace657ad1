package hook_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/hook"
)

// A worker that has learned to linger is woken by whoever waits for it, and for no event that waits alone for
// long: in a bubble time passes only when everybody waits, so that it tells who waits for whom.
func TestWorkersThatLingerKeepNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, hook.Options{Workers: 1, QueueLen: 64})
		var handled atomic.Int64
		require.NoError(t, d.Register(hook.Hook{
			Name: "count", Points: []hook.Point{hook.AfterSet},
			After: func(context.Context, hook.Event) error { handled.Add(1); return nil },
		}))
		tell := func(n int) {
			for range n {
				d.After(context.Background(), hook.Event{Op: hook.OpSet, Key: "k"})
			}
		}
		lingers := func() bool { // an event after another waits for time to pass
			tell(1)
			synctest.Wait()
			before := handled.Load()
			tell(1)
			synctest.Wait()
			return handled.Load() == before
		}
		for range 200 { // what is told while it sleeps is found together
			tell(20)
			synctest.Wait()
		}
		require.True(t, lingers(), "the worker has not learned to linger")
		begun := time.Now()
		require.NoError(t, d.Drain(context.Background()))
		require.Zero(t, time.Since(begun), "Drain waits for a worker that sleeps")

		require.True(t, lingers())
		tell(64)
		require.Zero(t, time.Since(begun), "who finds the queue full waits for a worker that sleeps")
		require.NoError(t, d.Drain(context.Background()))

		for range 40 { // one at a time
			tell(1)
			time.Sleep(time.Millisecond)
		}
		require.False(t, lingers(), "lingering goes on where it does not pay")
		require.Equal(t, uint64(handled.Load()), d.Metrics().Hooks[0].Calls)
	})
}
