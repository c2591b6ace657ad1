package engine

import (
	"context"
	"errors"

	"github.com/loamdb/loam/lsm"
)

// loamHorizon is the name of the horizon that Mark sets.
const loamHorizon = "lsmbench"

func (s *loamStore) Mark() (err error) {
	snap, err := s.db.NewSnapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	if s.mark, err = snap.Position(); err != nil {
		return err
	}
	return s.db.SetHorizon(loamHorizon, s.mark)
}

func (s *loamStore) Diff(ctx context.Context, visit func(key, value []byte)) (err error) {
	snap, err := s.db.NewSnapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	for c, err := range snap.Diff(s.mark) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if c.Kind == lsm.ChangeSet {
			visit(c.Key, c.Value)
		}
	}
	return nil
}
