package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config is what every engine is opened with: the same limits, each engine otherwise
// tuned by its own guide. Engine.Settings says what was made of them.
type Config struct {
	// MemtableBytes is the write buffer: the size at which a memtable is flushed.
	MemtableBytes int64
	// BudgetBytes bounds block cache, memtables, indexes and filters together.
	BudgetBytes int64
	// FilterBits per key of the bloom filters, on all levels.
	FilterBits int
	// BlockBytes is the size of a data block before compression.
	BlockBytes int
	// Compression is "none", "s2" or "zstd"; an engine without the codec takes its
	// nearest and says so in its settings.
	Compression string
	// Compactions is the greatest number of compactions at a time.
	Compactions int
}

// compressions are the names Config.Compression may have.
var compressions = []string{"none", "s2", "zstd"}

// Engine is a key-value engine under test.
type Engine interface {
	// Name is one word, used in flags and tables.
	Name() string
	// Settings says in one line how the engine is set up for cfg.
	Settings(cfg Config) string
	// Open opens or creates a store in dir.
	Open(dir string, cfg Config) (Store, error)
}

// Store is an open store. Its methods may be called from any goroutine.
type Store interface {
	// NewSession returns a handle for one goroutine.
	NewSession() Session
	// Settle flushes and waits until no background work is left to do. idle is for how
	// long the store had been at rest when it returned: time to subtract.
	Settle(ctx context.Context) (idle time.Duration, err error)
	// Close closes the store. Scanners must have been closed.
	Close() error
}

// Session is what one goroutine does to a store: it carries the buffers and batches
// that a caller would reuse. Slices passed in may be reused after the call.
type Session interface {
	// Set writes one key. sync: it is on the device when Set returns.
	Set(key, value []byte, sync bool) error
	// SetBatch writes all pairs atomically.
	SetBatch(pairs []Pair, sync bool) error
	// Delete removes a key, unsynced.
	Delete(key []byte) error
	// Get appends the value of key to dst. found is false when there is none.
	Get(dst, key []byte) (value []byte, found bool, err error)
	// NewScanner returns a scanner of the store as it is now.
	NewScanner() (Scanner, error)
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

// engines are all engines, in the order of tables. Ratios are to the last one chosen.
var engines = []Engine{loamEngine{}, pebbleEngine{}}

// chooseEngines resolves a comma-separated list of names, "all" meaning every engine.
func chooseEngines(list string) ([]Engine, error) {
	if list == "all" {
		return engines, nil
	}
	var chosen []Engine
	for _, name := range strings.Split(list, ",") {
		i := slices.IndexFunc(engines, func(e Engine) bool { return e.Name() == name })
		if i < 0 {
			return nil, fmt.Errorf("engine %q is unknown; there are %s", name, strings.Join(engineNames(), ", "))
		}
		if slices.Contains(chosen, engines[i]) {
			return nil, fmt.Errorf("engine %q is named twice", name)
		}
		chosen = append(chosen, engines[i])
	}
	return chosen, nil
}

func engineNames() []string {
	var names []string
	for _, e := range engines {
		names = append(names, e.Name())
	}
	return names
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
