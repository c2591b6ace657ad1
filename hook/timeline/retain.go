package timeline

import (
	"context"
	"fmt"
	"time"
)

// Retention says which events may go.
type Retention struct {
	// Before removes older events; the zero time none.
	Before time.Time
	// MaxEvents removes the oldest beyond this many; 0 none. Counting them reads them all.
	MaxEvents int
}

// removedTogether is how many events go in one Apply.
const removedTogether = 256

// Retain removes what may go, oldest first, and returns how many events that were. When it
// ends early, by an error of the store or the context, what was removed stays so. Other
// errors match ErrInvalid.
func (t *Timeline) Retain(ctx context.Context, r Retention) (removed int, err error) {
	if r.MaxEvents < 0 {
		return 0, fmt.Errorf("%w: at most %d events", ErrInvalid, r.MaxEvents)
	}
	excess := 0
	lower, upper, err := Range{}.bounds([]byte{kindEvent})
	if err != nil {
		return 0, err
	}
	if r.MaxEvents > 0 {
		excess = -r.MaxEvents
		for _, err := range t.store.Scan(ctx, lower, upper) {
			if err != nil {
				return 0, fmt.Errorf("timeline: retain: %w", err)
			}
			excess++
		}
	}
	for {
		n, err := t.removeSome(ctx, r.Before, excess-removed)
		removed += n
		if err != nil || n < removedTogether {
			return removed, err
		}
	}
}

// removeSome removes the oldest events, those before a time or as many as are in excess, up
// to removedTogether.
func (t *Timeline) removeSome(ctx context.Context, before time.Time, excess int) (int, error) {
	var keys [][]byte
	n := 0
	for ev, err := range t.ByTime(ctx, Range{}) {
		if err != nil {
			return 0, err
		}
		if n == removedTogether || n >= excess && !ev.Time.Before(before) {
			break
		}
		keys = append(append(keys, eventKey(&ev)), indexKeys(&ev)...)
		n++
	}
	if n == 0 {
		return 0, nil
	}
	if err := t.store.Apply(ctx, nil, keys); err != nil {
		return 0, fmt.Errorf("timeline: retain: %w", err)
	}
	return n, nil
}
