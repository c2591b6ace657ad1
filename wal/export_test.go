package wal

import "testing"

// Slots of tests are of 8 to 16 KiB: two writes prepare the larger ones, of which the second is a part.
const zeroBytesOfTests = 12 << 10

var zeroBytesUsed = zeroBytes

func init() { zeroBytes = zeroBytesOfTests }

// Measure has slots zeroed as they are outside of tests, until the end of a benchmark.
func Measure(b *testing.B) {
	zeroBytes = zeroBytesUsed
	b.Cleanup(func() { zeroBytes = zeroBytesOfTests })
}

// Attempts returns how many tries at preparing a segment are over, what follows from
// their outcome included.
func (l *Log) Attempts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.mu.attempts)
}

// MaxSealed is how much of a payload one sealed record takes.
const MaxSealed = maxSealed
