package state

import (
	"context"
	"fmt"
	"iter"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
)

// History yields the events of a key that were recorded while Options.Timeline was set, oldest first: every
// write, delete and expiry, with the values if these were recorded. The key need not have a value.
// Store.Timeline finds events by other things than their key. An error is yielded once, with a zero Event,
// and ends the loop.
func (s *Scope) History(ctx context.Context, key string) iter.Seq2[hook.Event, error] {
	return func(yield func(hook.Event, error) bool) {
		in, err := s.pass(ctx, access.OpGet, key)
		if err == nil {
			err = in.usable(ctx, key)
		}
		if err == nil && in.store.closed.Load() {
			err = ErrClosed
		}
		if err == nil && in.mode != live {
			err = fmt.Errorf("%w: events are not read at a snapshot or in a transaction", ErrUnsupported)
		}
		if err != nil {
			yield(hook.Event{}, s.fail("history", key, err))
			return
		}
		for ev, err := range in.store.timeline.ByKey(ctx, in.name, key, timeline.Range{}) {
			if err != nil {
				yield(hook.Event{}, in.fail("history", key, err))
				return
			}
			if !yield(ev, nil) {
				return
			}
		}
	}
}
