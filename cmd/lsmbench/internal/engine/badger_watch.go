//go:build peers

package engine

import (
	"context"
	"errors"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
)

func (s *badgerStore) Watch(ctx context.Context, prefix []byte, visit func(key, value []byte)) (wait func() error, err error) {
	ended := make(chan error, 1)
	go func() {
		ended <- s.db.Subscribe(ctx, func(list *badger.KVList) error {
			for _, kv := range list.GetKv() {
				visit(kv.Key, kv.Value)
			}
			return nil
		}, []pb.Match{{Prefix: prefix}})
	}()
	return func() error {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}, nil
}
