package wal

// Slots of tests are of 8 to 16 KiB: two writes prepare the larger ones, of which the second is a part.
func init() { zeroBytes = 12 << 10 }

// Attempts returns how many tries at preparing a segment are over, what follows from
// their outcome included.
func (l *Log) Attempts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.mu.attempts)
}

// MaxSealed is how much of a payload one sealed record takes.
const MaxSealed = maxSealed
