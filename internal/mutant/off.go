//go:build !mutants

package mutant

// Enabled reports whether this build can plant bugs. Only build tag mutants sets it.
const Enabled = false

// Is reports whether the named bug is active.
func Is(Name) bool { return false }
