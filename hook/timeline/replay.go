package timeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

// Replay says which changes are played to which hooks again.
type Replay struct {
	// Range is when the changes were made.
	Range Range
	// Scopes is a pattern as scope.ParsePattern reads it; empty is every scope.
	Scopes string
	// Hooks are the names of those to run; all if there are none.
	Hooks []string
	// Change, if given, may change what the hooks are told. Where it reports false the event
	// is passed over; an error ends the replay.
	Change func(ev *hook.Event) (bool, error)
	// Apply, if given, makes each change again that no hook refused, as they have left it.
	Apply func(ctx context.Context, ev hook.Event, c hook.Change) error
	// Each, if given, is told of what became of each change.
	Each func(ev hook.Event, out hook.Outcome)
	// Simulate writes nothing: Apply is not called, and hooks are given a context with which
	// whoever makes changes answers hook.ErrSimulated.
	Simulate bool
}

// Report counts what a replay did.
type Report struct {
	// Events were played to hooks; PassedOver were not, as Change said.
	Events, PassedOver int
	// Replaced, Vetoed and Refused changes: a hook put another value in place, vetoed, or
	// failed and so refused it.
	Replaced, Vetoed, Refused int
	// Failures are those of advisory hooks and after-hooks.
	Failures int
	// Applied changes were made again.
	Applied int
}

// Replay plays recorded changes to hooks again, one after another in the order of their
// times, those that were there when it began. It ends at the first error: hook.ErrNotRecorded
// where a hook needs values that were not recorded, unless Change gives some; one of
// Change, of Apply, of the store or of the context. What hooks answer is no error but counted.
func (t *Timeline) Replay(ctx context.Context, d *hook.Dispatcher, r Replay) (Report, error) {
	var report Report
	pattern := "**"
	if r.Scopes != "" {
		pattern = r.Scopes
	}
	scopes, err := scope.ParsePattern(pattern)
	if err != nil {
		return report, fmt.Errorf("%w: replay: %w", ErrInvalid, err)
	}
	keys, err := t.keys(ctx, r.Range)
	if err != nil {
		return report, err
	}
	if r.Simulate {
		ctx = hook.Simulate(ctx)
	}
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		e, err := t.follow(ctx, key)
		if err != nil {
			return report, err
		}
		if e.Key == nil {
			continue // removed meanwhile
		}
		ev, err := t.decode(&e)
		if err != nil {
			return report, err
		}
		if pattern != "**" && !scopes.Match(ev.Scope) && !scopes.Match(ev.To) {
			continue
		}
		if err := report.play(ctx, d, &r, ev); err != nil {
			return report, fmt.Errorf("timeline: replay: event %s: %w", ev.ID, err)
		}
	}
	return report, nil
}

// keys returns the keys of the events in a range, so that those which hooks make while
// they are played do not become part of it.
func (t *Timeline) keys(ctx context.Context, r Range) ([][]byte, error) {
	lower, upper, err := r.bounds([]byte{kindEvent})
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for e, err := range t.store.Scan(ctx, lower, upper) {
		if err != nil {
			return nil, fmt.Errorf("timeline: scan: %w", err)
		}
		keys = append(keys, append([]byte(nil), e.Key...))
	}
	return keys, nil
}

// play plays one event to the hooks.
func (report *Report) play(ctx context.Context, d *hook.Dispatcher, r *Replay, ev hook.Event) error {
	if r.Change != nil {
		keep, err := r.Change(&ev)
		if err != nil {
			return err
		}
		if !keep {
			report.PassedOver++
			return nil
		}
	}
	out, err := d.Replay(ctx, ev, r.Hooks...)
	if err != nil {
		return err
	}
	report.Events++
	report.Failures += len(out.Failures)
	if _, replaced := out.Change.Replaced(); replaced {
		report.Replaced++
	}
	var veto *hook.VetoError
	switch {
	case errors.As(out.Refused, &veto):
		report.Vetoed++
	case out.Refused != nil:
		report.Refused++
	case r.Apply != nil && !r.Simulate:
		if err := r.Apply(ctx, ev, out.Change); err != nil {
			return err
		}
		report.Applied++
	}
	if r.Each != nil {
		r.Each(ev, out)
	}
	return nil
}
