package hook

import (
	"context"
	"fmt"
)

// Outcome is what hooks make of a change that is played to them again.
type Outcome struct {
	// Change is what the before-hooks have made of it.
	Change Change
	// Refused is the error of the before-hook that would not have it, nil if none.
	Refused error
	// Failures are those of the other hooks.
	Failures []error
}

// Replay runs hooks on a change of the past, first those before it, then, unless one of
// them refuses it, those after it, with the value as it has become. It waits for all of
// them; timeouts and breakers hold. Only hooks with one of the names run, all if there are
// none. Hooks that need values which the event does not have are not called: the error then
// matches ErrNotRecorded. What the hooks themselves write is written, unless the context is
// one of Simulate.
func (d *Dispatcher) Replay(ctx context.Context, ev Event, names ...string) (Outcome, error) {
	out := Outcome{Change: ev.change()}
	if !ev.Op.Valid() {
		return out, fmt.Errorf("%w: no such operation: %d", ErrInvalid, uint8(ev.Op))
	}
	t := d.table.Load()
	c := d.getCall(true)
	if c == nil {
		return out, ErrClosed
	}
	defer func() { d.putCall(c) }()
	set := func(p Point) bool {
		c.mode, c.point, c.hooks, c.parent, c.trace = modeReplay, p, *t.of(ev.Op, ev.Scope.Kind(), ev.To.Kind()).at(p), ctx, TraceOf(ctx)
		c.event, c.good, c.only, c.next, c.clock = ev, out.Change, names, 0, -1
		for _, r := range c.hooks {
			if c.wants(r, &c.good) && ev.Values == nil && (r.Values || p == BeforeSet || p == BeforeAgentSave) {
				return false
			}
		}
		return true
	}
	notRecorded := fmt.Errorf("%w: event %s", ErrNotRecorded, ev.ID)
	if !set(afterPoint(ev.Op)) || !set(beforePoint(ev.Op)) {
		return out, notRecorded
	}
	c = d.drive(c, nil)
	out.Change, out.Refused = c.good, c.err
	if c.err == nil {
		if v, replaced := out.Change.Replaced(); replaced && ev.Values != nil {
			values := *ev.Values
			values.New, values.HasNew = v, true
			ev.Values = &values
		}
		set(afterPoint(ev.Op))
		c = d.drive(c, nil)
	}
	out.Failures = c.failures
	return out, nil
}
