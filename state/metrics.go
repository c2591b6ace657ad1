package state

import (
	"time"
)

// Metrics returns the figures of the store.
func (s *Store) Metrics() Metrics {
	m := Metrics{Engine: operationsOf(s.engine).Metrics()}
	for i := range s.counters {
		c := &s.counters[i]
		m.Reads += c.reads.Load()
		m.Writes += c.writes.Load()
		m.Conflicts += c.conflicts.Load()
	}
	m.Uptime = s.clock.since(s.opened)
	m.Latencies = s.latency()
	m.Unrecorded = s.unrecorded.Load()
	k := s.sweeper
	m.RetentionLooks, m.RetentionDeleted = k.looks.Load(), k.deleted.Load()
	m.RetentionDropped, m.RetentionFailed, m.RetentionWaits = k.dropped.Load(), k.failed.Load(), k.waits.Load()
	m.Ephemeral, m.EphemeralBytes, m.Evicted = s.ephemeral.figures(s.engine.now)
	m.Findings, m.Blocked = s.protection.findings.Load(), s.protection.blocked.Load()
	if c := s.control; c != nil {
		a := c.log.Metrics()
		m.Denied, m.Audited, m.AuditDropped = c.denied.Load(), int64(a.Written), int64(a.Dropped)
	}
	return m
}

// Metrics are figures of a store. Sums are since Open: rates are the difference of two.
type Metrics struct {
	// Uptime is how long ago the store was opened.
	Uptime time.Duration
	// Latencies say how long calls took, since Open: one call in 251 is measured.
	Latencies []Latency
	// Reads counts keys that were looked up, those that a write depends on included; Writes keys
	// that were written or deleted, by whichever operation; Conflicts how often a change, a delete
	// or a transaction had to begin anew because somebody else was faster.
	Reads, Writes, Conflicts int64
	// Ephemeral counts the values of that class, EphemeralBytes is what they take, Evicted how many had to make room
	// since Open before they had expired.
	Ephemeral, EphemeralBytes, Evicted int64
	// Findings counts what was found of personal data and credentials in values to be written, Blocked the
	// values that were refused for it: all since Open.
	Findings, Blocked int64
	// Denied counts requests that access control has denied, Audited the records that were written of
	// these and others, AuditDropped those that could not be: all since Open.
	Denied, Audited, AuditDropped int64
	// Unrecorded counts operations on whole scopes that were made, and whose event could then not be
	// recorded.
	Unrecorded int64
	// RetentionLooks counts how often a scope was looked through for what its rule does not keep, RetentionDeleted
	// the entries and documents that were deleted for that, RetentionDropped scopes that were dropped as
	// idle, RetentionFailed what could not be done and is tried again, RetentionWaits the commits that have
	// waited for room in a scope with a limit.
	RetentionLooks, RetentionDeleted, RetentionDropped, RetentionFailed, RetentionWaits int64
	// Engine has those of the storage engine.
	Engine EngineMetrics
}

// CacheHitRate returns which part of the blocks that were looked for since Open were in the cache, from 0 to 1;
// 1 if none was.
func (m *Metrics) CacheHitRate() float64 {
	e := &m.Engine
	if e.CacheHits+e.CacheMisses == 0 {
		return 1
	}
	return float64(e.CacheHits) / float64(e.CacheHits+e.CacheMisses)
}

// WriteAmplification returns how many bytes of tables and blob files were written since Open for each byte of keys
// and values that was flushed: 0 if none was. The log, which has each byte once more, is not counted.
func (m *Metrics) WriteAmplification() float64 {
	e := &m.Engine
	if e.UserBytesFlushed == 0 {
		return 0
	}
	return float64(e.FlushedBytes+e.CompactedBytes+e.BlobBytesWritten) / float64(e.UserBytesFlushed)
}

// Latency says how long one kind of calls took.
type Latency struct {
	// Op is the kind: "get" is a read of one key; "set" a write of one, by whichever operation; "change" a
	// read and a write that depends on it, with what was tried again; "delete"; "batch" one of several keys; "list" a
	// page; "commit" the end of a transaction; "document" an operation on one of a collection.
	Op string
	// Samples is how many calls were measured.
	Samples uint64
	// P50, P95, P99 and P999 are the times within which that part of them ended, the last one that of
	// 99.9 %, rounded up by at most an eighth.
	P50, P95, P99, P999 time.Duration
}

// timedOp is a kind of calls whose time is taken.
type timedOp uint8

const (
	timedGet timedOp = iota
	timedSet
	timedChange
	timedDelete
	timedBatch
	timedList
	timedCommit
	timedDocument
	timedOps
)

var timedNames = [timedOps]string{"get", "set", "change", "delete", "batch", "list", "commit", "document"}

// sampleEvery is of how many calls that have had the same memory one is measured, the first one first: a
// prime, so that no rhythm of calls keeps one kind from being met. Lists and commits are all measured.
const sampleEvery = 251

// clock takes the time of calls.
type clock struct {
	now   func() time.Time
	since func(time.Time) time.Duration
}

func (s *Store) latency() []Latency {
	out := make([]Latency, timedOps)
	for i := range out {
		n, q := s.latencies[i].Quantiles(0.50, 0.95, 0.99, 0.999)
		out[i] = Latency{timedNames[i], n, q[0], q[1], q[2], q[3]}
	}
	return out
}

// took counts the time of a call that began at an instant.
func (s *Store) took(op timedOp, begun time.Time) { s.latencies[op].Add(s.clock.since(begun)) }
