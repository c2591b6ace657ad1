package hook

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxCorrelationLen is the length in bytes of the longest correlation id, and of the
// longest name of an actor.
const MaxCorrelationLen = 128

// maxDepth is how many hooks may have set each other off before the next ones are refused:
// a hook that makes the change it waits for would go on for ever.
const maxDepth = 16

// Trace is what a context says of the changes that are made with it.
type Trace struct {
	// Correlation is the id of the whole that they belong to, empty if there is none.
	Correlation string
	// Actor is who makes them.
	Actor string
	// Cause is the event that a hook is handling with this context.
	Cause ID

	depth     int  // hooks that have set each other off
	simulated bool // nothing may be written
}

// Simulated reports whether nothing may be written with the context.
func (t *Trace) Simulated() bool { return t.simulated }

type traceKey struct{}

// TraceOf returns what the context says, the zero Trace if nothing.
func TraceOf(ctx context.Context) Trace {
	if t, ok := ctx.Value(traceKey{}).(*Trace); ok {
		return *t
	}
	return Trace{}
}

// WithCorrelation returns a context whose changes, and those of every context derived from
// it, have this correlation id: 1 to MaxCorrelationLen bytes of valid UTF-8 without control
// characters. Changes that after-hooks make with their own context have that of the event
// they handle, which begins a correlation where there was none. Errors match ErrInvalid.
func WithCorrelation(ctx context.Context, id string) (context.Context, error) {
	if err := checkText("correlation id", id); err != nil {
		return nil, err
	}
	t := TraceOf(ctx)
	t.Correlation = id
	return context.WithValue(ctx, traceKey{}, &t), nil
}

// WithActor returns a context whose changes are made by this actor, a text like a
// correlation id. Errors match ErrInvalid.
func WithActor(ctx context.Context, actor string) (context.Context, error) {
	if err := checkText("actor", actor); err != nil {
		return nil, err
	}
	t := TraceOf(ctx)
	t.Actor = actor
	return context.WithValue(ctx, traceKey{}, &t), nil
}

// Simulate returns a context with which nothing may be written: whoever makes changes
// answers ErrSimulated instead. Replays that simulate give it to hooks.
func Simulate(ctx context.Context) context.Context {
	t := TraceOf(ctx)
	t.simulated = true
	return context.WithValue(ctx, traceKey{}, &t)
}

// Simulated reports whether nothing may be written with the context. Hooks with effects
// outside the store ask, too.
func Simulated(ctx context.Context) bool { return TraceOf(ctx).simulated }

// Within reports whether the context is one that a hook was given, or one made of it.
func Within(ctx context.Context) bool { return TraceOf(ctx).depth > 0 }

func checkText(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: the %s is empty", ErrInvalid, what)
	case len(s) > MaxCorrelationLen:
		return fmt.Errorf("%w: the %s of %d bytes exceeds %d", ErrInvalid, what, len(s), MaxCorrelationLen)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%w: the %s is not UTF-8 without control characters", ErrInvalid, what)
	}
	return nil
}
