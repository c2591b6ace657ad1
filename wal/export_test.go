package wal

import "time"

// Attempts returns how many tries at preparing a segment are over, what follows from
// their outcome included.
func (l *Log) Attempts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.mu.attempts)
}

// MaxSealed is how much of a payload one sealed record takes.
const MaxSealed = maxSealed

// Syncing reports whether a sync is on its way, or waits for batches to carry.
func (l *Log) Syncing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.syncing
}

// GatherUntil makes the next sync wait until then for the batches that it expects. No sync is on
// its way.
func (l *Log) GatherUntil(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gather.until = t
}
