// Package state keeps typed values in scopes: what a program, its agents, its users and its
// workflows must know again tomorrow.
//
//	store, err := state.Open("state", nil)
//	sc := store.Scope(scope.Agent("a1"))
//	err = sc.Set(ctx, "goal", "write the report")
//	goal, err := sc.Get(ctx, "goal")              // any
//	goal, err := state.Get[string](ctx, sc, "goal") // or a Go type
//
// A value is nil, a bool, an int64, uint64 or float64, a string, bytes, a time, a list or a map;
// Go types are written as what they amount to (docs/values.md). A scope is a space of keys of its
// own (docs/guide/scopes.md). A class says how a value is treated on its way (docs/state.md).
//
// Begin with Open and OpenMemory, Store.Scope, and the methods of Scope, which Store has too, with the scope's
// name behind the context; Get, Set, Key and Collection are their typed forms. Options say what a store does
// with what is written, Option what one call does. Store.Transact changes several scopes together,
// Store.Snapshot keeps a moment, Scope.Watch tells of changes, Store.Hooks runs functions before and after
// them, Store.As is the store as one principal may use it, Store.Engine what whoever runs the store needs:
// copies, keys, checks. Programs to copy are in the directory examples, a guide in docs/guide.
//
// The package must not know how bytes are kept: store_lsm.go alone knows package lsm, and door.go lists what it does.
//
// Invariants:
//
//   - S1. What was read is the caller's own, and what was written is not kept: values share
//     nothing with the store.
//   - S2. Whatever writes a value takes the way of write.go: nothing reaches the engine past it. Store.Engine has
//     nothing that writes one.
//   - S3. An operation that fails has changed nothing; one on several keys happens as one commit.
//   - S4. What depends on what was read is written on the condition that it was not written in
//     between, which the engine judges within its commit.
//   - S5. What is stored says how it is encoded and which class it has: no reader has to know how
//     it was written.
//   - S6. The store's own records in a scope have keys that begin with a zero byte, which no
//     user's key has: no operation on keys shows or touches them, and whatever is done to a whole
//     scope is done to them.
//   - S7. Every error of an operation is a *Error.
//   - S8. A handle of a view does nothing itself: it asks, and passes the operation on to the handle
//     behind its guard. An operation that does not ask fails.
//   - S9. What is told of a change is what was committed, once: hooks.go has the invariants of hooks.
//   - S10. What is of class Sensitive is sealed by whatever writes it, and no event and no index has it.
//
// Reading order: door.go, what the engine does, and store_lsm.go, how; engine.go, what it does for whoever runs it; options.go, option.go, class.go, errors.go;
// store.go, scope.go, list.go; write.go, the way of a value into the store, then modify.go,
// blind.go and many.go; hooks.go, notice.go and timeline.go, what looks at it and is told;
// ephemeral.go, values beside the engine; snapshot.go, txn.go, whole.go, export.go,
// import.go and import_merge.go, watch.go; control.go,
// view.go, gate.go and own.go, what principals may do; protect.go, what is personal; shred.go, what is
// sealed and its end; retention.go, sweeper.go and sweep.go, what scopes
// keep; begin.go, lease.go, history.go, expiry.go, metrics.go and exposition.go; typed.go and explicit.go, other forms of the same; collection.go and the files named after it.
package state
