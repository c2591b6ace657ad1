//go:build peers

package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

func (s *sqliteSession) DeleteRange(lower, upper []byte) error {
	return s.update(false, func() error {
		_, err := s.cut.Exec(lower, upper)
		return err
	})
}

func (s *sqliteSession) scanRange(lower, upper []byte, visit func(key, value []byte) bool) error {
	if err := s.share(); err != nil {
		return err
	}
	rows, err := s.scan.Query(lower, upper)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := rows.Scan(&s.rawKey, &s.raw); err != nil {
			return errors.Join(err, rows.Close())
		}
		if !visit(s.rawKey, s.raw) {
			break
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

func (s *sqliteSession) copyPrefix(from, to []byte) error {
	after := append([]byte(nil), from...)
	after[len(after)-1]++ // it ends scopes, and is no 0xFF
	return s.update(false, func() error {
		_, err := s.copy.Exec(to, len(from)+1, from, after)
		return err
	})
}

// Transact never tries again: there is one writer at a time.
func (s *sqliteSession) Transact(sync bool, fn func(tx Txn) error) (retries int, err error) {
	return 0, s.update(sync, func() error {
		return s.transact(s.write, func() error { return fn(sqliteTxn{s}) })
	})
}

type sqliteTxn struct{ session *sqliteSession }

func (t sqliteTxn) Get(dst, key []byte) ([]byte, bool, error) {
	found, err := t.session.lookup(key, func(value []byte) { dst = append(dst, value...) })
	return dst, found, err
}

func (t sqliteTxn) Set(key, value []byte) error {
	_, err := t.session.set.Exec(key, value)
	return err
}

// Checkpoint writes the tree to another file, in order and without gaps, and syncs it.
func (s *sqliteStore) Checkpoint(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	s.writing.Lock()
	_, err := s.upkeep.ExecContext(ctx, "VACUUM INTO ?", filepath.Join(dir, sqliteFile))
	s.writing.Unlock()
	if err != nil {
		return err
	}
	return syncTree(dir)
}
