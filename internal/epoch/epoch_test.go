package epoch_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/epoch"
	"github.com/stretchr/testify/require"
)

// A writer that frees what Wait released never frees under a reader.
func TestReadersNeverSeeFreedState(t *testing.T) {
	type state struct{ freed atomic.Bool }
	var (
		d       epoch.Domain
		current atomic.Pointer[state]
		stop    atomic.Bool
		used    atomic.Int64
		wg      sync.WaitGroup
	)
	current.Store(new(state))
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				g := d.Enter()
				s := current.Load()
				for range 8 {
					if s.freed.Load() {
						used.Add(1)
					}
				}
				g.Leave()
			}
		})
	}
	for range 300 {
		old := current.Swap(new(state))
		d.Wait()
		old.freed.Store(true)
	}
	stop.Store(true)
	wg.Wait()
	require.Zero(t, used.Load(), "a reader held a state that Wait had released")
}

// waiting calls Wait in a bubble of synctest. The result says, once everything in the
// bubble rests, whether Wait has returned.
func waiting(d *epoch.Domain) (returned func() bool) {
	var done atomic.Bool
	go func() {
		d.Wait()
		done.Store(true)
	}()
	return func() bool {
		time.Sleep(time.Minute) // of the bubble's time: Wait looks again after milliseconds
		synctest.Wait()
		return done.Load()
	}
}

// The tests of Wait once passed with a Wait that did nothing: they asked whether it had
// returned before it had a chance to run.
func TestWaitReturnsWhenTheReadersHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d epoch.Domain
		for range 3 { // in either generation
			first, second := d.Enter(), d.Enter()
			returned := waiting(&d)
			require.False(t, returned(), "two readers are inside")
			d.Enter().Leave() // others come and go
			late := d.Enter() // and stay: Wait is not for them
			first.Leave()
			require.False(t, returned(), "a reader is inside")
			second.Leave()
			require.True(t, returned())
			late.Leave()
		}
	})
}

// A reader that has loaded the generation, but is not counted yet, is missed by the
// Wait that flips it, and rightly: it will see the new pointer. The next Wait has to
// wait for it, though it stands in the generation that was idle (E2).
func TestWaitWaitsForAStragglerOfTheFlipBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d epoch.Domain
		for range 3 {
			generation := d.Generation()
			d.Wait()
			straggler := d.EnterIn(generation)
			returned := waiting(&d)
			require.False(t, returned(), "the straggler may hold what the first Wait installed")
			straggler.Leave()
			require.True(t, returned())
		}
	})
}

func BenchmarkEnterLeave(b *testing.B) {
	var d epoch.Domain
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d.Enter().Leave()
		}
	})
}
