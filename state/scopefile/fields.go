package scopefile

import (
	"fmt"
	"math"
	"time"

	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/typedjson"
)

// fields are those of a line, from which each is taken once. The first error sticks.
type fields struct {
	m   map[string]any
	err error
}

func fieldsOf(line []byte, l *codec.Limits) *fields {
	v, err := typedjson.Decode(line, l)
	if err != nil {
		return &fields{err: fmt.Errorf("%w: %w", ErrFormat, err)}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return &fields{err: fmt.Errorf("%w: not an object", ErrFormat)}
	}
	return &fields{m: m}
}

func (f *fields) has(name string) bool {
	_, ok := f.m[name]
	return ok
}

// take returns a field of some type, and removes it. One that is not there is the zero value, and an
// error if it must be.
func take[T any](f *fields, name string, must bool) T {
	var zero T
	v, there := f.m[name]
	delete(f.m, name)
	got, ok := v.(T)
	switch {
	case f.err != nil:
		return zero
	case !there && must:
		f.fail("no field %q", name)
	case there && !ok:
		f.fail("field %q is no %T", name, zero)
	}
	return got
}

// instant takes a field that is a time, to the millisecond; zero if it is not there.
func (f *fields) instant(name string) envelope.Millis {
	if !f.has(name) {
		return 0
	}
	t := take[time.Time](f, name, true)
	at := envelope.Millis(t.UnixMilli())
	if f.err == nil && (at < 1 || at > envelope.MaxMillis || !at.Time().Equal(t)) {
		f.fail("field %q is no time between 1970 and 9999, to the millisecond", name)
	}
	return at
}

// retention takes the rule of a scope, which must have a limit.
func (f *fields) retention() Retention {
	limits := &fields{m: take[map[string]any](f, fieldRetention, true), err: f.err}
	limit := func(name string, most int64) int64 {
		if !limits.has(name) {
			return 0
		}
		n := take[int64](limits, name, true)
		if limits.err == nil && (n < 1 || n > most) {
			limits.fail("field %q is not within 1 and %d", name, most)
		}
		return n
	}
	r := Retention{limit(fieldAge, MaxTime), limit(fieldIdling, MaxTime), limit(fieldMost, math.MaxInt64), limit(fieldMostBytes, math.MaxInt64)}
	if f.err = limits.end(); f.err == nil && r == (Retention{}) {
		f.fail("field %q has no limit", fieldRetention)
	}
	return r
}

// end fails if there are fields that nobody has taken.
func (f *fields) end() error {
	if f.err == nil && len(f.m) > 0 {
		f.fail("unknown field")
	}
	return f.err
}

func (f *fields) fail(text string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: "+text, append([]any{ErrFormat}, args...)...)
	}
}
