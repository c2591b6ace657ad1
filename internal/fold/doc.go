// Package fold knows what merge operands are and folds them into values.
//
// An operand says how a value changes; its operator, which has a name, says what that
// means. Operands of a key pile up above its value, the base, until somebody folds them:
// a reader for himself, the write path, a flush or a compaction for everybody.
//
//	base 5   add 2   add 3   max 100   →   100
//
// The package must not know where entries lie, who reads them, or what time it is: times are
// those that entries carry.
//
// Invariants:
//
//   - O1. An operator's id is a function of its name, the same in every store: what a table
//     holds means the same wherever it is taken.
//   - O2. Folding is exact: full folds, and operands that were combined before, give what one
//     operand after the other gives, at every time.
//   - O3. An operand whose time is at or after the expiry of what is below it sees nothing
//     there; one before it leaves the expiry as it is.
//   - O4. What cannot be folded is an error, and never absence.
//
// Reading order: operand.go, operator.go, builtin.go, base.go, chain.go, combine.go.
package fold
