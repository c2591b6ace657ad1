package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

func init() { register(4, bboltEngine{}) }

// bboltEngine is go.etcd.io/bbolt: a copy-on-write B+ tree in one mapped file, with one
// writer at a time and readers that never wait. It has neither memtables nor a cache of
// its own, so it is held to no budget: what it keeps in memory is the page cache.
type bboltEngine struct{}

// bboltMapBytes is how much of the file is mapped from the start: a writer that must map
// it anew waits for every reader, so one that has a scanner open itself would wait for
// ever. It is address space only, but on Windows the file is made as long.
func bboltMapBytes() int64 {
	if runtime.GOOS == "windows" || math.MaxInt == math.MaxInt32 {
		return 1 << 30
	}
	return 64 << 30
}

// bboltBatchDelay is for how long bbolt waits for writers to share a commit with: about as
// long as a sync takes. Its default of 10 ms is meant for disks that turn.
const bboltBatchDelay = 250 * time.Microsecond

// bboltBucket is the bucket of all keys that are in no scope.
var bboltBucket = []byte("kv")

const bboltFile = "bbolt.db"

func (bboltEngine) Name() string { return "bbolt" }

func (bboltEngine) Settings(Config) string {
	return fmt.Sprintf("B+ tree in one mapped file, cached by the operating system alone, so neither bound to the budget nor given it; "+
		"page %s, map %s, free list a hash map and not written, no statistics, one transaction a write, but synced writes of several goroutines by Batch with a delay of %s; "+
		"scopes are buckets, ranges are deleted by a cursor, compression none; "+
		"a write that is not synced leaves out both syncs of its commit: a power failure may then cost the whole store",
		units.Bytes(int64(os.Getpagesize())), units.Bytes(bboltMapBytes()), units.Duration(bboltBatchDelay))
}

// LogFile is false of every file: pages are written in place of a log.
func (bboltEngine) LogFile(string) bool { return false }

func (bboltEngine) Open(dir string, _ Config) (Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	db, err := bolt.Open(filepath.Join(dir, bboltFile), 0o600, &bolt.Options{
		FreelistType:    bolt.FreelistMapType,
		NoFreelistSync:  true,
		InitialMmapSize: int(bboltMapBytes()),
		// Counting takes a lock that every transaction of every reader would share.
		NoStatistics: true,
	})
	if err != nil {
		return nil, err
	}
	db.MaxBatchDelay = bboltBatchDelay
	s := &bboltStore{db: db}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bboltBucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

type bboltStore struct {
	db *bolt.DB
	// syncing is how many goroutines are in a synced write.
	syncing atomic.Int32
}

func (s *bboltStore) NewSession() (Session, error) { return &bboltSession{s}, nil }

// update runs write in a transaction. NoSync belongs to the database, but only a commit
// reads it, and the transaction that holds the writers' lock is the one that sets it. A
// synced commit is thus the one that bbolt's users have: pages, sync, meta page, sync;
// the first of the two also carries what was left unsynced before.
//
// Synced writes of several goroutines share commits by way of Batch, which is how bbolt
// groups them. One alone does not: it would wait for others in vain. Batch may run write
// more than once.
func (s *bboltStore) update(sync bool, write func(*bolt.Tx) error) error {
	if sync {
		defer s.syncing.Add(-1)
		if s.syncing.Add(1) > 1 {
			return s.db.Batch(func(tx *bolt.Tx) error {
				s.db.NoSync = false
				return write(tx)
			})
		}
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	s.db.NoSync = !sync
	if err := write(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Settle has nothing to wait for. It syncs, because the other engines' flush does.
func (s *bboltStore) Settle(context.Context) (time.Duration, error) { return 0, s.db.Sync() }

// Compact has no way to do it in place: bbolt compacts into another file.
func (s *bboltStore) Compact(context.Context) error { return ErrUnsupported }

// Verify walks every page. There are no checksums but those of the two meta pages: it
// checks that pages are of the right kind, reached once and in order.
func (s *bboltStore) Verify(ctx context.Context) error {
	return s.db.View(func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() { // to the end: it is another goroutine that sends
			if first == nil {
				first = err
			}
		}
		return errors.Join(first, ctx.Err())
	})
}

func (s *bboltStore) Stats() Stats { return UnknownStats }

func (s *bboltStore) Close() error { return s.db.Close() }

type bboltSession struct{ *bboltStore }

func bboltPut(b *bolt.Bucket, pairs []Pair) error {
	for _, p := range pairs {
		if err := b.Put(p.Key, p.Value); err != nil {
			return err
		}
	}
	return nil
}

func (s *bboltSession) Set(key, value []byte, sync bool) error {
	return s.update(sync, func(tx *bolt.Tx) error { return tx.Bucket(bboltBucket).Put(key, value) })
}

func (s *bboltSession) SetBatch(pairs []Pair, sync bool) error {
	return s.update(sync, func(tx *bolt.Tx) error { return bboltPut(tx.Bucket(bboltBucket), pairs) })
}

func (s *bboltSession) Delete(key []byte) error {
	return s.update(false, func(tx *bolt.Tx) error { return tx.Bucket(bboltBucket).Delete(key) })
}

func (s *bboltSession) DeleteBatch(keys [][]byte) error {
	return s.update(false, func(tx *bolt.Tx) error {
		b := tx.Bucket(bboltBucket)
		for _, key := range keys {
			if err := b.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *bboltSession) Get(dst, key []byte) (value []byte, found bool, err error) {
	value = dst
	err = s.db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket(bboltBucket).Get(key); v != nil {
			value, found = append(dst, v...), true
		}
		return nil
	})
	return value, found, err
}

func (s *bboltSession) MultiGet(keys [][]byte, visit func(i int, value []byte, found bool)) error {
	return s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bboltBucket)
		for i, key := range keys {
			v := b.Get(key)
			visit(i, v, v != nil)
		}
		return nil
	})
}

func (s *bboltSession) Close() error { return nil }

// NewScanner holds a transaction open: until it is closed, no page of its moment is used
// again, and the file grows by what is written.
func (s *bboltSession) NewScanner() (Scanner, error) {
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, err
	}
	return &bboltScanner{tx: tx, cursor: tx.Bucket(bboltBucket).Cursor()}, nil
}

type bboltScanner struct {
	tx     *bolt.Tx
	cursor *bolt.Cursor
}

func (s *bboltScanner) Scan(from []byte, reverse bool, n int, visit func(key, value []byte) bool) (int, error) {
	count := 0
	for k, v := s.position(from, reverse); k != nil && count < n; {
		count++
		if !visit(k, v) || count == n {
			break
		}
		if reverse {
			k, v = s.cursor.Prev()
		} else {
			k, v = s.cursor.Next()
		}
	}
	return count, nil
}

func (s *bboltScanner) position(from []byte, reverse bool) (key, value []byte) {
	switch {
	case from != nil:
		return s.cursor.Seek(from)
	case reverse:
		return s.cursor.Last()
	}
	return s.cursor.First()
}

func (s *bboltScanner) Close() error { return s.tx.Rollback() }
