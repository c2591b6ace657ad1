// Package seams lets the project's own harnesses open a store on files, time and
// randomness of their own, and with internal sizes so small that short histories reach
// every mechanism. Package lsm has no public hook for that: it hands this package a
// function that reaches into its options.
package seams

import (
	"io"
	"time"

	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// Seams are what a harness replaces. Zero fields mean what production uses.
type Seams struct {
	// FS is the file system.
	FS vfs.FS
	// Outside is where checkpoints are made and tables to ingest are found; nil means FS.
	// A store in memory has the system's.
	Outside vfs.FS
	// Random is the source of identities.
	Random io.Reader
	// Now is the wall clock with its monotonic part.
	Now func() time.Time
	// Since is how long an instant of Now is ago; nil means that Now is asked.
	Since func(time.Time) time.Duration
	// Sizing are the internal sizes.
	Sizing Sizing
	// WrapCipher, when set, replaces what gives new files of an encrypted store their ciphers.
	WrapCipher WrapCipher
	// Event is called with the text of each event, on the goroutine that meets it.
	Event func(event string)
}

// WrapCipher stands between an encrypted store and its keyring.
type WrapCipher func(seal.NewCipher) seal.NewCipher

// Sizing are the engine's internal sizes: constants of the design, but for harnesses.
type Sizing struct {
	// MinSegmentBytes and MaxSegmentBytes bound the log's segments.
	MinSegmentBytes, MaxSegmentBytes int64
	// MinMemtableBytes is the size of a new store's first memtable.
	MinMemtableBytes int64
	// MemtableBytes and BudgetBytes, when set, replace the options of like names
	// without their lower bounds.
	MemtableBytes, BudgetBytes int64
	// ManifestBytes is the size at which the manifest is rolled.
	ManifestBytes int64
	// TableBytes, when set, replaces the option of that name.
	TableBytes int64
	// L0Trigger, L0Slow and L0Stop are numbers of runs in level 0: where compaction
	// begins, writers are delayed, and writers are stopped.
	L0Trigger, L0Slow, L0Stop int
	// NoCompaction leaves the tables as flushes make them.
	NoCompaction bool
	// ReserveSeqNums is how many sequence numbers are reserved ahead of use.
	ReserveSeqNums uint64
	// RingKeys is how many keys of recent commits are remembered for conditional ones.
	RingKeys int
	// WatchBytes, when set, is how much of recent commits is kept for watchers.
	WatchBytes int64
	// SettleAfter is how long a store must rest before it is compacted to one run a
	// level.
	SettleAfter time.Duration
	// SettleDeletes is how many deletes in the mutable memtable make a store at rest
	// flush it, and SettleBytes how many bytes of tables or of log that should give back.
	SettleDeletes, SettleBytes int64
}

// Inject puts s into options, which must be an *lsm.Options. Package lsm sets it.
var Inject func(options any, s Seams)
