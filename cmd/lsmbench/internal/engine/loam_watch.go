package engine

import (
	"context"
	"errors"

	"github.com/loamdb/loam/lsm"
)

func (s *loamStore) Watch(ctx context.Context, prefix []byte, visit func(key, value []byte)) (wait func() error, err error) {
	w, err := s.db.Watch(ctx, &lsm.WatchOptions{Prefix: prefix})
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() {
		for {
			e, err := w.Next()
			if err != nil {
				if errors.Is(err, context.Canceled) {
					err = nil
				}
				ended <- errors.Join(err, w.Close())
				return
			}
			if e.Kind == lsm.WatchSet {
				visit(e.Key, e.Value)
			}
		}
	}()
	return func() error { return <-ended }, nil
}
