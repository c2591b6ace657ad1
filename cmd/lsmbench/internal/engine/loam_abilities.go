package engine

import (
	"context"
	"errors"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

func (s *loamSession) DeleteRange(lower, upper []byte) error {
	return s.db.DeleteRange(lower, upper, lsm.NoSync)
}

// scope makes a handle for one call, as who has many scopes does.
func (s *loamSession) scope(name []byte) (*lsm.Scope, error) {
	return s.db.Scope(scope.Session(string(name)))
}

func (s *loamSession) SetIn(name []byte, pairs []Pair, sync bool) error {
	sc, err := s.scope(name)
	if err != nil {
		return err
	}
	if len(pairs) == 1 {
		return sc.Set(pairs[0].Key, pairs[0].Value, loamWrite(sync))
	}
	b := sc.NewBatch()
	for _, p := range pairs {
		b.Set(p.Key, p.Value)
	}
	return s.db.Apply(b, loamWrite(sync))
}

func (s *loamSession) ScanIn(name []byte, visit func(key, value []byte)) (int, error) {
	sc, err := s.scope(name)
	if err != nil {
		return 0, err
	}
	it, err := sc.NewIter(nil)
	if err != nil {
		return 0, err
	}
	count := 0
	for ok := it.First(); ok; ok = it.Next() {
		count++
		visit(it.Key(), it.Value())
	}
	return count, errors.Join(it.Err(), it.Close())
}

func (s *loamSession) CopyScope(from, to []byte) error {
	sc, err := s.scope(from)
	if err != nil {
		return err
	}
	_, err = sc.Copy(context.Background(), scope.Session(string(to)), lsm.NoSync)
	return err
}

func (s *loamSession) DropScope(name []byte) error {
	sc, err := s.scope(name)
	if err != nil {
		return err
	}
	return sc.Drop(lsm.NoSync)
}

func (s *loamSession) Transact(sync bool, fn func(tx Txn) error) (retries int, err error) {
	for ; ; retries++ {
		err := s.db.Update(func(tx *lsm.Txn) error {
			tx.SetWriteOptions(loamWrite(sync))
			return fn(loamTxn{tx})
		})
		if !errors.Is(err, lsm.ErrConflict) {
			return retries, err
		}
	}
}

type loamTxn struct{ *lsm.Txn }

func (t loamTxn) Get(dst, key []byte) ([]byte, bool, error) {
	v, err := t.AppendGet(dst, key)
	if errors.Is(err, lsm.ErrNotFound) {
		return dst, false, nil
	}
	return v, err == nil, err
}

func (s *loamStore) Checkpoint(ctx context.Context, dir string) error {
	return s.db.Checkpoint(ctx, dir)
}
