//go:build !unix

package proc

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
