//go:build !linux

package sstable_test

import (
	"testing"
	"time"
)

// cpuTime is known on Linux only.
func cpuTime(*testing.B) time.Duration { return 0 }
