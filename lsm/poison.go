package lsm

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// poison is the store's first fatal error of writing. Once set it never changes:
// nothing further is acknowledged, nothing is flushed, no edit is written. What was
// acknowledged is safe, in synced files that nothing touches any more.
type poison struct {
	cause atomic.Pointer[error]
}

// err returns the error that every write now gets, or nil.
func (p *poison) err() error {
	if c := p.cause.Load(); c != nil {
		return *c
	}
	return nil
}

// poisonedError is what writers of a poisoned store get: ErrPoisoned, and whatever the
// cause matches but lack of space. That resumes by itself, and this does not.
type poisonedError struct{ cause error }

func (e *poisonedError) Error() string { return fmt.Sprintf("%v: %v", ErrPoisoned, e.cause) }

func (e *poisonedError) Unwrap() error { return ErrPoisoned }

func (e *poisonedError) Is(target error) bool {
	return target != ErrNoSpace && errors.Is(e.cause, target)
}

func (e *poisonedError) As(target any) bool { return errors.As(e.cause, target) }

// fail poisons the store with err, unless it is poisoned already, and returns the
// error that writers get.
func (d *DB) fail(err error) error {
	if errors.Is(err, ErrPoisoned) {
		return err
	}
	var wrapped error = &poisonedError{err}
	if d.poison.cause.CompareAndSwap(nil, &wrapped) {
		d.event("writing stopped", "cause", err)
		d.room.wakeAll()
		close(d.feed.failed)
		d.compactor.wake() // to answer DB.Compact
	}
	return d.poison.err()
}
