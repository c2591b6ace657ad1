package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// pebbleEngine is github.com/cockroachdb/pebble, set up for point reads and steady
// writes: filters on every level, an index block large enough never to be split, an
// early trigger and four memtables before writes stop, newest format.
type pebbleEngine struct{}

const (
	pebbleIndexBlockBytes = 256 << 10
	pebbleL0Trigger       = 2
	pebbleMemtables       = 4
)

func (pebbleEngine) Name() string { return "pebble" }

func (pebbleEngine) Settings(c Config) string {
	return fmt.Sprintf("memtable %s ×%d, cache with memtables %s, bloom %d bits all levels, block %s, index block %s, "+
		"L0 trigger %d, compactions 1–%d, compression %s, format %s",
		byteSize(c.MemtableBytes), pebbleMemtables, byteSize(c.BudgetBytes), c.FilterBits, byteSize(int64(c.BlockBytes)),
		byteSize(pebbleIndexBlockBytes), pebbleL0Trigger, c.Compactions, pebbleProfile(c.Compression).Name, pebble.FormatNewest)
}

// pebbleProfile maps a compression's name; Snappy is the format that S2 descends from.
func pebbleProfile(name string) *sstable.CompressionProfile {
	switch name {
	case "s2":
		return sstable.SnappyCompression
	case "zstd":
		return sstable.ZstdCompression
	}
	return sstable.NoCompression
}

func (pebbleEngine) Open(dir string, c Config) (Store, error) {
	// The memtables' memory is taken out of the cache's, so that the cache's size
	// bounds both.
	cache := pebble.NewCache(c.BudgetBytes)
	defer cache.Unref()
	o := &pebble.Options{
		Cache:                       cache,
		MemTableSize:                uint64(c.MemtableBytes),
		MemTableStopWritesThreshold: pebbleMemtables,
		L0CompactionThreshold:       pebbleL0Trigger,
		L0StopWritesThreshold:       20,
		LBaseMaxBytes:               c.MemtableBytes,
		FormatMajorVersion:          pebble.FormatNewest,
		CompactionConcurrencyRange:  func() (int, int) { return 1, c.Compactions },
		Logger:                      silentLogger{},
	}
	for i := range o.Levels {
		l := &o.Levels[i]
		l.BlockSize = c.BlockBytes
		l.IndexBlockSize = pebbleIndexBlockBytes
		l.Compression = func() *sstable.CompressionProfile { return pebbleProfile(c.Compression) }
		if c.FilterBits > 0 {
			l.FilterPolicy = bloom.FilterPolicy(c.FilterBits)
		}
	}
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &pebbleStore{db: db}, nil
}

type pebbleStore struct{ db *pebble.DB }

func (s *pebbleStore) NewSession() Session { return &pebbleSession{db: s.db} }

func (s *pebbleStore) Settle(ctx context.Context) (time.Duration, error) {
	if err := s.db.Flush(); err != nil {
		return 0, err
	}
	return waitQuiet(ctx, func() bool {
		m := s.db.Metrics()
		return m.Compact.NumInProgress > 0 || m.Flush.NumInProgress > 0
	}, settleQuiet)
}

func (s *pebbleStore) Close() error { return s.db.Close() }

type pebbleSession struct {
	db    *pebble.DB
	batch *pebble.Batch
}

func pebbleWrite(sync bool) *pebble.WriteOptions {
	if sync {
		return pebble.Sync
	}
	return pebble.NoSync
}

func (s *pebbleSession) Set(key, value []byte, sync bool) error {
	return s.db.Set(key, value, pebbleWrite(sync))
}

func (s *pebbleSession) SetBatch(pairs []Pair, sync bool) error {
	if s.batch == nil {
		s.batch = s.db.NewBatch()
	} else {
		s.batch.Reset()
	}
	for _, p := range pairs {
		if err := s.batch.Set(p.Key, p.Value, nil); err != nil {
			return err
		}
	}
	return s.db.Apply(s.batch, pebbleWrite(sync))
}

func (s *pebbleSession) Delete(key []byte) error { return s.db.Delete(key, pebble.NoSync) }

func (s *pebbleSession) Get(dst, key []byte) ([]byte, bool, error) {
	v, closer, err := s.db.Get(key)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return dst, false, nil
		}
		return dst, false, err
	}
	dst = append(dst, v...)
	return dst, true, closer.Close()
}

func (s *pebbleSession) NewScanner() (Scanner, error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	return &pebbleScanner{it: it}, nil
}

type pebbleScanner struct{ it *pebble.Iterator }

func (s *pebbleScanner) Scan(from []byte, reverse bool, n int, visit func(key, value []byte) bool) (int, error) {
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

func (s *pebbleScanner) position(from []byte, reverse bool) bool {
	switch {
	case from != nil:
		return s.it.SeekGE(from)
	case reverse:
		return s.it.Last()
	}
	return s.it.First()
}

func (s *pebbleScanner) Close() error { return s.it.Close() }

// silentLogger drops what the engine says of its work. Fatal is called where the
// engine cannot go on and does not expect a return.
type silentLogger struct{}

func (silentLogger) Infof(string, ...any)  {}
func (silentLogger) Errorf(string, ...any) {}
func (silentLogger) Fatalf(format string, args ...any) {
	panic("pebble: " + fmt.Sprintf(format, args...))
}
