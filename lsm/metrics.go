package lsm

import (
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/manifest"
)

// Recovery says what Open found in the log: that the store had been closed, or was not, with
// or without a torn tail that was cut. Damage is neither: Open refuses it, and its error says
// where it is.
type Recovery struct {
	// Clean: the store had been closed.
	Clean bool
	// LostBytes is the length of the torn tail that was cut: bytes of writes that no
	// synced commit had promised. Zero when the log ended at a whole record.
	LostBytes int64
	// ReplayedOps is the number of operations read from the log.
	ReplayedOps int64
}

// LevelMetrics describe one level of tables.
type LevelMetrics struct {
	// Runs is the number of sorted runs, Tables that of their files, Bytes their length.
	Runs, Tables int
	Bytes        int64
	// Entries counts what the tables hold, the Tombstones of deletes among them.
	Entries, Tombstones int64
}

// Metrics are figures of the store at one moment, and sums since Open.
type Metrics struct {
	// Recovery is what Open found.
	Recovery Recovery

	// Levels, from 0, where flushed tables enter, to the last.
	Levels [manifest.NumLevels]LevelMetrics
	// MemtableBytes is what the memtables hold, FrozenMemtables how many of them wait
	// to be flushed.
	MemtableBytes   int64
	FrozenMemtables int
	// RangeTombstoneBytes is what range tombstones take in memory, those of memtables and those
	// of open tables. The budget counts it.
	RangeTombstoneBytes int64
	// LogBytes is the total length of the live log segments, LogSyncs how often a
	// commit, or the background, waited for the device since Open.
	LogBytes, LogSyncs int64
	// BlobFiles is the number of live blob files, BlobBytes their length, BlobGarbage how much
	// of it are values that no table refers to any more.
	BlobFiles              int
	BlobBytes, BlobGarbage int64
	// DiskBytes is the length of all live tables, blob files and log segments.
	DiskBytes int64
	// ConversionBytes is the length of the tables and blob files that a conversion has still to write
	// anew: those in clear of a store that is being encrypted, or the others of one that is being decrypted.
	ConversionBytes int64
	// CacheBytes is what the block cache holds, EvictedBlocks how many blocks it has
	// given up since Open.
	CacheBytes    int64
	EvictedBlocks int64
	// CacheHits counts blocks that were looked for and found in the cache, nearly all of them, CacheMisses those
	// that were read and entered, both since Open.
	CacheHits, CacheMisses int64
	// CompactionDebt estimates how many bytes compactions would have to write before
	// none is urgent.
	CompactionDebt int64
	// Snapshots and Iterators are the numbers of open ones, without those with which the store
	// reads records of its own, RunningCompactions that of
	// compactions at work. A store with neither frozen memtables nor running compactions
	// for longer than a second of rest has settled.
	Snapshots, Iterators, RunningCompactions int

	// Watchers is the number of open ones, WatchBytes what is kept of recent commits for
	// them all, WatchLags how often since Open one of them had to read what had changed.
	Watchers              int
	WatchBytes, WatchLags int64

	// DeadScopes counts dropped scopes that still have entries in tables or in the log.
	DeadScopes int

	// Horizons counts those that hold, HorizonTombstoneBytes estimates how much of the
	// tables is deletions above the oldest one, and HorizonsBroken counts those that were
	// given up since Open.
	Horizons                              int
	HorizonTombstoneBytes, HorizonsBroken int64

	// Flushes since Open, the length of the tables that they wrote, and how many bytes
	// of keys and values users had given for them.
	Flushes, FlushedBytes, UserBytesFlushed int64
	// Compactions since Open, those that only moved a table, and the lengths of the
	// tables that the others read and wrote.
	Compactions, TrivialMoves          int64
	CompactedBytesRead, CompactedBytes int64
	// BlobBytesWritten is the length of the blob files that flushes and compactions wrote.
	BlobBytesWritten int64
	// CompactionErrors counts compactions that failed, DeletedFiles tables and blob files
	// removed, those that a crash had left included.
	CompactionErrors, DeletedFiles int64
	// WriteStops counts writes that waited because level 0 was full, WriteDelay is the
	// time by which writes were slowed before it got so far.
	WriteStops int64
	WriteDelay time.Duration

	// ReclaimedEntries counts entries that flushes and compactions have left out because they
	// had expired, ExpiryEvents the expiries that became events, both since Open. ClockCatchUps
	// is how often the store's time was set to a wall clock that had been ahead of it.
	ReclaimedEntries, ExpiryEvents, ClockCatchUps int64

	// OperandsFolded counts merge operands that flushes and compactions made part of another
	// entry, ChainsFolded long chains in memtables that writers, or Open, put a value upon.
	// ChainsUnfolded counts chains that flushes and compactions passed on, because their
	// operator refused or is not known, again each time.
	OperandsFolded, ChainsFolded, ChainsUnfolded int64

	// Verifications counts calls of DB.Verify that came to an end, VerifiedBytes the length
	// of the tables that they read, VerifyFindings what they found wrong.
	Verifications, VerifiedBytes, VerifyFindings int64
	// ScrubbedBytes is how much of tables the scrub has read, ScrubPasses how often it came
	// through all of them, ScrubFindings how many parts it could not read or found damaged,
	// each again in every pass.
	ScrubbedBytes, ScrubPasses, ScrubFindings int64
}

// WriteAmplification is how many bytes of tables and blob files were written for each byte of keys and
// values flushed, the log not counted. Zero before the first flush.
func (m *Metrics) WriteAmplification() float64 {
	if m.UserBytesFlushed == 0 {
		return 0
	}
	return float64(m.FlushedBytes+m.CompactedBytes+m.BlobBytesWritten) / float64(m.UserBytesFlushed)
}

// counters are the sums, each added to by one kind of background work.
type counters struct {
	flushes, flushedBytes, userBytesFlushed atomic.Int64
	compactions, trivialMoves               atomic.Int64
	compactedBytesRead, compactedBytes      atomic.Int64
	compactionErrors, deletedFiles          atomic.Int64
	blobBytesWritten                        atomic.Int64
	stops, delayed                          atomic.Int64
	iterators                               atomic.Int64 // open now
	expired, expiryEvents                   atomic.Int64
	operandsFolded, chainsFolded            atomic.Int64
	chainsUnfolded                          atomic.Int64
	watchLags                               atomic.Int64
	care                                    careCounters
}

// folded adds what a flush or a compaction has folded.
func (c *counters) folded(s *compaction.Stats) {
	c.operandsFolded.Add(int64(s.Folded))
	c.chainsUnfolded.Add(int64(s.Unfolded))
}

// flushed adds a memtable that the edit has put into tables.
func (c *counters) flushed(m *mutableTable, e *manifest.Edit) {
	c.flushes.Add(1)
	c.userBytesFlushed.Add(m.logical)
	for _, t := range e.Added {
		c.flushedBytes.Add(t.Table.Bytes)
	}
	c.blobBytesWritten.Add(totalBlobBytes(e.Blobs))
}

// Metrics returns the store's figures. It is cheap, and safe after Close, when only
// the sums mean anything.
func (d *DB) Metrics() Metrics {
	c := &d.metrics
	m := Metrics{
		Recovery:           d.found,
		Flushes:            c.flushes.Load(),
		FlushedBytes:       c.flushedBytes.Load(),
		UserBytesFlushed:   c.userBytesFlushed.Load(),
		Compactions:        c.compactions.Load(),
		TrivialMoves:       c.trivialMoves.Load(),
		CompactedBytesRead: c.compactedBytesRead.Load(),
		CompactedBytes:     c.compactedBytes.Load(),
		BlobBytesWritten:   c.blobBytesWritten.Load(),
		CompactionErrors:   c.compactionErrors.Load(),
		DeletedFiles:       c.deletedFiles.Load(),
		WriteStops:         c.stops.Load(),
		WriteDelay:         time.Duration(c.delayed.Load()),
		OperandsFolded:     c.operandsFolded.Load(),
		ChainsFolded:       c.chainsFolded.Load(),
		ChainsUnfolded:     c.chainsUnfolded.Load(),
		Snapshots:          d.snapshots.len(),
		Iterators:          int(c.iterators.Load()),
		RunningCompactions: d.compactor.jobs(),
		DeadScopes:         d.reaper.count(),
		ReclaimedEntries:   c.expired.Load(),
		ExpiryEvents:       c.expiryEvents.Load(),
		ClockCatchUps:      d.clock.caughtUp.Load(),
	}
	c.care.fill(&m)
	d.horizons.fill(&m)
	m.Watchers, m.WatchBytes = d.feed.size()
	m.WatchLags = c.watchLags.Load()
	guard := d.readers.Enter() // Close waits for us before it frees anything
	defer guard.Leave()
	if d.closed.Load() {
		return m
	}
	held := d.cache.Metrics()
	m.CacheBytes, m.EvictedBlocks = held.SlabBytes, int64(held.Evictions)
	m.CacheHits, m.CacheMisses = int64(held.Hits), int64(held.Loads)
	s := d.state.Load()
	m.CompactionDebt = compaction.DebtOf(s.version.Version, d.compactor.params())
	m.FrozenMemtables = len(s.frozen)
	m.RangeTombstoneBytes = d.arenas.rangeBytes()
	m.MemtableBytes = int64(s.mutable.UsedBytes())
	for _, f := range s.frozen {
		m.MemtableBytes += int64(f.UsedBytes())
	}
	for i := range s.version.Levels {
		m.Levels[i] = levelMetrics(s.version.Levels[i])
		m.DiskBytes += m.Levels[i].Bytes
	}
	blobMetrics(s.version.Version, &m)
	m.ConversionBytes = d.keyring.toConvert(s.version.Version)
	if d.wal != nil {
		log := d.wal.Stats()
		m.LogBytes, m.LogSyncs = log.Bytes, int64(log.Syncs+log.SyncedWrites)
	}
	m.DiskBytes += m.LogBytes
	return m
}

func levelMetrics(runs []manifest.Run) LevelMetrics {
	m := LevelMetrics{Runs: len(runs)}
	for _, r := range runs {
		m.Tables += len(r.Tables)
		for _, t := range r.Tables {
			m.Bytes += t.Bytes
			m.Entries += int64(t.Entries)
			m.Tombstones += int64(t.Deletes)
		}
	}
	return m
}
