//go:build peers

package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

func init() { register(3, goleveldbEngine{}) }

// goleveldbEngine is github.com/syndtr/goleveldb, set up for large memtables: larger
// tables, levels that fit what level 0 holds, every table kept open. It compacts in one
// goroutine whatever Config.Compactions says.
type goleveldbEngine struct{}

const (
	// goleveldbMemtables are the one written and the one flushed; writes wait for more.
	goleveldbMemtables  = 2
	goleveldbTableBytes = 8 << 20
	goleveldbOpenTables = 10_000
)

func (goleveldbEngine) Name() string { return "goleveldb" }

func (goleveldbEngine) options(c Config) *opt.Options {
	o := &opt.Options{
		WriteBuffer:            int(c.MemtableBytes),
		BlockCacheCapacity:     int(cacheBytes(c, goleveldbMemtables)),
		BlockSize:              c.BlockBytes,
		Compression:            opt.NoCompression,
		CompactionTableSize:    goleveldbTableBytes,
		OpenFilesCacheCapacity: goleveldbOpenTables,
		// A batch larger than a memtable would be written by a transaction, straight into
		// tables; in this version keys of those may be missing once the store is reopened.
		DisableLargeBatchTransaction: true,
		// Level 1 is ten times this: about what level 0 has when it is compacted.
		CompactionTotalSize: int(c.MemtableBytes) * opt.DefaultCompactionL0Trigger / 10,
	}
	if c.FilterBits > 0 {
		o.Filter = filter.NewBloomFilter(c.FilterBits)
	}
	if c.Compression != "none" {
		o.Compression = opt.SnappyCompression // it has no other; S2 descends from it
	}
	return o
}

func (e goleveldbEngine) Settings(c Config) string {
	o := e.options(c)
	compression := "none"
	if o.Compression == opt.SnappyCompression {
		compression = "snappy"
		if c.Compression != "s2" {
			compression += " for want of zstd"
		}
	}
	return fmt.Sprintf("memtable %s ×%d, cache of blocks, indexes and filters %s, bloom %d bits all levels, block %s, tables %s, "+
		"level 1 %s, every table open, large batches through the log, 1 compaction at a time, compression %s",
		units.Bytes(int64(o.WriteBuffer)), goleveldbMemtables, units.Bytes(int64(o.BlockCacheCapacity)), c.FilterBits,
		units.Bytes(int64(o.BlockSize)), units.Bytes(goleveldbTableBytes), units.Bytes(int64(o.CompactionTotalSize)*10), compression)
}

// LogFile is true of the journals and of the text file that tells of compactions.
func (goleveldbEngine) LogFile(name string) bool {
	return strings.HasSuffix(name, ".log") || name == "LOG" || name == "LOG.old"
}

func (e goleveldbEngine) Open(dir string, c Config) (Store, error) {
	db, err := leveldb.OpenFile(dir, e.options(c))
	if err != nil {
		return nil, err
	}
	return &goleveldbStore{db: db}, nil
}

type goleveldbStore struct{ db *leveldb.DB }

func (s *goleveldbStore) NewSession() (Session, error) { return &goleveldbSession{db: s.db}, nil }

// Compact merges the whole key range, the memtable too.
func (s *goleveldbStore) Compact(context.Context) error {
	return s.db.CompactRange(util.Range{})
}

// Verify: there is no call for it. A scan that checks blocks would leave out those that
// are cached, and the filters.
func (s *goleveldbStore) Verify(context.Context) error { return ErrUnsupported }

func (s *goleveldbStore) Stats() Stats {
	stats := UnknownStats
	var d leveldb.DBStats
	if s.db.Stats(&d) != nil {
		return stats
	}
	stats.TableBytesWritten = 0
	for _, n := range d.LevelWrite {
		stats.TableBytesWritten += n
	}
	stats.Stalls, stats.StallTime = int64(d.WriteDelayCount), d.WriteDelayDuration
	return stats
}

// goleveldbQuiet is longer than a compaction goes on without reading or writing a block.
const goleveldbQuiet = 100 * time.Millisecond

// Settle flushes by way of a transaction, which begins by flushing the memtable; there is
// no other call that flushes only. A compaction that runs is seen by its reads and writes.
func (s *goleveldbStore) Settle(ctx context.Context) (time.Duration, error) {
	tr, err := s.db.OpenTransaction()
	if err != nil {
		return 0, err
	}
	tr.Discard()
	var last leveldb.DBStats
	var statsErr error
	idle, err := waitQuiet(ctx, func() bool {
		var now leveldb.DBStats
		if err := s.db.Stats(&now); err != nil {
			statsErr = err
			return false
		}
		busy := now.IORead != last.IORead || now.IOWrite != last.IOWrite
		last = now
		return busy
	}, goleveldbQuiet)
	return idle, errors.Join(err, statsErr)
}

func (s *goleveldbStore) Close() error { return s.db.Close() }

type goleveldbSession struct {
	db    *leveldb.DB
	batch leveldb.Batch
}

var (
	goleveldbSync   = &opt.WriteOptions{Sync: true}
	goleveldbNoSync = &opt.WriteOptions{}
)

func goleveldbWrite(sync bool) *opt.WriteOptions {
	if sync {
		return goleveldbSync
	}
	return goleveldbNoSync
}

func (s *goleveldbSession) Set(key, value []byte, sync bool) error {
	return s.db.Put(key, value, goleveldbWrite(sync))
}

func (s *goleveldbSession) SetBatch(pairs []Pair, sync bool) error {
	s.batch.Reset()
	for _, p := range pairs {
		s.batch.Put(p.Key, p.Value)
	}
	return s.db.Write(&s.batch, goleveldbWrite(sync))
}

func (s *goleveldbSession) Delete(key []byte) error { return s.db.Delete(key, goleveldbNoSync) }

func (s *goleveldbSession) DeleteBatch(keys [][]byte) error {
	s.batch.Reset()
	for _, key := range keys {
		s.batch.Delete(key)
	}
	return s.db.Write(&s.batch, goleveldbNoSync)
}

// Transact is left to the stand-in: a transaction of goleveldb's own begins with a flush of
// the memtable and writes a table, which is for loads and not for a few keys.

func (s *goleveldbSession) scanRange(lower, upper []byte, visit func(key, value []byte) bool) error {
	it := s.db.NewIterator(&util.Range{Start: lower, Limit: upper}, nil)
	defer it.Release()
	for ok := it.First(); ok && visit(it.Key(), it.Value()); {
		ok = it.Next()
	}
	return it.Error()
}

func (s *goleveldbSession) Get(dst, key []byte) ([]byte, bool, error) {
	v, err := s.db.Get(key, nil)
	if err != nil {
		if errors.Is(err, leveldb.ErrNotFound) {
			return dst, false, nil
		}
		return dst, false, err
	}
	return append(dst, v...), true, nil
}

func (s *goleveldbSession) MultiGet(keys [][]byte, visit func(i int, value []byte, found bool)) error {
	snapshot, err := s.db.GetSnapshot()
	if err != nil {
		return err
	}
	defer snapshot.Release()
	for i, key := range keys {
		v, err := snapshot.Get(key, nil)
		if err != nil && !errors.Is(err, leveldb.ErrNotFound) {
			return err
		}
		visit(i, v, err == nil)
	}
	return nil
}

func (s *goleveldbSession) Close() error { return nil }

func (s *goleveldbSession) NewScanner() (Scanner, error) {
	it := s.db.NewIterator(nil, nil)
	if err := it.Error(); err != nil {
		return nil, err
	}
	return &goleveldbScanner{it: it}, nil
}

type goleveldbScanner struct{ it iterator.Iterator }

func (s *goleveldbScanner) Scan(from []byte, reverse bool, n int, visit func(key, value []byte) bool) (int, error) {
	it, count := s.it, 0
	for ok := s.position(from, reverse); ok && count < n; {
		count++
		if !visit(it.Key(), it.Value()) || count == n {
			break
		}
		if reverse {
			ok = it.Prev()
		} else {
			ok = it.Next()
		}
	}
	return count, it.Error()
}

func (s *goleveldbScanner) position(from []byte, reverse bool) bool {
	switch {
	case from != nil:
		return s.it.Seek(from)
	case reverse:
		return s.it.Last()
	}
	return s.it.First()
}

func (s *goleveldbScanner) Close() error {
	s.it.Release()
	return s.it.Error()
}
