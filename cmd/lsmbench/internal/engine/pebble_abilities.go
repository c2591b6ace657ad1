package engine

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

func (s *pebbleSession) DeleteRange(lower, upper []byte) error {
	return s.db.DeleteRange(lower, upper, pebble.NoSync)
}

func (s *pebbleSession) scanRange(lower, upper []byte, visit func(key, value []byte) bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && visit(it.Key(), it.Value()); {
		ok = it.Next()
	}
	return errors.Join(it.Error(), it.Close())
}

// Checkpoint copies the log and syncs it, so that nothing is left out.
func (s *pebbleStore) Checkpoint(_ context.Context, dir string) error {
	return s.db.Checkpoint(dir, pebble.WithFlushedWAL())
}
