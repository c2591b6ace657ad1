package hook

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/mutant"
)

// Errors of setting up.
var (
	// ErrInvalid is the error of an option, a hook or a text that cannot be. The text says
	// what is wrong.
	ErrInvalid = errors.New("hook: invalid")
	// ErrExists is the error of a hook whose name is taken.
	ErrExists = errors.New("hook: a hook of this name is registered")
	// ErrUnknown is the error of a name that no hook has.
	ErrUnknown = errors.New("hook: no such hook")
	// ErrClosed is the error of a closed Dispatcher.
	ErrClosed = errors.New("hook: closed")
)

// Errors of calls, within a *CallError.
var (
	// ErrTimeout says that a hook's time was up before it returned.
	ErrTimeout = errors.New("hook: timed out")
	// ErrUnavailable says that a hook was not called: its breaker is open, or too many of
	// its calls have timed out and still not returned.
	ErrUnavailable = errors.New("hook: not called: its breaker is open or its calls hang")
	// ErrExited says that a hook ended its goroutine instead of returning.
	ErrExited = errors.New("hook: goroutine exited")
	// ErrDropped says that an event was not handled: the queue was full, or closed.
	ErrDropped = errors.New("hook: event dropped")
	// ErrDepth says that hooks have set each other off too many times in a row.
	ErrDepth = errors.New("hook: hooks set each other off without end")
)

// Errors of replays.
var (
	// ErrSimulated is the error of a write with a context of Simulate.
	ErrSimulated = errors.New("hook: nothing is written in a simulation")
	// ErrNotRecorded is the error of a replay of an event that was recorded without values,
	// by hooks that need them.
	ErrNotRecorded = errors.New("hook: values were not recorded")
)

// VetoError says that a hook forbids a change, which was not made.
type VetoError struct {
	// Hook is the hook's name.
	Hook string
	// Reason is the hook's own text.
	Reason string
}

// Error names the hook and its reason.
func (e *VetoError) Error() string {
	return fmt.Sprintf("hook: %s vetoes the change: %s", e.Hook, e.Reason)
}

// Veto returns the error by which a before-hook forbids a change.
func Veto(reason string) error { return &VetoError{Reason: reason} }

// CallError says that a hook failed. Where a before-hook did, which is not advisory, the
// change was not made.
type CallError struct {
	// Hook is the hook's name.
	Hook string
	// Point is where it was called.
	Point Point
	// Err is what the hook returned, a *PanicError, or one of the errors of calls.
	Err error
}

// Error names the hook, the point and the cause.
func (e *CallError) Error() string { return fmt.Sprintf("hook: %s at %s: %v", e.Hook, e.Point, e.Err) }

// Unwrap returns Err.
func (e *CallError) Unwrap() error { return e.Err }

// PanicError says that a hook has panicked.
type PanicError struct {
	// Value is what it panicked with.
	Value any
	// Stack is the goroutine's stack at the panic, as text.
	Stack []byte
}

// Error tells the value if it is a text or an error, which the hook has made to be read, and else its type: it may
// be the change itself, with key and value. It does not tell the stack.
func (e *PanicError) Error() string {
	if mutant.Enabled && mutant.Is(mutant.TellPanics) {
		return fmt.Sprintf("hook: panic: %v", e.Value)
	}
	switch v := e.Value.(type) {
	case error:
		return fmt.Sprintf("hook: panic: %v", v) // whose Error may panic too
	case string:
		return "hook: panic: " + v
	}
	return fmt.Sprintf("hook: panic with a %T", e.Value)
}
