package state

import (
	"context"
	"errors"
	"time"

	"github.com/loamdb/loam/hook"
)

// Values that have expired. The engine tells of each until a commit takes the telling away, which is the
// one that records the event: so the timeline has it once, whatever crashes, and hooks are told behind it.

// tellExpiries tells of what expires until the store ends.
func (s *Store) tellExpiries() {
	const rest = time.Second
	for {
		gone, err := s.engine.expired(s.ended)
		if err == nil {
			err = s.tellExpired(gone)
		}
		if s.ended.Err() != nil || errors.Is(err, ErrClosed) || errors.Is(err, ErrPoisoned) {
			return
		}
		if err == nil {
			continue
		}
		pause := time.NewTimer(rest) // what failed is told of again
		select {
		case <-pause.C:
		case <-s.ended.Done():
			pause.Stop()
			return
		}
	}
}

// tellExpired records that values have expired, and tells of it.
func (s *Store) tellExpired(gone []expiry) error {
	var events []hook.Event
	var ws []write
	for _, e := range gone {
		key, told := userKey(e.Key)
		if !told || reservedScope(e.Scope) {
			continue // the store's own
		}
		collection, _ := splitName(e.Key)
		ev := hook.Event{Op: hook.OpExpire, Scope: e.Scope, Key: key, Collection: collection, Time: e.Expiry.UTC()}
		s.hooks.Stamp(context.Background(), &ev)
		if s.recording {
			var err error
			if ws, err = s.appendRecord(ws, s.records.space, &ev); err != nil {
				return err
			}
		}
		events = append(events, ev)
	}
	if _, err := s.engine.commit(ws, true, gone...); err != nil {
		return err
	}
	for i := range events {
		s.hooks.After(context.Background(), events[i])
	}
	return nil
}
