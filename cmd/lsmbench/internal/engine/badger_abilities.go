//go:build peers

package engine

import (
	"context"
	"errors"
	"os"

	"github.com/dgraph-io/badger/v4"
)

// DeleteRange is left to the stand-in: badger's DropPrefix stops all writes, flushes, and
// rewrites tables.

func (s *badgerSession) scanRange(lower, upper []byte, visit func(key, value []byte) bool) error {
	txn := s.store.db.NewTransaction(false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: commonPrefix(lower, upper)})
	defer it.Close()
	more := true
	for it.Seek(lower); it.Valid() && more; it.Next() {
		key := it.Item().Key()
		if string(key) >= string(upper) {
			break
		}
		err := it.Item().Value(func(value []byte) error {
			more = visit(key, value)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// commonPrefix is what all keys of a range begin with: badger passes over tables without.
func commonPrefix(lower, upper []byte) []byte {
	n := 0
	for n < min(len(lower), len(upper)) && lower[n] == upper[n] {
		n++
	}
	return lower[:n]
}

func (s *badgerSession) Transact(sync bool, fn func(tx Txn) error) (retries int, err error) {
	for ; ; retries++ {
		if err := s.transactOnce(sync, fn); !errors.Is(err, badger.ErrConflict) {
			return retries, err
		}
	}
}

func (s *badgerSession) transactOnce(sync bool, fn func(tx Txn) error) error {
	txn := s.store.db.NewTransaction(true)
	defer txn.Discard()
	if err := fn(&badgerTxn{s, txn}); err != nil {
		return err
	}
	return s.commit(txn, sync)
}

type badgerTxn struct {
	session *badgerSession
	txn     *badger.Txn
}

func (t *badgerTxn) Get(dst, key []byte) ([]byte, bool, error) { return t.session.get(t.txn, dst, key) }

// Set copies: a transaction keeps what it is given until it commits.
func (t *badgerTxn) Set(key, value []byte) error {
	own := append(append(make([]byte, 0, len(key)+len(value)), key...), value...)
	return t.txn.Set(own[:len(key):len(key)], own[len(key):])
}

// Checkpoint streams the store to another, which is what badger has for it besides files
// of a format of their own; DB.StreamDB is the same for stores of another mode.
func (s *badgerStore) Checkpoint(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	to, err := badger.Open(s.db.Opts().WithDir(dir).WithValueDir(dir))
	if err != nil {
		return err
	}
	err = s.stream(ctx, to)
	if err = errors.Join(err, to.Close()); err != nil {
		return err
	}
	return syncTree(dir)
}

func (s *badgerStore) stream(ctx context.Context, to *badger.DB) error {
	w := to.NewStreamWriter()
	if err := w.Prepare(); err != nil {
		return err
	}
	stream := s.db.NewStream()
	stream.Send = w.Write
	if err := stream.Orchestrate(ctx); err != nil {
		w.Cancel()
		return err
	}
	return w.Flush()
}
