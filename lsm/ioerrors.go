package lsm

import (
	"errors"
	"path/filepath"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/blob"
	"github.com/loamdb/loam/wal"
)

// The packages below report damage in their own words; these functions put it into
// this package's.

// tableError translates an error of reading a table or a blob file.
func (d *DB) tableError(err error) error {
	var c *sstable.CorruptionError
	var b *blob.CorruptionError
	switch {
	case errors.As(err, &c):
		return &CorruptionError{File: c.File, Offset: c.Offset, Err: c.Err}
	case errors.As(err, &b):
		return &CorruptionError{File: b.File, Offset: b.Offset, Err: b.Err}
	case errors.Is(err, sstable.ErrTooNew), errors.Is(err, blob.ErrTooNew):
		return errors.Join(ErrTooNew, err)
	case errors.Is(err, sstable.ErrSealed), errors.Is(err, blob.ErrSealed):
		return errNoKeyring(err)
	}
	return keyError(err)
}

// walError translates an error of reading the log.
func (d *DB) walError(err error) error {
	var c *wal.CorruptionError
	switch {
	case errors.As(err, &c):
		return &CorruptionError{File: filepath.Base(c.File), Offset: c.Offset, Err: c.Err}
	case errors.Is(err, wal.ErrTooNew):
		return errors.Join(ErrTooNew, err)
	case errors.Is(err, wal.ErrSealed):
		return errNoKeyring(err)
	}
	return keyError(err)
}

// manifestError translates an error of reading the manifest.
func (d *DB) manifestError(err error) error {
	var c *manifest.CorruptionError
	switch {
	case errors.As(err, &c):
		return &CorruptionError{File: c.File, Offset: c.Offset, Err: c.Err}
	case errors.Is(err, manifest.ErrTooNew):
		return errors.Join(ErrTooNew, err)
	case errors.Is(err, manifest.ErrSealed):
		return errNoKeyring(err)
	case errors.Is(err, manifest.ErrUnfinished):
		return errors.Join(ErrNotExist, err)
	}
	return keyError(err)
}
