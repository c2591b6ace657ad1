package hook_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

// behave does one of the things that hooks do, good and bad.
func behave(ctx context.Context, choice int, release <-chan struct{}) error {
	switch choice {
	case 0:
		return errors.New("failed")
	case 1:
		panic("panic")
	case 2:
		runtime.Goexit()
	case 3:
		<-ctx.Done()
		return ctx.Err()
	case 4:
		<-release // deaf
	case 8:
		<-release
		runtime.Goexit()
	case 5, 6, 7:
		time.Sleep(time.Duration(choice) * time.Millisecond)
	}
	return nil
}

// Whatever hooks do: an isolated one holds its caller no longer than its timeout (H4), a
// change passes exactly when no hook has refused it (H1, H2), and every event is handled,
// refused by a breaker or dropped (H6).
func TestWhateverHooksDo(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			release := make(chan struct{})
			d := newDispatcher(t, hook.Options{Workers: 1 + r.IntN(3), QueueLen: 1 + r.IntN(8), WhenFull: hook.Policy(r.IntN(2))})
			const hooks, writers, each = 3, 8, 30
			timeout := 20 * time.Millisecond
			choices := make([]int, 64) // mostly good
			for i := range choices {
				choices[i] = r.IntN(40)
			}
			var at atomic.Int64
			next := func() int { return choices[int(at.Add(1))%len(choices)] }
			for i := range hooks {
				b := before(fmt.Sprint("b", i), func(ctx context.Context, _ *hook.Change) error { return behave(ctx, next(), release) })
				b.Timeout, b.Isolated, b.Advisory = timeout, true, i == 0
				a := after(fmt.Sprint("a", i), func(ctx context.Context, _ hook.Event) error { return behave(ctx, next(), release) })
				a.Timeout, a.Breaker.OpenFor = timeout, 50*time.Millisecond
				if i == 0 {
					a.Inline, a.Isolated = true, true
				}
				require.NoError(t, d.Register(b))
				require.NoError(t, d.Register(a))
			}
			var passed, refused atomic.Uint64
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for range each {
						begun := time.Now()
						err := d.Before(background, set(scope.Global(), "k", 1))
						if took := time.Since(begun); took > hooks*timeout {
							t.Errorf("a caller was held for %v", took)
						}
						if err != nil {
							refused.Add(1)
						} else {
							passed.Add(1)
						}
						d.After(background, event(fmt.Sprint("k", w)))
						time.Sleep(time.Millisecond)
					}
				})
			}
			wg.Wait()
			require.NoError(t, d.Drain(background))
			close(release)
			synctest.Wait()
			var vain uint64
			for _, m := range d.Metrics().Hooks {
				require.Zero(t, m.Stuck, m.Name)
				if m.Name[0] == 'a' {
					require.EqualValues(t, writers*each, m.Calls+m.Refused+m.Drops, m.Name)
				} else if m.Name != "b0" {
					vain += m.Failures + m.Refused
				}
			}
			require.Equal(t, refused.Load(), vain)
			require.EqualValues(t, writers*each, passed.Load()+refused.Load())
		})
	}
}
