//go:build mutants

package mutant

import "os"

// Enabled reports whether this build can plant bugs. Only build tag mutants sets it.
const Enabled = true

var active = Name(os.Getenv("LOAM_MUTANT"))

// Is reports whether the named bug is active.
func Is(n Name) bool { return active == n }
