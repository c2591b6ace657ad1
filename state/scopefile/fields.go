package scopefile

import (
	"fmt"
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
