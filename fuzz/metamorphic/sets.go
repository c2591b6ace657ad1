package metamorphic

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Files say where the files of a store are.
type Files string

// Places for files.
const (
	Logged Files = "logged" // in memory, where the power can be cut
	Memory Files = "memory" // in memory, where a process can be killed
	Disk   Files = "disk"   // on the system's file system
	None   Files = "none"   // lsm.Options.InMemory: they end with the process
)

// Set is one way to open a store. Whatever a store does must be the same with each.
type Set struct {
	Name  string
	Files Files
	// Ways are opened in turn.
	Ways []Way
	// Encrypted stores are.
	Encrypted bool `json:",omitempty"`
}

// Way is the options of one opening. Zeros mean what they mean to lsm.Open and its seams.
type Way struct {
	Compression      lsm.Compression `json:",omitempty"`
	BlockBytes       int             `json:",omitempty"`
	FilterBitsPerKey int             `json:",omitempty"`
	Log              lsm.LogMode     `json:",omitempty"`
	SyncInterval     time.Duration   `json:",omitempty"`
	Workers          int             `json:",omitempty"`
	InMemory         bool            `json:",omitempty"` // on files that last
	BlobThreshold    int             `json:",omitempty"`
	BlobSpacePercent int             `json:",omitempty"`
	ExpiryEvents     bool            `json:",omitempty"`
	HorizonMaxAge    time.Duration   `json:",omitempty"`
	HorizonMaxBytes  int64           `json:",omitempty"`
	Sizing           seams.Sizing
}

// openings numbers the openings of this process: none must draw the identities of another.
var openings atomic.Uint64

// options returns the options of the n-th opening on the files; nil means the store's own,
// which end with it, and outside is then what lies beside it.
func (s *Set) options(files, outside vfs.FS, n int, c *clock) *lsm.Options {
	w := &s.Ways[n%len(s.Ways)]
	o := &lsm.Options{
		Compression: w.Compression, BlockBytes: w.BlockBytes, FilterBitsPerKey: w.FilterBitsPerKey,
		LogMode: w.Log, SyncInterval: w.SyncInterval, CompactionWorkers: w.Workers,
		InMemory: w.InMemory || files == nil, ScrubBytesPerSec: -1,
		BlobThreshold: w.BlobThreshold, BlobSpacePercent: w.BlobSpacePercent,
		ExpiryEvents: w.ExpiryEvents, HorizonMaxAge: w.HorizonMaxAge, HorizonMaxBytes: w.HorizonMaxBytes,
		Clock: c, Operators: []lsm.Operator{tail},
	}
	if s.Encrypted {
		o.Encryption = &lsm.Encryption{
			Key:    crypto.KeyBytes(bytes.Repeat([]byte{7}, crypto.KeyLen)),
			Policy: crypto.Policy{MaxBytes: 64 << 10}, // so that keys change under way
		}
	}
	seams.Inject(o, seams.Seams{
		FS: files, Outside: outside, Random: newRandom(openings.Add(1)), Now: c.now, Sizing: w.Sizing,
	})
	return o
}

// whether reports whether some and whether all of the openings are of a kind.
func (s *Set) whether(kind func(*Way) bool) (some, all bool) {
	all = true
	for i := range s.Ways {
		ok := kind(&s.Ways[i])
		some, all = some || ok, all && ok
	}
	return some, all
}

// newRandom returns a source of identities, for any number of goroutines.
func newRandom(opening uint64) io.Reader { return &random{opening: opening} }

type random struct {
	opening uint64
	calls   atomic.Uint64
}

// Read implements io.Reader.
func (r *random) Read(p []byte) (int, error) {
	src := rand.New(rand.NewPCG(r.opening, r.calls.Add(1)))
	for i := range p {
		p[i] = byte(src.Uint32())
	}
	return len(p), nil
}

// small are sizes at which some hundred operations reach flushes, compactions, rolls of the
// manifest and segments that are used again.
var small = seams.Sizing{
	MinSegmentBytes: 8 << 10, MaxSegmentBytes: 16 << 10,
	MinMemtableBytes: 8 << 10, MemtableBytes: 8 << 10, BudgetBytes: 256 << 10,
	ManifestBytes: 1 << 10, TableBytes: 4 << 10,
	L0Trigger: 2, L0Slow: 8, L0Stop: 16, ReserveSeqNums: 100,
	SettleAfter: time.Millisecond, SettleDeletes: 8, SettleBytes: 8 << 10,
}

// sized returns small with some of it changed.
func sized(change func(*seams.Sizing)) seams.Sizing {
	z := small
	change(&z)
	return z
}

// named are the sets that were thought of. What is not said is small, on a file system in
// memory that logs, and in the default of lsm.Options.
func named() []Set {
	one := func(name string, files Files, w Way) Set {
		if w.Sizing == (seams.Sizing{}) {
			w.Sizing = small
		}
		return Set{Name: name, Files: files, Ways: []Way{w}}
	}
	never := time.Duration(-1)
	return []Set{
		one("small", Logged, Way{SyncInterval: never}),
		{Name: "defaults", Files: Memory, Ways: []Way{{}}},
		{Name: "defaults-on-disk", Files: Disk, Ways: []Way{{}}},
		{Name: "defaults-without-files", Files: None, Ways: []Way{{}}},
		one("without-files", None, Way{}),
		one("on-disk", Disk, Way{}),
		one("in-memory-on-files", Logged, Way{InMemory: true}),
		one("mapped-log", Logged, Way{Log: lsm.LogMapped}),
		one("written-log", Logged, Way{Log: lsm.LogWritten}),
		one("one-block-a-table", Memory, Way{BlockBytes: 64 << 10}),
		one("tiny-blocks", Memory, Way{BlockBytes: 512, Compression: lsm.NoCompression}),
		one("zstd", Memory, Way{Compression: lsm.Zstd, BlockBytes: 1 << 10}),
		one("s2-zstd", Memory, Way{Compression: lsm.S2ThenZstd, BlockBytes: 1 << 10}),
		one("no-filters", Memory, Way{FilterBitsPerKey: -1}),
		one("poor-filters", Logged, Way{FilterBitsPerKey: 1}),
		one("workers", Memory, Way{Workers: 4, BlockBytes: 512}),
		one("synced-at-once", Logged, Way{SyncInterval: time.Millisecond, Log: lsm.LogWritten}),
		one("large-memtables", Logged, Way{Sizing: sized(func(z *seams.Sizing) {
			z.MemtableBytes, z.BudgetBytes = 1<<20, 8<<20
		})}),
		one("large-tables", Memory, Way{Sizing: sized(func(z *seams.Sizing) { z.TableBytes = 1 << 20 })}),
		one("no-cache", Memory, Way{BlockBytes: 512, Sizing: sized(func(z *seams.Sizing) { z.BudgetBytes = 32 << 10 })}),
		one("never-at-rest", Logged, Way{Sizing: sized(func(z *seams.Sizing) { z.SettleAfter = time.Hour })}),
		one("many-runs", Logged, Way{Sizing: sized(func(z *seams.Sizing) { z.L0Trigger, z.L0Slow, z.L0Stop = 12, 24, 40 })}),
		one("small-ring", Memory, Way{Sizing: sized(func(z *seams.Sizing) { z.RingKeys, z.WatchBytes = 4, 1<<10 })}),
		one("all-values-in-blob-files", Logged, Way{BlobThreshold: 16, BlobSpacePercent: 110}),
		one("no-blob-files", Memory, Way{BlobThreshold: -1, ExpiryEvents: true}),
		one("watchers-lag", Logged, Way{ExpiryEvents: true, Sizing: sized(func(z *seams.Sizing) { z.WatchBytes = 1 })}),
		one("horizons-break", Logged, Way{HorizonMaxAge: time.Hour, HorizonMaxBytes: 1 << 10}),
		{Name: "options-that-change", Files: Logged, Ways: []Way{
			{Compression: lsm.Zstd, BlockBytes: 512, FilterBitsPerKey: -1, Log: lsm.LogMapped, BlobThreshold: 40, Sizing: small},
			{Compression: lsm.NoCompression, BlockBytes: 4 << 10, FilterBitsPerKey: 20, Log: lsm.LogWritten},
			{Compression: lsm.S2, BlockBytes: 1 << 10, Workers: 2, BlobThreshold: -1, ExpiryEvents: true, Sizing: sized(func(z *seams.Sizing) { z.TableBytes = 64 << 10 })},
		}},
	}
}

// Sets returns the first n option sets: those that have names, and then random ones, of
// which each number is always the same. A third of them is encrypted.
func Sets(n int) []Set {
	sets := named()
	for i := len(sets); i < n; i++ {
		rnd := rand.New(rand.NewPCG(uint64(i), 19))
		s := Set{Name: fmt.Sprintf("random-%d", i), Files: []Files{Logged, Logged, Logged, Memory}[rnd.IntN(4)]}
		for range 1 + rnd.IntN(3) {
			s.Ways = append(s.Ways, randomWay(rnd))
		}
		sets = append(sets, s)
	}
	for i := range sets {
		sets[i].Encrypted = i%3 == 1
	}
	return sets[:n]
}

func randomWay(rnd *rand.Rand) Way {
	memtable := int64(8<<10) << rnd.IntN(5)
	trigger := 2 + rnd.IntN(4)
	return Way{
		Compression:      lsm.Compression(rnd.IntN(5)),
		BlockBytes:       512 << rnd.IntN(6),
		FilterBitsPerKey: []int{-1, 1, 10, 20}[rnd.IntN(4)],
		Log:              lsm.LogMode(rnd.IntN(3)),
		SyncInterval:     []time.Duration{-1, time.Millisecond, 0}[rnd.IntN(3)],
		Workers:          1 + rnd.IntN(3),
		BlobThreshold:    []int{0, -1, 16, 40, 500, 5000}[rnd.IntN(6)],
		BlobSpacePercent: []int{0, 110, 200, 1000}[rnd.IntN(4)],
		ExpiryEvents:     rnd.IntN(2) == 0,
		HorizonMaxAge:    []time.Duration{0, -1, 5 * time.Hour}[rnd.IntN(3)],
		HorizonMaxBytes:  []int64{0, -1, 8 << 10}[rnd.IntN(3)],
		Sizing: seams.Sizing{
			MinSegmentBytes: 8 << 10 << rnd.IntN(2), MaxSegmentBytes: 16 << 10 << rnd.IntN(4),
			MinMemtableBytes: 8 << 10, MemtableBytes: memtable, BudgetBytes: 8 * memtable << rnd.IntN(4),
			ManifestBytes: 1 << 10 << rnd.IntN(4), TableBytes: 4 << 10 << rnd.IntN(5),
			L0Trigger: trigger, L0Slow: 3 * trigger, L0Stop: 6 * trigger,
			ReserveSeqNums: 100 << rnd.IntN(5), RingKeys: 4 << rnd.IntN(8), WatchBytes: 1 << rnd.IntN(16),
			SettleAfter: []time.Duration{time.Millisecond, time.Hour}[rnd.IntN(2)], SettleDeletes: 8, SettleBytes: 8 << 10,
		},
	}
}
