package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/lsm"
)

func init() { register(0, loamEngine{}) }

// loamEngine is this project's engine, github.com/loamdb/loam/lsm.
type loamEngine struct{}

func (loamEngine) Name() string { return "loam" }

func (loamEngine) encrypts() {}

func (loamEngine) options(c Config) *lsm.Options {
	o := &lsm.Options{
		MemoryBudget:      c.BudgetBytes,
		MemtableBytes:     c.MemtableBytes,
		BlockBytes:        c.BlockBytes,
		FilterBitsPerKey:  c.FilterBits,
		CompactionWorkers: c.Compactions,
	}
	if c.FilterBits == 0 {
		o.FilterBitsPerKey = -1
	}
	if c.Encrypted {
		o.Encryption = &lsm.Encryption{Key: crypto.KeyBytes(encryptionKey)}
	}
	switch c.Compression {
	case "s2":
		o.Compression = lsm.S2
	case "s2-zstd":
		o.Compression = lsm.S2ThenZstd
	case "zstd":
		o.Compression = lsm.Zstd
	default:
		o.Compression = lsm.NoCompression
	}
	return o
}

func (e loamEngine) Settings(c Config) string {
	o := e.options(c)
	encrypted := ""
	if c.Encrypted {
		encrypted = ", encrypted and authenticated, log and manifest too"
	}
	return fmt.Sprintf("memtable %s, budget of cache, memtables, indexes and filters %s, filters %d bits all levels, block %s, "+
		"compactions 1–%d, compression %s%s", units.Bytes(o.MemtableBytes), units.Bytes(o.MemoryBudget), c.FilterBits,
		units.Bytes(int64(o.BlockBytes)), o.CompactionWorkers, o.Compression, encrypted)
}

func (loamEngine) LogFile(name string) bool { return strings.HasPrefix(name, "wal-") }

func (e loamEngine) Open(dir string, c Config) (Store, error) {
	db, err := lsm.Open(dir, e.options(c))
	if err != nil {
		return nil, err
	}
	return &loamStore{db: db}, nil
}

type loamStore struct {
	db   *lsm.DB
	mark lsm.Position // of Mark
}

func (s *loamStore) NewSession() (Session, error) {
	return &loamSession{db: s.db, batch: s.db.NewBatch()}, nil
}

func (s *loamStore) Compact(ctx context.Context) error { return s.db.Compact(ctx, nil, nil) }

func (s *loamStore) Verify(ctx context.Context) error { return s.db.Verify(ctx) }

func (s *loamStore) Stats() Stats {
	m := s.db.Metrics()
	return Stats{
		TableBytesWritten: m.FlushedBytes + m.CompactedBytes,
		Syncs:             m.LogSyncs,
		Stalls:            m.WriteStops,
		StallTime:         m.WriteDelay,
	}
}

func (s *loamStore) Settle(ctx context.Context) (time.Duration, error) {
	if err := s.db.Flush(ctx); err != nil {
		return 0, err
	}
	last := s.work()
	return waitQuiet(ctx, func() bool {
		now := s.work()
		busy := now != last || now.frozen > 0 || now.running > 0
		last = now
		return busy
	}, loamQuiet)
}

// loamQuiet is longer than the store takes from the end of one job to the next.
const loamQuiet = 100 * time.Millisecond

// loamWork is what changes while the store works in the background.
type loamWork struct {
	frozen, running             int
	flushes, compactions, moves int64
}

func (s *loamStore) work() loamWork {
	m := s.db.Metrics()
	return loamWork{m.FrozenMemtables, m.RunningCompactions, m.Flushes, m.Compactions, m.TrivialMoves}
}

func (s *loamStore) Close() error { return s.db.Close() }

type loamSession struct {
	db    *lsm.DB
	batch *lsm.Batch
	buf   []byte
	// operand is of Add.
	operand []byte
}

func loamWrite(sync bool) *lsm.WriteOptions {
	if sync {
		return lsm.Sync
	}
	return lsm.NoSync
}

func (s *loamSession) Set(key, value []byte, sync bool) error {
	return s.db.Set(key, value, loamWrite(sync))
}

func (s *loamSession) SetBatch(pairs []Pair, sync bool) error {
	s.batch.Reset()
	for _, p := range pairs {
		s.batch.Set(p.Key, p.Value)
	}
	return s.db.Apply(s.batch, loamWrite(sync))
}

func (s *loamSession) Delete(key []byte) error { return s.db.Delete(key, lsm.NoSync) }

func (s *loamSession) DeleteBatch(keys [][]byte) error {
	s.batch.Reset()
	for _, key := range keys {
		s.batch.Delete(key)
	}
	return s.db.Apply(s.batch, lsm.NoSync)
}

func (s *loamSession) Get(dst, key []byte) ([]byte, bool, error) {
	v, err := s.db.AppendGet(dst, key)
	if err != nil {
		if errors.Is(err, lsm.ErrNotFound) {
			return dst, false, nil
		}
		return dst, false, err
	}
	return v, true, nil
}

func (s *loamSession) MultiGet(keys [][]byte, visit func(i int, value []byte, found bool)) error {
	return getEach(s, &s.buf, keys, visit)
}

func (s *loamSession) Close() error { return nil }

func (s *loamSession) NewScanner() (Scanner, error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	return &loamScanner{it: it}, nil
}

type loamScanner struct{ it *lsm.Iterator }

func (s *loamScanner) Scan(from []byte, reverse bool, n int, visit func(key, value []byte) bool) (int, error) {
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
	return count, it.Err()
}

func (s *loamScanner) position(from []byte, reverse bool) bool {
	switch {
	case from != nil:
		return s.it.SeekGE(from)
	case reverse:
		return s.it.Last()
	}
	return s.it.First()
}

func (s *loamScanner) Close() error { return s.it.Close() }
