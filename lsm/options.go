package lsm

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/block"
)

// Compression is how the blocks of new tables are stored. Stores with tables of
// several compressions are ordinary: a table says how it was written.
type Compression uint8

// Compressions. A block is stored as it is when compressing gains less than an eighth.
// docs/compression.md says what each costs.
const (
	DefaultCompression Compression = iota // S2
	NoCompression
	S2   // fast, about half the size on text
	Zstd // smaller, several times the CPU
	// S2ThenZstd is S2 for tables that are soon merged into others, and Zstd for what stays:
	// tables that no older ones lie below, blob files, and tables for Ingest.
	S2ThenZstd
)

// Options of Open. The zero value, and nil, are durable, safe and fast: set only what
// must differ. An Options is read by Open and not kept.
type Options struct {
	// ReadOnly opens without writing a byte. Set, Delete and Apply give ErrReadOnly.
	ReadOnly bool
	// MustExist makes Open fail with ErrNotExist instead of creating a store.
	MustExist bool
	// InMemory keeps the store in memory: the same engine on a memory file system,
	// gone at Close. The directory is then a name only.
	InMemory bool
	// AllowSharedDir takes a directory in which others may make and remove files, which is ErrNotPrivate
	// otherwise. They can then take the store away, or put another one in its place, which a store in
	// clear does not notice. It is for file systems that show modes and owners which say nothing, such as
	// those of other systems, and for volumes whose owner cannot be chosen.
	AllowSharedDir bool

	// MemoryBudget bounds, in bytes, what memtables, range tombstones, block cache, indexes
	// and filters take together. 0 means 256 MiB; at least 4 MiB. Open reads the log into memory: after
	// a crash under a larger budget that is more until it has been flushed. So is a batch
	// larger than a memtable.
	MemoryBudget int64
	// MemtableBytes is the size to which a memtable grows before it is flushed. A
	// store starts with 256 KiB and doubles as it is written. 0 means a sixth of the
	// budget, at most 64 MiB. Three memtables may exist at a time.
	MemtableBytes int64

	// Compression of new tables.
	Compression Compression
	// BlockBytes is the size of a data block before compression. 0 means 4 KiB
	// without compression and 16 KiB with it; between 512 and 65,536.
	BlockBytes int
	// FilterBitsPerKey is the size of the tables' filters. 0 means 10, one false
	// positive in a hundred; negative means no filters; at most 30.
	FilterBitsPerKey int
	// TableBytes is the size at which a table ends and the next begins. 0 means 64 MiB;
	// between 64 KiB and 4 GiB.
	TableBytes int64

	// BlobThreshold is the length from which values are written to blob files, beside the
	// tables, which then hold references: compactions do not rewrite them, and a read takes one
	// more access (docs/blobs.md). 0 means 16 KiB; negative means never; at least 16. It
	// counts for what flushes and compactions write from now on.
	BlobThreshold int
	// BlobSpacePercent is how large blob files may be for what is live of them before
	// compactions rewrite some. 0 means 150; between 110 and 1,000. Under load they may be
	// larger for a while, at rest they are not.
	BlobSpacePercent int

	// SyncInterval bounds how long commits with NoSync stay unsynced. 0 means one
	// second; negative means until a synced commit, a flush or Close.
	SyncInterval time.Duration
	// LogMode is how unsynced commits reach the log.
	LogMode LogMode
	// CompactionWorkers is how many compactions run at a time. 0 means half the
	// processors, at least one and at most four.
	CompactionWorkers int
	// ScrubBytesPerSec is how fast tables are read again in the background in search of
	// damage that no read has met. 0 means 1 MiB a second; negative means never. It begins
	// ten minutes after Open and comes through all tables once a day, or as often as it can.
	// It does not run where ReadOnly or InMemory is set.
	ScrubBytesPerSec int64

	// HorizonMaxAge is how old a horizon may become before it is given up. 0 means 30 days;
	// negative means that age does not matter.
	HorizonMaxAge time.Duration
	// HorizonMaxBytes is how much of the tables, estimated, may be deletions above the
	// oldest horizon before that one is given up. 0 means 1 GiB; negative means no bound.
	HorizonMaxBytes int64

	// Clock is where the store takes its time from: expiry is by it. nil means the machine's
	// clock.
	Clock Clock
	// AcceptClock lets Open, and a store that is open, move the store's time ahead by more than
	// 366 days. Without it such an Open gives ErrClock: where it is the machine's clock that
	// is wrong, everything that expires would be lost.
	AcceptClock bool
	// ExpiryEvents makes writes of entries that expire note that their expiry is an event:
	// DB.ExpiryEvents hands out those that have come about. It concerns what is written while
	// it is set.
	ExpiryEvents bool
	// Operators are what DB.Merge can be used with, beside the built-in ones. A store that has
	// operands of others opens; *UnknownOperatorError says what it cannot do then.
	Operators []Operator

	// Encryption is that of an encrypted store, nil for one in clear. A store that is encrypted
	// and options without it are ErrEncrypted, a store in clear and options with it are
	// ErrNotEncrypted.
	Encryption *Encryption

	// Logger receives what happens in the background: opening, flushes, compactions,
	// stalls, errors. Keys and values are never logged. nil means nothing is logged. Its
	// handler must not call the store, whose locks may be held meanwhile.
	Logger *slog.Logger

	seams seams.Seams
}

func init() {
	seams.Inject = func(options any, s seams.Seams) { options.(*Options).seams = s }
}

// LogMode is how unsynced commits reach the log. Synced ones are always written.
type LogMode uint8

// Log modes.
const (
	LogAuto    LogMode = iota // mapped where the file system is known to be safe: ext4
	LogMapped                 // copied into a mapping of the segment
	LogWritten                // one write per group of commits
)

// WriteOptions say when a write returns. nil means synced.
type WriteOptions struct {
	// Unsynced makes the write return before it is on the device: it then survives
	// the process, killed at any instant, but not a power cut. See SyncInterval.
	Unsynced bool
}

// NoSync is the WriteOptions of a write that survives the process but not a power cut.
var NoSync = &WriteOptions{Unsynced: true}

// Sync is the WriteOptions of a write that is on the device when it returns. It means
// the same as nil.
var Sync = &WriteOptions{}

const (
	defaultBudget   = 256 << 20
	minBudget       = 4 << 20
	minMemtable     = 64 << 10
	maxMemtable     = 64 << 20
	maxMemtables    = 3 // the mutable one and those that wait to be flushed
	minTableBytes   = 64 << 10
	maxTableBytes   = 4 << 30
	maxBlockBytes   = 65_536
	defaultSyncTick = time.Second

	minBlobThreshold     = 16
	defaultBlobThreshold = 16 << 10
	defaultBlobSpace     = 150

	defaultScrub = 1 << 20 // bytes a second

	defaultHorizonAge   = 30 * 24 * time.Hour
	defaultHorizonBytes = 1 << 30
)

// Validate reports every problem of the options at once, as an error that matches
// ErrInvalidOptions, or nil.
func (o *Options) Validate() error {
	if o == nil {
		return nil
	}
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if o.MemoryBudget != 0 && o.MemoryBudget < minBudget {
		bad("MemoryBudget %d is below %d", o.MemoryBudget, int64(minBudget))
	}
	if o.MemtableBytes != 0 && (o.MemtableBytes < minMemtable || o.MemtableBytes > 1<<30) {
		bad("MemtableBytes %d is not within %d and 1 GiB", o.MemtableBytes, minMemtable)
	}
	if budget := o.budget(); o.MemtableBytes > 0 && maxMemtables*o.MemtableBytes > budget-budget/8 {
		bad("MemtableBytes %d: three memtables leave no room for the cache in a budget of %d", o.MemtableBytes, budget)
	}
	if o.Compression > S2ThenZstd {
		bad("Compression %d is unknown", o.Compression)
	}
	if o.BlockBytes != 0 && (o.BlockBytes < 512 || o.BlockBytes > maxBlockBytes) {
		bad("BlockBytes %d is not within 512 and %d", o.BlockBytes, maxBlockBytes)
	}
	if o.FilterBitsPerKey > 30 {
		bad("FilterBitsPerKey %d exceeds 30", o.FilterBitsPerKey)
	}
	if o.TableBytes != 0 && (o.TableBytes < minTableBytes || o.TableBytes > maxTableBytes) {
		bad("TableBytes %d is not within %d and %d", o.TableBytes, minTableBytes, int64(maxTableBytes))
	}
	if o.BlobThreshold > 0 && (o.BlobThreshold < minBlobThreshold || o.BlobThreshold > keys.MaxValueLen) {
		bad("BlobThreshold %d is not within %d and 1 GiB", o.BlobThreshold, minBlobThreshold)
	}
	if o.BlobSpacePercent != 0 && (o.BlobSpacePercent < 110 || o.BlobSpacePercent > 1000) {
		bad("BlobSpacePercent %d is not within 110 and 1000", o.BlobSpacePercent)
	}
	if o.LogMode > LogWritten {
		bad("LogMode %d is unknown", o.LogMode)
	}
	if o.CompactionWorkers < 0 || o.CompactionWorkers > 64 {
		bad("CompactionWorkers %d is not within 0 and 64", o.CompactionWorkers)
	}
	if o.ReadOnly && o.InMemory && o.seams.FS == nil {
		bad("ReadOnly and InMemory together open a store that is always empty")
	}
	if _, err := o.foldOperators(); err != nil {
		bad("Operators: %w", err)
	}
	if o.Encryption != nil {
		if err := o.Encryption.validate(); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInvalidOptions, errors.Join(problems...))
}

func (o *Options) budget() int64 {
	if o.MemoryBudget == 0 {
		return defaultBudget
	}
	return o.MemoryBudget
}

// withDefaults returns the options with every zero replaced by what it means.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Encryption != nil {
		e := *c.Encryption // the caller's may change
		c.Encryption = &e
	}
	c.MemoryBudget = c.budget()
	c.MemtableBytes = orDefault(c.MemtableBytes, min(c.MemoryBudget/6, maxMemtable))
	c.Compression = orDefault(c.Compression, S2)
	if c.BlockBytes == 0 {
		c.BlockBytes = 16 << 10
		if c.Compression == NoCompression {
			c.BlockBytes = 4 << 10
		}
	}
	c.FilterBitsPerKey = max(orDefault(c.FilterBitsPerKey, 10), 0)
	c.TableBytes = orDefault(c.TableBytes, 64<<20)
	c.BlobThreshold = orDefault(c.BlobThreshold, defaultBlobThreshold)
	c.BlobSpacePercent = orDefault(c.BlobSpacePercent, defaultBlobSpace)
	c.SyncInterval = orDefault(c.SyncInterval, defaultSyncTick)
	c.CompactionWorkers = orDefault(c.CompactionWorkers, min(max(runtime.NumCPU()/2, 1), 4))
	c.ScrubBytesPerSec = orDefault(c.ScrubBytesPerSec, defaultScrub)
	c.HorizonMaxAge = orDefault(c.HorizonMaxAge, defaultHorizonAge)
	c.HorizonMaxBytes = orDefault(c.HorizonMaxBytes, defaultHorizonBytes)
	c.seams = c.seamDefaults()
	return c
}

// seamDefaults fills in what no harness has replaced.
func (o *Options) seamDefaults() seams.Seams {
	s := o.seams
	switch {
	case s.FS != nil:
	case o.InMemory:
		s.FS, s.Outside = vfs.NewMem(), orDefault(s.Outside, vfs.NewOS())
	default:
		s.FS = vfs.NewOS()
	}
	if s.Random == nil {
		s.Random = rand.Reader
	}
	switch now := s.Now; {
	case now == nil:
		s.Now, s.Since = vfs.Now, vfs.Since
	case s.Since == nil:
		s.Since = func(t time.Time) time.Duration { return now().Sub(t) }
	}
	z := &s.Sizing
	o.MemtableBytes = orDefault(z.MemtableBytes, o.MemtableBytes)
	o.MemoryBudget = orDefault(z.BudgetBytes, o.MemoryBudget)
	o.TableBytes = orDefault(z.TableBytes, o.TableBytes)
	z.MinSegmentBytes = orDefault(z.MinSegmentBytes, 256<<10)
	z.MaxSegmentBytes = orDefault(z.MaxSegmentBytes, 16<<20)
	z.MinMemtableBytes = orDefault(z.MinMemtableBytes, min(256<<10, o.MemtableBytes))
	z.ManifestBytes = orDefault(z.ManifestBytes, 1<<20)
	z.L0Trigger = orDefault(z.L0Trigger, 4)
	z.L0Slow = orDefault(z.L0Slow, 2*z.L0Trigger)
	z.L0Stop = orDefault(z.L0Stop, 5*z.L0Trigger)
	z.ReserveSeqNums = orDefault(z.ReserveSeqNums, 1<<24)
	z.RingKeys = orDefault(z.RingKeys, 64<<10)
	z.SettleAfter = orDefault(z.SettleAfter, time.Second)
	z.SettleDeletes = orDefault(z.SettleDeletes, 1000)
	z.SettleBytes = orDefault(z.SettleBytes, 1<<20)
	return s
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// codec returns the block codec of the compression for files that stay, or for those that are
// soon merged into others.
func (c Compression) codec(stays bool) block.Codec {
	switch {
	case c == NoCompression:
		return block.CodecNone
	case c == Zstd, c == S2ThenZstd && stays:
		return block.CodecZstd
	}
	return block.CodecS2
}

// String returns the compression's name.
func (c Compression) String() string {
	switch c {
	case DefaultCompression:
		return "default"
	case NoCompression:
		return "none"
	case S2:
		return "s2"
	case Zstd:
		return "zstd"
	case S2ThenZstd:
		return "s2-zstd"
	}
	return fmt.Sprintf("compression(%d)", uint8(c))
}
