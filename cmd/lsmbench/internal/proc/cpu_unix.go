//go:build unix

package proc

import (
	"syscall"
	"time"
)

// cpuTime returns what all threads of the process have taken.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
