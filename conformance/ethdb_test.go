package conformance

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/ethdb"
	"github.com/ethereum/go-ethereum/ethdb/dbtest"
	"github.com/loamdb/loam/lsm"
)

// TestEthdb runs go-ethereum's suite. Each of its tests asks for a fresh store: it gets the one
// that the test before has left, restarted and emptied.
func TestEthdb(t *testing.T) {
	everyHome(t, func(t *testing.T, h *home) {
		dbtest.TestDatabaseSuite(t, func() ethdb.KeyValueStore {
			if h.used {
				h.restart()
			}
			h.clear()
			h.used = true
			return &ethStore{home: h, verbs: h.verbs(), db: h.db}
		})
	})
}

// ethStore is an ethdb.KeyValueStore. It keeps the handles that it was made with: the home's
// are other ones after a restart.
type ethStore struct {
	verbs
	home *home
	db   *lsm.DB
}

func (s *ethStore) Put(key, value []byte) error { return s.Set(key, value, lsm.NoSync) }
func (s *ethStore) Delete(key []byte) error     { return s.verbs.Delete(key, lsm.NoSync) }

func (s *ethStore) DeleteRange(start, end []byte) error {
	return s.verbs.DeleteRange(start, end, lsm.NoSync)
}

func (s *ethStore) NewBatch() ethdb.Batch              { return &ethBatch{store: s} }
func (s *ethStore) NewBatchWithSize(n int) ethdb.Batch { return &ethBatch{store: s} }
func (s *ethStore) SyncKeyValue() error                { return s.db.Flush(context.Background()) }
func (s *ethStore) Stat() (string, error)              { return fmt.Sprintf("%+v", s.db.Metrics()), nil }

func (s *ethStore) Compact(start, limit []byte) error {
	if s.home.scoped {
		return s.db.Compact(context.Background(), nil, nil)
	}
	return s.db.Compact(context.Background(), start, limit)
}

// Close restarts the store and closes what it has become, so that it is the store of the next
// test. The handles that this one has are closed.
func (s *ethStore) Close() error {
	if s.home.db == s.db {
		s.home.restart()
	}
	return nil
}

func (s *ethStore) NewIterator(prefix, start []byte) ethdb.Iterator {
	o := &lsm.IterOptions{LowerBound: slices.Concat(prefix, start), UpperBound: prefixEnd(prefix)}
	it, err := s.NewIter(o)
	return &ethIterator{it, err}
}

// ethIterator is an ethdb.Iterator.
type ethIterator struct {
	*lsm.Iterator
	err error
}

func (it *ethIterator) Next() bool { return it.err == nil && it.Iterator.Next() }

func (it *ethIterator) Error() error {
	if it.err != nil {
		return it.err
	}
	return it.Err()
}

func (it *ethIterator) Release() {
	if it.err == nil {
		it.err = it.Iterator.Close()
	}
}

// ethBatch is an ethdb.Batch: it keeps what it was given, for Replay.
type ethBatch struct {
	store *ethStore
	ops   []func(ethdb.KeyValueWriter) error
	size  int
}

func (b *ethBatch) add(size int, op func(ethdb.KeyValueWriter) error) error {
	b.ops, b.size = append(b.ops, op), b.size+size
	return nil
}

func (b *ethBatch) Put(key, value []byte) error {
	key, value = slices.Clone(key), slices.Clone(value)
	return b.add(len(key)+len(value), func(w ethdb.KeyValueWriter) error { return w.Put(key, value) })
}

func (b *ethBatch) Delete(key []byte) error {
	key = slices.Clone(key)
	return b.add(len(key), func(w ethdb.KeyValueWriter) error { return w.Delete(key) })
}

func (b *ethBatch) DeleteRange(start, end []byte) error {
	start, end = slices.Clone(start), slices.Clone(end)
	return b.add(len(start)+len(end), func(w ethdb.KeyValueWriter) error {
		r, ok := w.(ethdb.KeyValueRangeDeleter)
		if !ok {
			return fmt.Errorf("conformance: %T deletes no ranges", w)
		}
		return r.DeleteRange(start, end)
	})
}

func (b *ethBatch) ValueSize() int { return b.size }
func (b *ethBatch) Reset()         { b.ops, b.size = nil, 0 }
func (b *ethBatch) Close()         {}

func (b *ethBatch) Write() error {
	w := ethFill{b.store.verbs.NewBatch()}
	if err := b.Replay(w); err != nil {
		return err
	}
	return b.store.Apply(w.Batch, lsm.NoSync)
}

func (b *ethBatch) Replay(w ethdb.KeyValueWriter) error {
	for _, op := range b.ops {
		if err := op(w); err != nil {
			return err
		}
	}
	return nil
}

// ethFill fills a batch of the engine's.
type ethFill struct{ *lsm.Batch }

func (w ethFill) Put(key, value []byte) error         { w.Batch.Set(key, value); return nil }
func (w ethFill) Delete(key []byte) error             { w.Batch.Delete(key); return nil }
func (w ethFill) DeleteRange(start, end []byte) error { w.Batch.DeleteRange(start, end); return nil }
