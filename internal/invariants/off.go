//go:build !invariants && !race

package invariants

// Enabled reports whether the build checks invariants that are too dear for every
// user: build tag invariants, and every build under the race detector.
const Enabled = false
