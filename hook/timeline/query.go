package timeline

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

// Range is a time, from From up to To, which is not within it. A zero time is no bound.
type Range struct {
	// From and To are within the years 1678 to 2262.
	From, To time.Time
}

// ByTime yields the events of a time, in order (T3). Like every query it ends at its first
// error, and may or may not yield what is recorded meanwhile.
func (t *Timeline) ByTime(ctx context.Context, r Range) iter.Seq2[hook.Event, error] {
	return t.query(ctx, []byte{kindEvent}, r)
}

// ByCorrelation yields the events whose CorrelationID is id.
func (t *Timeline) ByCorrelation(ctx context.Context, id string, r Range) iter.Seq2[hook.Event, error] {
	if strings.Contains(id, "\x00") {
		return invalid("correlation id")
	}
	return t.query(ctx, correlationPrefix(id), r)
}

// ByScope yields the events of a scope, copies and moves to it included, those of the
// whole store for the zero Scope.
func (t *Timeline) ByScope(ctx context.Context, s scope.Scope, r Range) iter.Seq2[hook.Event, error] {
	return t.query(ctx, scopePrefix(s), r)
}

// ByKey yields the events of a key, not those of its whole scope.
func (t *Timeline) ByKey(ctx context.Context, s scope.Scope, key string, r Range) iter.Seq2[hook.Event, error] {
	if strings.Contains(key, "\x00") {
		return invalid("key")
	}
	return t.query(ctx, keyPrefix(s, key), r)
}

// Get returns the event of an id. The error matches ErrNotFound if none is recorded.
func (t *Timeline) Get(ctx context.Context, id hook.ID) (hook.Event, error) {
	for ev, err := range t.query(ctx, idPrefix(id), Range{}) {
		return ev, err
	}
	return hook.Event{}, fmt.Errorf("%w: %s", ErrNotFound, id)
}

// Causes returns what set an event off: its cause, the cause of that, and so on, nearest
// first, as far as they are recorded. The error matches ErrNotFound if the event is not.
func (t *Timeline) Causes(ctx context.Context, id hook.ID) ([]hook.Event, error) {
	ev, err := t.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	seen := map[hook.ID]bool{id: true}
	var out []hook.Event
	for !ev.Cause.IsZero() && !seen[ev.Cause] {
		seen[ev.Cause] = true
		found := false
		for cause, err := range t.query(ctx, idPrefix(ev.Cause), Range{}) {
			if err != nil {
				return nil, err
			}
			ev, found = cause, true
		}
		if !found {
			break
		}
		out = append(out, ev)
	}
	return out, nil
}

// Effects yields what an event has set off: first the events whose cause it is, then those
// whose cause these are, and so on; each step in the order of the causes, then of times.
func (t *Timeline) Effects(ctx context.Context, id hook.ID) iter.Seq2[hook.Event, error] {
	return func(yield func(hook.Event, error) bool) {
		seen := map[hook.ID]bool{id: true}
		for causes := []hook.ID{id}; len(causes) > 0; causes = causes[1:] {
			for ev, err := range t.query(ctx, causePrefix(causes[0]), Range{}) {
				if err == nil && seen[ev.ID] {
					continue
				}
				if !yield(ev, err) || err != nil {
					return
				}
				seen[ev.ID] = true
				causes = append(causes, ev.ID)
			}
		}
	}
}

// invalid yields an error alone.
func invalid(what string) iter.Seq2[hook.Event, error] {
	return func(yield func(hook.Event, error) bool) {
		yield(hook.Event{}, fmt.Errorf("%w: the %s holds a zero byte", ErrInvalid, what))
	}
}

// query yields the events behind a prefix of keys.
func (t *Timeline) query(ctx context.Context, prefix []byte, r Range) iter.Seq2[hook.Event, error] {
	return func(yield func(hook.Event, error) bool) {
		lower, upper, err := r.bounds(prefix)
		if err != nil {
			yield(hook.Event{}, err)
			return
		}
		for e, err := range t.store.Scan(ctx, lower, upper) {
			if err != nil {
				yield(hook.Event{}, fmt.Errorf("timeline: scan: %w", err))
				return
			}
			if prefix[0] != kindEvent {
				if e, err = t.follow(ctx, e.Key); err == nil && e.Key == nil {
					continue // removed meanwhile
				}
			}
			var ev hook.Event
			if err == nil {
				ev, err = t.decode(&e)
			}
			if !yield(ev, err) || err != nil {
				return
			}
		}
	}
}

// follow returns the event's entry of an index key, without a key if there is none.
func (t *Timeline) follow(ctx context.Context, index []byte) (Entry, error) {
	key, err := eventKeyOf(index)
	if err != nil {
		return Entry{}, err
	}
	e, ok, err := t.store.Get(ctx, key)
	if err != nil {
		return Entry{}, fmt.Errorf("timeline: get: %w", err)
	}
	if !ok {
		return Entry{}, nil
	}
	return e, nil
}
