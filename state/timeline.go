package state

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
)

// TimelineOptions say what is recorded of events, and for how long.
type TimelineOptions struct {
	// RecordValues records old and new values too, which takes a read for each write. Those of class
	// Sensitive, and what blind changes come to, never are.
	RecordValues bool
	// MaxAge is how long events are kept: 30 days unless set; negative means for ever.
	MaxAge time.Duration
	// MaxEvents is how many events are kept, the newest, about: at times a tenth more. 0 means any
	// number.
	MaxEvents int
}

const defaultMaxAge = 30 * 24 * time.Hour

func (o *TimelineOptions) validate() error {
	if o.MaxEvents < 0 {
		return fmt.Errorf("%w: a timeline of %d events", ErrOption, o.MaxEvents)
	}
	return nil
}

// timelineScope is where events are recorded.
var timelineScope = scope.Custom(reservedName + "timeline")

// Timeline returns the events that were recorded, while Options.Timeline was set: by time, scope, key
// and correlation, what has caused one and what it has caused, and Replay, which plays them to the
// hooks of today. It is never nil. In a store with access control all of it is denied: View.Timeline is
// for admins.
func (s *Store) Timeline() *timeline.Timeline {
	if s.control == nil {
		return s.timeline
	}
	return s.As("").Timeline()
}

// Timeline returns the events that were recorded, as Store.Timeline does, for an admin of everything: to
// others every step on it is denied.
func (v *View) Timeline() *timeline.Timeline {
	r := *v.store.records
	r.asks = v
	t, _ := timeline.New(&r, v.store.records.settings) // as before
	return t
}

// openTimeline makes the timeline. The engine is open.
func (s *Store) openTimeline(o *TimelineOptions) error {
	var err error
	s.records = &records{store: s, settings: timeline.Options{Codec: valueCodec{}}}
	if s.records.space, err = s.engine.space(timelineScope); err != nil {
		return err
	}
	settings := &s.records.settings
	if o != nil {
		s.recording, s.recordValues, settings.RecordValues = true, o.RecordValues, o.RecordValues
	}
	if s.timeline, err = timeline.New(s.records, *settings); err != nil {
		return err
	}
	if s.recording && !s.readOnly {
		s.retain = &retention{age: cmp.Or(o.MaxAge, defaultMaxAge), events: o.MaxEvents, wake: make(chan struct{}, 1)}
		s.background.Go(func() { s.retain.run(s) })
	}
	return nil
}

// appendRecord appends the writes that record an event in a space of the timeline, the event last.
func (s *Store) appendRecord(ws []write, in space, ev *hook.Event) ([]write, error) {
	entries, err := s.timeline.AppendEntries(nil, ev)
	if err != nil {
		return ws, fmt.Errorf("%w: %w", ErrOption, err) // of the correlation id: all else is known to be right
	}
	for _, e := range entries {
		ws = append(ws, recordOf(in, &e))
	}
	s.retain.note()
	return ws, nil
}

func recordOf(in space, e *timeline.Entry) write {
	w := write{space: in, key: e.Key, value: e.Value}
	if w.value == nil {
		w.value = []byte{}
	}
	return w
}

// records is the store of the timeline: the engine's scope, as it is.
type records struct {
	store    *Store
	space    space
	settings timeline.Options
	asks     *View // who must be an admin for every step; nil: the store itself
}

// may returns nil if whoever has the records may take a step.
func (r *records) may(ctx context.Context) error {
	if r.asks == nil {
		return ctx.Err()
	}
	return r.asks.administer(ctx)
}

// Apply writes and deletes.
func (r *records) Apply(ctx context.Context, writes []timeline.Entry, deletes [][]byte) error {
	ws := make([]write, 0, len(writes)+len(deletes))
	for i := range writes {
		ws = append(ws, recordOf(r.space, &writes[i]))
	}
	for _, key := range deletes {
		ws = append(ws, write{space: r.space, key: key})
	}
	if err := r.may(ctx); err != nil {
		return err
	}
	switch {
	case r.store.readOnly:
		return ErrReadOnly
	case hook.Simulated(ctx):
		return hook.ErrSimulated
	case len(ws) == 0:
		return nil
	}
	_, err := r.store.commit(ws, r.store.memory || r.store.noSync)
	return err
}

// Get returns an entry.
func (r *records) Get(ctx context.Context, key []byte) (timeline.Entry, bool, error) {
	if err := r.may(ctx); err != nil {
		return timeline.Entry{}, false, err
	}
	var i info
	value, err := r.space.get(nil, key, &i)
	if err != nil {
		if err == ErrNotFound { // returned bare
			err = nil
		}
		return timeline.Entry{}, false, err
	}
	return timeline.Entry{Key: key, Value: value, Number: uint64(i.version)}, true, nil
}

// Scan yields entries.
func (r *records) Scan(ctx context.Context, lower, upper []byte) iter.Seq2[timeline.Entry, error] {
	return func(yield func(timeline.Entry, error) bool) {
		left := false
		if err := r.may(ctx); err != nil {
			yield(timeline.Entry{}, err)
			return
		}
		err := scan(r.space, lower, upper, false, func(key, value []byte, i info) bool {
			if ctx.Err() == nil {
				left = !yield(timeline.Entry{Key: bytes.Clone(key), Value: bytes.Clone(value), Number: uint64(i.version)}, nil)
			}
			return !left && ctx.Err() == nil
		})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil && !left {
			yield(timeline.Entry{}, err)
		}
	}
}

// valueCodec is how values of events are recorded.
type valueCodec struct{}

func (valueCodec) Append(dst []byte, v any) ([]byte, error) { return codec.Append(dst, v, &stored) }
func (valueCodec) Decode(p []byte) (any, error)             { return codec.Decode(p, &stored) }

// retention removes events that are not to be kept: when the store is opened, when a tenth of
// MaxEvents was recorded, and when a tenth of MaxAge has passed.
type retention struct {
	// Constant.
	age    time.Duration // negative: for ever
	events int           // 0: any number
	wake   chan struct{}

	recorded atomic.Int64 // since it last was time
}

// note counts an event that is about to be recorded.
func (r *retention) note() {
	if r.events > 0 && r.recorded.Add(1) == int64(r.events/10+1) {
		select {
		case r.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// Bounds of how often a timeline is looked at for what is too old.
const (
	leastRest = time.Second
	mostRest  = time.Hour
)

func (r *retention) run(s *Store) {
	rest := mostRest
	if r.age > 0 {
		rest = min(max(r.age/10, leastRest), mostRest)
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	for {
		r.recorded.Store(0)
		keep := timeline.Retention{MaxEvents: r.events}
		if r.age > 0 {
			keep.Before = s.time().Add(-r.age)
		}
		// What could not be removed is met again the next time.
		_, _ = s.timeline.Retain(s.ended, keep)
		select {
		case <-s.ended.Done():
			return
		case <-r.wake:
		case <-timer.C:
			timer.Reset(rest)
		}
	}
}
