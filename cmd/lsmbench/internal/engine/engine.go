// Package engine is what lsmbench knows of a key-value engine: how to open it with given
// limits, and a handful of verbs. Each engine is one file; it registers itself.
//
// It must not know workloads or how results are shown.
//
// Reading order: this file, then loam.go and pebble.go as models for a new engine;
// abilities.go (what only some engines can do) and standin.go (what their users do where
// theirs cannot); documents.go (stores of typed values, Loam's state layer and what stands beside it).
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config is what every engine is opened with: the same limits, each engine otherwise
// tuned by its own guide. Engine.Settings says what was made of them.
type Config struct {
	// MemtableBytes is the write buffer: the size at which a memtable is flushed.
	MemtableBytes int64 `json:"memtable_bytes"`
	// BudgetBytes bounds block cache, memtables, indexes and filters together.
	BudgetBytes int64 `json:"budget_bytes"`
	// FilterBits per key of the bloom filters, on all levels; 0 is none.
	FilterBits int `json:"filter_bits"`
	// BlockBytes is the size of a data block before compression.
	BlockBytes int `json:"block_bytes"`
	// Compression is one of Compressions; an engine without the codec takes its nearest
	// and says so in its settings.
	Compression string `json:"compression"`
	// Compactions is the greatest number of compactions at a time.
	Compactions int `json:"compactions"`
	// Conflicts: there will be transactions that must see each other. Without them an
	// engine may leave out what it costs to keep them apart.
	Conflicts bool `json:"conflicts,omitempty"`
	// Encrypted stores are, of engines for which Encrypts holds.
	Encrypted bool `json:"encrypted,omitempty"`
}

// Encrypts reports whether an engine can encrypt its files.
func Encrypts(e Engine) bool {
	if d, ok := e.(documentsOver); ok {
		e = d.Engine
	}
	_, ok := e.(interface{ encrypts() })
	return ok
}

// encryptionKey is that of every encrypted store. It keeps no secret.
var encryptionKey = bytes.Repeat([]byte{7}, 32)

// Compressions are the names that Config.Compression may have.
// s2-zstd is s2, and zstd for what lies at the last level.
var Compressions = []string{"none", "s2", "s2-zstd", "zstd"}

// Engine is a key-value engine under test. Its methods may be called from any goroutine.
type Engine interface {
	// Name is one word, used in flags and tables.
	Name() string
	// Settings says in one line how the engine is set up for cfg.
	Settings(cfg Config) string
	// Open opens or creates a store in dir.
	Open(dir string, cfg Config) (Store, error)
	// LogFile reports whether a file of a store, named relative to its directory, is a
	// log rather than data: it is listed apart.
	LogFile(name string) bool
}

// Store is an open store. Its methods may be called from any goroutine.
type Store interface {
	// NewSession returns a handle for one goroutine.
	NewSession() (Session, error)
	// Settle flushes and waits until no background work is left to do. idle is for how
	// long the store had been at rest when it returned: time to subtract.
	Settle(ctx context.Context) (idle time.Duration, err error)
	// Compact merges everything as far as the engine can, or gives ErrUnsupported.
	Compact(ctx context.Context) error
	// Verify reads every file and checks every checksum, or gives ErrUnsupported.
	Verify(ctx context.Context) error
	// Stats returns what the engine counts itself, since it was opened.
	Stats() Stats
	// Close closes the store. Sessions and scanners must have been closed.
	Close() error
}

// ErrUnsupported: the engine has no such operation; the row is left out.
var ErrUnsupported = errors.New("not supported by this engine")

// Unknown is the value of a figure that an engine does not count.
const Unknown = -1

// Stats are figures that only the engine knows; each may be Unknown.
type Stats struct {
	// TableBytesWritten are bytes of tables written by flushes and compactions.
	TableBytesWritten int64 `json:"table_bytes_written"`
	// Syncs are calls that wait for the device, of the log or of everything.
	Syncs int64 `json:"syncs"`
	// Stalls are writes that were made to wait, StallTime for how long.
	Stalls    int64         `json:"stalls"`
	StallTime time.Duration `json:"stall_ns"`
}

// UnknownStats are those of an engine that counts nothing.
var UnknownStats = Stats{TableBytesWritten: Unknown, Syncs: Unknown, Stalls: Unknown, StallTime: Unknown}

// Session is what one goroutine does to a store: it carries the buffers, batches and
// handles that a caller would reuse. Slices passed in may be reused after the call.
type Session interface {
	// Set writes one key. sync: it is on the device when Set returns.
	Set(key, value []byte, sync bool) error
	// SetBatch writes all pairs atomically.
	SetBatch(pairs []Pair, sync bool) error
	// Delete removes a key, unsynced.
	Delete(key []byte) error
	// DeleteBatch removes all keys atomically, unsynced.
	DeleteBatch(keys [][]byte) error
	// Get appends the value of key to dst. found is false when there is none.
	Get(dst, key []byte) (value []byte, found bool, err error)
	// MultiGet looks up all keys as of one moment where the engine can, and calls visit
	// for each in their order; the value lives until visit returns.
	MultiGet(keys [][]byte, visit func(i int, value []byte, found bool)) error
	// NewScanner returns a scanner of the store as it is now.
	NewScanner() (Scanner, error)
	// Close releases the session.
	Close() error
}

// Scanner walks a store. It is for one goroutine and can be used for many scans.
type Scanner interface {
	// Scan visits up to n entries from the first key >= from (from the first or, in
	// reverse, the last key of the store when from is nil), and returns how many.
	// Key and value live until visit returns; a false from visit ends the scan.
	Scan(from []byte, reverse bool, n int, visit func(key, value []byte) bool) (int, error)
	// Close releases the scanner.
	Close() error
}

// Pair is a key and its value.
type Pair struct{ Key, Value []byte }

// registry holds the engines of this build by place in tables.
var registry []registered

type registered struct {
	place int
	Engine
}

// register adds an engine; place is where it stands in tables.
func register(place int, e Engine) {
	registry = append(registry, registered{place, e})
	slices.SortFunc(registry, func(a, b registered) int { return a.place - b.place })
}

// All returns the engines of this build, in the order of tables.
func All() []Engine {
	all := make([]Engine, len(registry))
	for i, r := range registry {
		all[i] = r.Engine
	}
	return all
}

// absent says by which build tag an engine comes that may not be in this build.
var absent = map[string]string{
	"badger": "peers", "goleveldb": "peers", "sqlite": "peers", "rocksdb": "rocksdb", "lmdb": "lmdb",
}

// Find returns the engine of a name.
func Find(name string) (Engine, error) {
	for _, r := range registry {
		if r.Name() == name {
			return r.Engine, nil
		}
	}
	if tag, ok := absent[name]; ok {
		return nil, fmt.Errorf("engine %q is not in this build: build with -tags %s", name, tag)
	}
	return nil, fmt.Errorf("engine %q is unknown; there are %s", name, strings.Join(Names(), ", "))
}

// Names returns the names of the engines of this build.
func Names() []string {
	var names []string
	for _, r := range registry {
		names = append(names, r.Name())
	}
	return names
}

// Choose resolves a comma-separated list of names, "all" meaning every engine of the
// build.
func Choose(list string) ([]Engine, error) { return choose(list, All, Find) }

func choose(list string, all func() []Engine, find func(name string) (Engine, error)) ([]Engine, error) {
	if list == "all" {
		return all(), nil
	}
	var chosen []Engine
	for _, name := range strings.Split(list, ",") {
		e, err := find(name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(chosen, e) {
			return nil, fmt.Errorf("engine %q is named twice", name)
		}
		chosen = append(chosen, e)
	}
	return chosen, nil
}

// getEach is MultiGet for engines without one: the keys one by one.
func getEach(s Session, buf *[]byte, keys [][]byte, visit func(i int, value []byte, found bool)) error {
	for i, key := range keys {
		v, found, err := s.Get((*buf)[:0], key)
		if err != nil {
			return err
		}
		*buf = v[:0]
		visit(i, v, found)
	}
	return nil
}

// waitQuiet polls busy until it has been false for the whole of quiet, and returns
// that time. It is how an engine without a call for it is seen to have settled.
func waitQuiet(ctx context.Context, busy func() bool, quiet time.Duration) (time.Duration, error) {
	const poll = 2 * time.Millisecond
	tick := time.NewTicker(poll)
	defer tick.Stop()
	since := time.Now()
	for {
		if busy() {
			since = time.Now()
		} else if idle := time.Since(since); idle >= quiet {
			return idle, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
}

// settleQuiet is how long an engine must be seen idle. Engines start owed work within
// microseconds of the end of the work before it.
const settleQuiet = 25 * time.Millisecond
