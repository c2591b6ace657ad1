// Package metamorphic plays one history of operations on stores that are opened with many
// different option sets, and compares what each of them says, line by line, with a model
// and so with each other. Options decide how fast a store is and how much it remembers, and
// never what it answers. On the way processes are killed, the power is cut, and calls of the
// file system fail.
//
// A history is a slice of operations that follow from a seed. Each has a line as its answer.
// The model, to which nothing ever happens, is consulted once for all stores: it knows the
// line of each operation, and what the store holds after each commit. A store that was killed
// must hold all that it acknowledged, and one whose power was cut what is promised to be on
// the device, and nothing but a first part of the history. Then what it has lost is written
// again, so that all stores go on from the same contents, whatever became of them.
//
// Errors come in windows of some operations, during which calls go wrong. An operation that
// fails must do so with an error that has a type, and must not have happened, unless the
// store has stopped: then it is opened again and may have happened. The operation is then
// played once more, without faults, and must give its line. While a window is open nothing is
// made that would not survive this, such as snapshots.
//
// # A new operation
//
// One kind of operation is one type, in a file of its own or beside those that are like it:
//
//	func init() { register("touch", 100, func(g *generator) touch { return touch{g.key()} }) }
//
//	// touch is …
//	type touch struct{ Key text }
//
//	func (o *touch) model(m *Model) string { … m.commit(state, synced); return "ok" }
//
//	func (o *touch) apply(p *player) (string, error) { return outcome(p.db.Touch(…)) }
//
// Its fields are exported and say all of it, since failing histories are printed and read
// again. It must make sense in any state, since shrinking leaves out any part of a history. An
// operation that commits several times calls Model.commit each time. What a store remembers of
// a key beyond its value, and shows later, belongs into tree, and player.repair writes it
// again. What an operation keeps, such as a snapshot, is closed by Model.end and player.end,
// and is not made while Model.window is open. Time moves by Model.wait and clock.advance only,
// in whole hours.
//
// # Reading order
//
// op.go, generate.go; tree.go, state.go, model.go; sets.go; play.go, player.go, restart.go;
// run.go, shrink.go, format.go. The operations are in write.go, merge.go, expiry.go, read.go,
// iterate.go, txn.go, scopes.go, diff.go, watch.go, whole.go and life.go.
package metamorphic
