package state

import (
	"context"

	"github.com/loamdb/loam/hook"
)

// How a store comes to its end, from the call of Close on:
//
//   - C1. Nobody begins to write values, documents, leases and scopes any more, or begins or commits a transaction:
//     ErrClosed. Hooks may, with the context that they were given or one made of it. Reads go on, but an export
//     that ends now has failed.
//   - C2. What somebody is to be told of and is being committed is waited for, until it has been told: what succeeds
//     is told.
//   - C3. Then after-hooks handle what is in their queue, and what comes of that, which is no more than so
//     many hooks deep. Only then is the queue closed.

// writable returns the error of a write that begins when Close was called (C1).
func (s *Store) writable(ctx context.Context) error {
	if s.closing.Load() && !hook.Within(ctx) {
		return ErrClosed
	}
	return nil
}

// enter says that something is about to be committed and told of. Without an error leave must be called, with the
// same counters, when it has been told.
func (s *Store) enter(ctx context.Context, c *counters) error {
	c.telling.Add(1) // before the look at closing: whoever has missed that is waited for
	err := s.writable(ctx)
	if err != nil {
		s.leave(c)
	}
	return err
}

func (s *Store) leave(c *counters) {
	if c.telling.Add(-1) == 0 && s.closing.Load() {
		select {
		case s.told <- struct{}{}:
		default: // Close will look anyway
		}
	}
}

// drain waits until what has entered is told, and is handled.
func (s *Store) drain() {
	for i := range s.counters {
		for s.counters[i].telling.Load() > 0 {
			<-s.told
		}
	}
	_ = s.hooks.Drain(context.Background()) // there is no error but the context's
}
