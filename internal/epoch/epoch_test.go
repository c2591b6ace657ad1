package epoch_test

import (
	"sync"
	"sync/atomic"
	"testing"

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

// Wait waits for a reader that is inside, and only for that.
func TestWaitBlocksUntilTheReaderLeaves(t *testing.T) {
	var d epoch.Domain
	g := d.Enter()
	var returned atomic.Bool
	done := make(chan struct{})
	go func() {
		d.Wait()
		returned.Store(true)
		close(done)
	}()
	for range 100 {
		require.False(t, returned.Load())
		d.Enter().Leave() // others come and go
	}
	g.Leave()
	<-done
}

func BenchmarkEnterLeave(b *testing.B) {
	var d epoch.Domain
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d.Enter().Leave()
		}
	})
}
