//go:build peers

package engine

import (
	"time"

	"github.com/dgraph-io/badger/v4"
)

// SetWithTTL: an entry of badger's expires at a whole second, the last one within ttl.
func (s *badgerSession) SetWithTTL(key, value []byte, ttl time.Duration) error {
	txn := s.store.db.NewTransaction(true)
	defer txn.Discard()
	if err := txn.SetEntry(badger.NewEntry(key, value).WithTTL(ttl)); err != nil {
		return err
	}
	return s.commit(txn, false)
}
