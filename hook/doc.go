// Package hook runs the functions that users attach to changes, and describes changes as
// events.
//
// A before-hook runs before a change is made: it lets it pass, replaces the value, or vetoes
// it. An after-hook is told of a change that was made, as an Event, on a queue with workers
// of its own. Whoever makes changes (package state) has a Dispatcher and calls Before, makes
// the change, and calls After. Package hook/timeline records events and asks for them.
//
// The package is pure: it must not know of package lsm, of state, of files; time and
// randomness are given to it.
//
// Invariants:
//
//   - H1. A veto always reaches the caller, as *VetoError.
//   - H2. A before-hook that fails refuses the change unless it is advisory: failing is an
//     error, a panic, a deadline that passed, an open breaker.
//   - H3. What a failed hook has done to a change is not seen by anybody.
//   - H4. An isolated hook cannot hold its caller beyond its timeout, and a hook that was
//     late is isolated from then on. None can hold back the queue: another worker takes over.
//   - H5. Events of one key reach each after-hook in the order of the calls of After,
//     one after another, but that a call whose time is up does not hold the next one.
//     Between keys there is no order.
//   - H6. An event is handled by every hook that it matched, or counted as dropped.
//   - H7. Dispatch takes no lock to find hooks; nothing is allocated for a change
//     that no hook matches, nor for hooks that do not touch their context.
//
// Reading order: point.go, change.go, event.go, trace.go, registry.go, dispatch.go,
// call.go, runner.go, quick.go, context.go, watchdog.go, queue.go, breaker.go, metrics.go, replay.go.
package hook
