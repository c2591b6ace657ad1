//go:build peers

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

func init() { register(2, badgerEngine{}) }

// badgerEngine is github.com/dgraph-io/badger, set up as its documents advise for
// values that stay in the tree: no conflict detection where nothing needs it, no counting,
// one version of each key, a cache of blocks only where blocks must be decompressed. Its tables are mapped,
// and their indexes and filters read where they are mapped: that memory is the page
// cache's, not the budget's.
type badgerEngine struct{}

func (badgerEngine) Name() string { return "badger" }

func (badgerEngine) encrypts() {}

// badgerMemtables are the memtables that wait for the flush at most. Besides these there
// are the one that is written and the one that is flushed. Under compression they leave
// half of the budget to the cache, if there can be that few.
func badgerMemtables(c Config) int {
	share := c.BudgetBytes
	if c.Compression != "none" || c.Encrypted {
		share /= 2
	}
	return int(min(max(share/c.MemtableBytes-2, 1), 5))
}

func (badgerEngine) options(dir string, c Config) badger.Options {
	o := badger.DefaultOptions(dir)
	o.Logger = nil
	o.MetricsEnabled = false
	o.DetectConflicts = c.Conflicts
	o.NumVersionsToKeep = 1
	o.MemTableSize = c.MemtableBytes
	o.NumMemtables = badgerMemtables(c)
	o.NumCompactors = max(c.Compactions, 2) // with one it does not open
	o.BlockSize = c.BlockBytes
	// From this size on a value goes to the value log: 1 MiB, the default and the most,
	// or the largest that a transaction of a small memtable can hold.
	o.ValueThreshold = min(o.ValueThreshold, c.MemtableBytes*15/100)
	// The rate from which badger computes as many bits, rounded, as were asked for.
	o.BloomFalsePositive = 0
	if c.FilterBits > 0 {
		o.BloomFalsePositive = math.Exp(-float64(c.FilterBits) * math.Ln2 * math.Ln2)
	}
	o.BlockCacheSize = 0
	o.Compression = badgerCompression(c.Compression)
	if o.Compression != options.None || c.Encrypted {
		o.BlockCacheSize = cacheBytes(c, o.NumMemtables+2)
	}
	if c.Encrypted { // it then needs a cache of indexes too
		o.EncryptionKey = encryptionKey
		o.IndexCacheSize = o.BlockCacheSize / 4
		o.BlockCacheSize -= o.IndexCacheSize
	}
	return o
}

// badgerCompression maps a compression's name; Snappy is the format that S2 descends from.
func badgerCompression(name string) options.CompressionType {
	switch name {
	case "s2":
		return options.Snappy
	case "zstd", "s2-zstd": // it has one for all levels
		return options.ZSTD
	}
	return options.None
}

func (e badgerEngine) Settings(c Config) string {
	o := e.options("", c)
	cache := "none, as advised without compression"
	if o.BlockCacheSize > 0 {
		cache = units.Bytes(o.BlockCacheSize)
	}
	compression := map[options.CompressionType]string{
		options.None: "none", options.Snappy: "snappy", options.ZSTD: fmt.Sprintf("zstd level %d", o.ZSTDCompressionLevel),
	}[o.Compression]
	if c.Encrypted {
		compression += ", encrypted by AES-CTR without authentication, indexes cached in " + units.Bytes(o.IndexCacheSize)
	}
	return fmt.Sprintf("memtable %s ×%d, block cache %s, tables with indexes and filters mapped outside of the budget, "+
		"bloom %d bits all levels, block %s, %d compactors, one version of a key, values from %s on in the value log, conflicts detected where transactions need it, no metrics, "+
		"one transaction a write, a synced one followed by Sync, settled without the flush of the last memtable, compression %s",
		units.Bytes(o.MemTableSize), o.NumMemtables+2, cache, c.FilterBits, units.Bytes(int64(o.BlockSize)), o.NumCompactors,
		units.Bytes(o.ValueThreshold), compression)
}

// LogFile is true of the memtables' logs. The value log is data: a large value is
// nowhere else.
func (badgerEngine) LogFile(name string) bool { return strings.HasSuffix(name, ".mem") }

func (e badgerEngine) Open(dir string, c Config) (Store, error) {
	db, err := badger.Open(e.options(dir, c))
	if err != nil {
		return nil, err
	}
	return &badgerStore{db: db, opened: time.Now()}, nil
}

type badgerStore struct {
	db     *badger.DB
	opened time.Time
	mark   uint64 // of Mark
}

func (s *badgerStore) NewSession() (Session, error) {
	session := &badgerSession{store: s}
	session.appendValue = func(v []byte) error {
		session.dst = append(session.dst, v...)
		return nil
	}
	return session, nil
}

// Compact brings all tables to one level. The memtable stays as it is: badger flushes it
// when it is full or at Close, and has no call for it.
func (s *badgerStore) Compact(context.Context) error {
	return s.db.Flatten(s.db.Opts().NumCompactors)
}

// Verify checks every block of every table. It leaves out the value log.
func (s *badgerStore) Verify(context.Context) error { return s.db.VerifyChecksum() }

func (s *badgerStore) Stats() Stats { return UnknownStats }

// badgerTick is how often a compactor looks for work, badgerStart the longest that it
// sleeps before it looks for the first time. badgerSample is how often Settle looks.
const (
	badgerTick   = 50 * time.Millisecond
	badgerStart  = time.Second
	badgerSample = 20 * time.Millisecond
)

// Settle waits for flushes and compactions. What is in the memtable stays there: see
// Compact.
func (s *badgerStore) Settle(ctx context.Context) (time.Duration, error) {
	quiet := max(3*badgerTick, badgerStart+3*badgerTick-time.Since(s.opened))
	var last time.Time
	busy := true
	return waitQuiet(ctx, func() bool {
		if time.Since(last) >= badgerSample {
			busy = badgerWorks()
			last = time.Now()
		}
		return busy
	}, quiet)
}

// badgerWorks reports whether a memtable is being flushed or a level compacted. Badger
// does not say, but the stacks of its goroutines do.
func badgerWorks() bool {
	var stacks bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 1); err != nil {
		return true
	}
	for _, function := range []string{"badger/v4.(*DB).handleMemTableFlush", "badger/v4.(*levelsController).doCompact"} {
		if bytes.Contains(stacks.Bytes(), []byte(function)) {
			return true
		}
	}
	return false
}

func (s *badgerStore) Close() error { return s.db.Close() }

type badgerSession struct {
	store *badgerStore
	buf   []byte // of MultiGet
	// appendValue appends to dst, the caller's: made once, so that no Get has to.
	dst         []byte
	appendValue func([]byte) error
}

// commit ends a transaction. Whether writes are synced is an option of the whole store in
// badger; Sync after the commit costs the same two calls that the option costs, and the
// others are spared it. It syncs the log of the current memtable: of a write whose
// memtable another goroutine filled in between, the log is not synced before its flush.
func (s *badgerSession) commit(txn *badger.Txn, sync bool) error {
	if err := txn.Commit(); err != nil || !sync {
		return err
	}
	return s.store.db.Sync()
}

func (s *badgerSession) Set(key, value []byte, sync bool) error {
	txn := s.store.db.NewTransaction(true)
	defer txn.Discard()
	if err := txn.Set(key, value); err != nil {
		return err
	}
	return s.commit(txn, sync)
}

// SetBatch fails with badger.ErrTxnTooBig where the batch exceeds 15% of a memtable: the
// engine has no larger transaction.
func (s *badgerSession) SetBatch(pairs []Pair, sync bool) error {
	txn := s.store.db.NewTransaction(true)
	defer txn.Discard()
	for _, p := range pairs {
		if err := txn.Set(p.Key, p.Value); err != nil {
			return err
		}
	}
	return s.commit(txn, sync)
}

func (s *badgerSession) Delete(key []byte) error {
	txn := s.store.db.NewTransaction(true)
	defer txn.Discard()
	if err := txn.Delete(key); err != nil {
		return err
	}
	return s.commit(txn, false)
}

func (s *badgerSession) DeleteBatch(keys [][]byte) error {
	txn := s.store.db.NewTransaction(true)
	defer txn.Discard()
	for _, key := range keys {
		if err := txn.Delete(key); err != nil {
			return err
		}
	}
	return s.commit(txn, false)
}

func (s *badgerSession) Get(dst, key []byte) ([]byte, bool, error) {
	txn := s.store.db.NewTransaction(false)
	defer txn.Discard()
	return s.get(txn, dst, key)
}

func (s *badgerSession) get(txn *badger.Txn, dst, key []byte) ([]byte, bool, error) {
	item, err := txn.Get(key)
	if err != nil {
		if errors.Is(err, badger.ErrKeyNotFound) {
			return dst, false, nil
		}
		return dst, false, err
	}
	s.dst = dst
	err = item.Value(s.appendValue)
	dst, s.dst = s.dst, nil
	return dst, err == nil, err
}

func (s *badgerSession) MultiGet(keys [][]byte, visit func(i int, value []byte, found bool)) error {
	txn := s.store.db.NewTransaction(false)
	defer txn.Discard()
	for i, key := range keys {
		v, found, err := s.get(txn, s.buf[:0], key)
		if err != nil {
			return err
		}
		s.buf = v[:0]
		visit(i, v, found)
	}
	return nil
}

func (s *badgerSession) Close() error { return nil }

func (s *badgerSession) NewScanner() (Scanner, error) {
	return &badgerScanner{txn: s.store.db.NewTransaction(false)}, nil
}

// badgerScanner has an iterator for each direction, made when first needed: badger's go
// one way only. Both show the store as of the transaction.
type badgerScanner struct {
	txn               *badger.Txn
	forward, backward *badger.Iterator
	from              []byte
}

// iterator does not prefetch values: that starts a goroutine for each of them, which is
// for values in the value log.
func (s *badgerScanner) iterator(reverse bool) *badger.Iterator {
	it := &s.forward
	if reverse {
		it = &s.backward
	}
	if *it == nil {
		*it = s.txn.NewIterator(badger.IteratorOptions{Reverse: reverse})
	}
	return *it
}

func (s *badgerScanner) Scan(from []byte, reverse bool, n int, visit func(key, value []byte) bool) (int, error) {
	it := s.position(from, reverse)
	count, more := 0, true
	var key []byte
	visitValue := func(value []byte) error {
		more = visit(key, value)
		return nil
	}
	for count < n && it.Valid() {
		item := it.Item()
		key = item.Key()
		count++
		if err := item.Value(visitValue); err != nil {
			return count, err
		}
		if !more || count == n {
			break
		}
		it.Next()
	}
	return count, nil
}

// position finds the first key to visit. An iterator in reverse would go to the last key
// that is not after from, so the one to start from is looked up forward.
func (s *badgerScanner) position(from []byte, reverse bool) *badger.Iterator {
	it := s.iterator(reverse)
	switch {
	case from == nil:
		it.Rewind()
	case !reverse:
		it.Seek(from)
	default:
		first := s.iterator(false)
		first.Seek(from)
		if !first.Valid() {
			return first
		}
		s.from = first.Item().KeyCopy(s.from)
		it.Seek(s.from)
	}
	return it
}

func (s *badgerScanner) Close() error {
	for _, it := range []*badger.Iterator{s.forward, s.backward} {
		if it != nil {
			it.Close()
		}
	}
	s.txn.Discard()
	return nil
}
