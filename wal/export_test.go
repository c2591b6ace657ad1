package wal

// Attempts returns how many tries at preparing a segment are over, what follows from
// their outcome included.
func (l *Log) Attempts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.mu.attempts)
}

// MaxSealed is how much of a payload one sealed record takes.
const MaxSealed = maxSealed
