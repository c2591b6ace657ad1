//go:build peers

package engine

import (
	"context"
	"errors"

	"github.com/dgraph-io/badger/v4"
)

// Mark syncs, and remembers the greatest version.
func (s *badgerStore) Mark() error {
	s.mark = s.db.MaxVersion()
	return s.db.Sync()
}

// Diff is what badger's incremental backups are made by: an iterator that passes over
// tables without anything newer than the mark.
func (s *badgerStore) Diff(ctx context.Context, visit func(key, value []byte)) error {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{SinceTs: s.mark})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		err := item.Value(func(value []byte) error {
			visit(item.Key(), value)
			return nil
		})
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}
