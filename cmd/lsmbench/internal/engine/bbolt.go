package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
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

// bboltBucket is the one bucket, which holds every key.
var bboltBucket = []byte("kv")

func (bboltEngine) Name() string { return "bbolt" }

func (bboltEngine) Settings(Config) string {
	return fmt.Sprintf("B+ tree in one mapped file, cached by the operating system alone, so neither bound to the budget nor given it; "+
		"page %s, map %s, free list a hash map and not written, one transaction a write, compression none; "+
		"a write that is not synced leaves out both syncs of its commit: a power failure may then cost the whole store",
		units.Bytes(int64(os.Getpagesize())), units.Bytes(bboltMapBytes()))
}

// LogFile is false of every file: pages are written in place of a log.
func (bboltEngine) LogFile(string) bool { return false }

func (bboltEngine) Open(dir string, _ Config) (Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	db, err := bolt.Open(filepath.Join(dir, "bbolt.db"), 0o600, &bolt.Options{
		FreelistType:    bolt.FreelistMapType,
		NoFreelistSync:  true,
		InitialMmapSize: int(bboltMapBytes()),
		// Counting takes a lock that every transaction of every reader would share.
		NoStatistics: true,
	})
	if err != nil {
		return nil, err
	}
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

type bboltStore struct{ db *bolt.DB }

func (s *bboltStore) NewSession() (Session, error) { return &bboltSession{s}, nil }

// update runs write in a transaction. NoSync belongs to the database, but only a commit
// reads it, and the transaction that holds the writers' lock is the one that sets it. A
// synced commit is thus the one that bbolt's users have: pages, sync, meta page, sync;
// the first of the two also carries what was left unsynced before.
func (s *bboltStore) update(sync bool, write func(*bolt.Bucket) error) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	s.db.NoSync = !sync
	if err := write(tx.Bucket(bboltBucket)); err != nil {
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

func (s *bboltSession) Set(key, value []byte, sync bool) error {
	return s.update(sync, func(b *bolt.Bucket) error { return b.Put(key, value) })
}

func (s *bboltSession) SetBatch(pairs []Pair, sync bool) error {
	return s.update(sync, func(b *bolt.Bucket) error {
		for _, p := range pairs {
			if err := b.Put(p.Key, p.Value); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *bboltSession) Delete(key []byte) error {
	return s.update(false, func(b *bolt.Bucket) error { return b.Delete(key) })
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
