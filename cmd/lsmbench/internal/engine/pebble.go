package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	dto "github.com/prometheus/client_model/go"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

func init() { register(1, pebbleEngine{}) }

// pebbleEngine is github.com/cockroachdb/pebble, set up for point reads and steady
// writes: filters on every level, an index block large enough never to be split, an
// early trigger and four memtables before writes stop, newest format.
type pebbleEngine struct{}

const (
	pebbleIndexBlockBytes = 256 << 10
	pebbleL0Trigger       = 2
	pebbleL0Stop          = 20
	pebbleMemtables       = 4
)

func (pebbleEngine) Name() string { return "pebble" }

func (pebbleEngine) Settings(c Config) string {
	return fmt.Sprintf("memtable %s ×%d, cache with memtables %s, bloom %d bits all levels (on the last one Get does not ask it), block %s, index block %s, "+
		"L0 trigger %d and stop %d, level base %s, compactions 1–%d, compression %s, format %s",
		units.Bytes(c.MemtableBytes), pebbleMemtables, units.Bytes(c.BudgetBytes), c.FilterBits, units.Bytes(int64(c.BlockBytes)),
		units.Bytes(pebbleIndexBlockBytes), pebbleL0Trigger, pebbleL0Stop, units.Bytes(c.MemtableBytes), c.Compactions, pebbleCompression(c.Compression), pebble.FormatNewest)
}

// pebbleProfile maps a compression's name, at the last level or above it; Snappy is the format
// that S2 descends from.
func pebbleProfile(name string, last bool) *sstable.CompressionProfile {
	switch {
	case name == "s2", name == "s2-zstd" && !last:
		return sstable.SnappyCompression
	case name == "zstd", name == "s2-zstd":
		return sstable.ZstdCompression
	}
	return sstable.NoCompression
}

func pebbleCompression(name string) string {
	above, last := pebbleProfile(name, false).Name, pebbleProfile(name, true).Name
	if above != last {
		return above + ", at the last level " + last
	}
	return above
}

func (pebbleEngine) LogFile(name string) bool { return strings.HasSuffix(name, ".log") }

func (pebbleEngine) Open(dir string, c Config) (Store, error) {
	// The memtables' memory is taken out of the cache's, so that the cache's size
	// bounds both.
	stalls := &pebbleStalls{}
	cache := pebble.NewCache(c.BudgetBytes)
	defer cache.Unref()
	o := &pebble.Options{
		Cache:                       cache,
		MemTableSize:                uint64(c.MemtableBytes),
		MemTableStopWritesThreshold: pebbleMemtables,
		L0CompactionThreshold:       pebbleL0Trigger,
		L0StopWritesThreshold:       pebbleL0Stop,
		LBaseMaxBytes:               c.MemtableBytes,
		FormatMajorVersion:          pebble.FormatNewest,
		CompactionConcurrencyRange:  func() (int, int) { return 1, c.Compactions },
		Logger:                      silentLogger{},
		EventListener:               stalls.listener(),
		Merger:                      pebbleAdder,
	}
	for i := range o.Levels {
		l := &o.Levels[i]
		l.BlockSize = c.BlockBytes
		l.IndexBlockSize = pebbleIndexBlockBytes
		l.Compression = func() *sstable.CompressionProfile { return pebbleProfile(c.Compression, i == len(o.Levels)-1) }
		if c.FilterBits > 0 {
			l.FilterPolicy = bloom.FilterPolicy(c.FilterBits)
		}
	}
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &pebbleStore{db: db, stalls: stalls}, nil
}

type pebbleStore struct {
	db     *pebble.DB
	stalls *pebbleStalls
}

// pebbleStalls counts what the engine reports of writes that it made wait.
type pebbleStalls struct {
	count, nanos, since atomic.Int64
}

func (s *pebbleStalls) listener() *pebble.EventListener {
	return &pebble.EventListener{
		WriteStallBegin: func(pebble.WriteStallBeginInfo) {
			s.count.Add(1)
			s.since.Store(time.Now().UnixNano())
		},
		WriteStallEnd: func() { s.nanos.Add(time.Now().UnixNano() - s.since.Load()) },
	}
}

func (s *pebbleStore) NewSession() (Session, error) { return &pebbleSession{db: s.db}, nil }

// Compact leaves out no key: the upper bound is longer than any.
func (s *pebbleStore) Compact(ctx context.Context) error {
	return s.db.Compact(ctx, []byte{}, bytes.Repeat([]byte{0xff}, 64), false)
}

func (s *pebbleStore) Verify(context.Context) error { return ErrUnsupported }

func (s *pebbleStore) Stats() Stats {
	m := s.db.Metrics()
	total := m.Total()
	syncs := uint64(0)
	if h := m.LogWriter.FsyncLatency; h != nil {
		var d dto.Metric
		if h.Write(&d) == nil {
			syncs = d.GetHistogram().GetSampleCount()
		}
	}
	return Stats{
		TableBytesWritten: int64(total.TableBytesFlushed + total.TableBytesCompacted),
		Syncs:             int64(syncs),
		Stalls:            s.stalls.count.Load(),
		StallTime:         time.Duration(s.stalls.nanos.Load()),
	}
}

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
	buf   []byte
	// operand is of Add.
	operand []byte
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

// emptied returns the session's batch, empty.
func (s *pebbleSession) emptied() *pebble.Batch {
	if s.batch == nil {
		s.batch = s.db.NewBatch()
	} else {
		s.batch.Reset()
	}
	return s.batch
}

func (s *pebbleSession) SetBatch(pairs []Pair, sync bool) error {
	b := s.emptied()
	for _, p := range pairs {
		if err := b.Set(p.Key, p.Value, nil); err != nil {
			return err
		}
	}
	return s.db.Apply(b, pebbleWrite(sync))
}

func (s *pebbleSession) Delete(key []byte) error { return s.db.Delete(key, pebble.NoSync) }

func (s *pebbleSession) DeleteBatch(keys [][]byte) error {
	b := s.emptied()
	for _, key := range keys {
		if err := b.Delete(key, nil); err != nil {
			return err
		}
	}
	return s.db.Apply(b, pebble.NoSync)
}

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

func (s *pebbleSession) MultiGet(keys [][]byte, visit func(i int, value []byte, found bool)) error {
	return getEach(s, &s.buf, keys, visit)
}

func (s *pebbleSession) Close() error {
	if s.batch == nil {
		return nil
	}
	return s.batch.Close()
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
