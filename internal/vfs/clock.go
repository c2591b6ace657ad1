package vfs

import "time"

// Now is the machine's clock. The engine takes its clock as a parameter; this is the
// one that production passes.
func Now() time.Time { return time.Now() }

// Since is how long an instant of Now is ago.
func Since(t time.Time) time.Duration { return time.Since(t) }
