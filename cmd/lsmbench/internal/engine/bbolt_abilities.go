package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// DeleteRange seeks anew after each key: a cursor of bbolt is not to be moved on after a
// delete.
func (s *bboltSession) DeleteRange(lower, upper []byte) error {
	return s.update(false, func(tx *bolt.Tx) error {
		c := tx.Bucket(bboltBucket).Cursor()
		for k, _ := c.Seek(lower); k != nil && bytes.Compare(k, upper) < 0; k, _ = c.Seek(lower) {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetIn finds the bucket in each transaction, as everybody must.
func (s *bboltSession) SetIn(scope []byte, pairs []Pair, sync bool) error {
	return s.update(sync, func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(scope)
		if err != nil {
			return err
		}
		return bboltPut(b, pairs)
	})
}

func (s *bboltSession) ScanIn(scope []byte, visit func(key, value []byte)) (count int, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(scope)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			count++
			visit(k, v)
			return nil
		})
	})
	return count, err
}

func (s *bboltSession) CopyScope(from, to []byte) error {
	return s.update(false, func(tx *bolt.Tx) error {
		source := tx.Bucket(from)
		if source == nil {
			return nil
		}
		b, err := tx.CreateBucket(to)
		if err != nil {
			return err
		}
		return source.ForEach(b.Put)
	})
}

func (s *bboltSession) DropScope(scope []byte) error {
	return s.update(false, func(tx *bolt.Tx) error {
		err := tx.DeleteBucket(scope)
		if errors.Is(err, bolterrors.ErrBucketNotFound) {
			return nil
		}
		return err
	})
}

// Transact never tries again: there is one writer at a time.
func (s *bboltSession) Transact(sync bool, fn func(tx Txn) error) (retries int, err error) {
	return 0, s.update(sync, func(tx *bolt.Tx) error { return fn(bboltTxn{tx.Bucket(bboltBucket)}) })
}

type bboltTxn struct{ bucket *bolt.Bucket }

func (t bboltTxn) Get(dst, key []byte) ([]byte, bool, error) {
	v := t.bucket.Get(key)
	return append(dst, v...), v != nil, nil
}

// Set copies the value, which bbolt keeps until the commit.
func (t bboltTxn) Set(key, value []byte) error { return t.bucket.Put(key, bytes.Clone(value)) }

// Checkpoint syncs the copy, which CopyFile leaves to its callers.
func (s *bboltStore) Checkpoint(_ context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := s.db.View(func(tx *bolt.Tx) error { return tx.CopyFile(filepath.Join(dir, bboltFile), 0o600) })
	if err != nil {
		return err
	}
	return syncTree(dir)
}
