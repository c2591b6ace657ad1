package lsm

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// TableWriter writes a table for DB.Ingest: keys of the root with their values, in ascending order, each
// once, into a file outside of any store. Large values stand in it too: the compaction that
// rewrites the table takes them out. The file is in clear, also where it is for an encrypted
// store. It is not safe for concurrent use. Its first error
// sticks. It ends with Finish or Abort.
type TableWriter struct {
	fs    vfs.FS
	name  string
	file  vfs.File
	table *sstable.Writer
	key   []byte // scratch
	err   error
}

// NewTableWriter begins a table in a new file. Of the options it uses Compression,
// BlockBytes, FilterBitsPerKey and AllowSharedDir; nil means the defaults. In a sticky directory,
// where nobody can remove what is another's, the file is safe. Errors: ErrInvalidOptions,
// ErrNotPrivate for a directory in which others can exchange it, and those of the file system.
func NewTableWriter(file string, o *Options) (*TableWriter, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	opts := o.withDefaults()
	w := &TableWriter{fs: opts.outside(), name: file}
	wo := opts.tableOptions(true) // most are placed where nothing lies below them
	var err error
	if wo.UID, err = fileid.NewUID(opts.seams.Random); err == nil {
		_, err = io.ReadFull(opts.seams.Random, wo.Salt[:])
	}
	if err != nil {
		return nil, fmt.Errorf("lsm: new table: %w", err)
	}
	if err = opts.checkFileDir(w.fs, filepath.Dir(file)); err != nil {
		return nil, fmt.Errorf("lsm: new table: %w", err)
	}
	if w.file, err = w.fs.Create(file); err != nil {
		return nil, fmt.Errorf("lsm: new table: %w", err)
	}
	if w.table, err = sstable.NewWriter(w.file, wo); err != nil {
		w.Abort()
		return nil, fmt.Errorf("lsm: new table: %w", err)
	}
	return w, nil
}

// outside is the file system of what lies outside of the store.
func (o *Options) outside() vfs.FS {
	if o.seams.Outside != nil {
		return o.seams.Outside
	}
	return o.seams.FS
}

// tableOptions say how tables are written, those that stay or those that are soon merged into
// others; identity and salt are missing.
func (o *Options) tableOptions(stays bool) sstable.WriterOptions {
	return sstable.WriterOptions{
		Codec: o.Compression.codec(stays), BlockBytes: o.BlockBytes,
		FilterBitsPerKey: o.FilterBitsPerKey, Scope: scopePrefixLen,
	}
}

// Set appends an entry. The key must be above that of the entry before. Both are copied.
// Errors: ErrTooLarge, which leaves the writer as it was; ErrInvalidTable for a key out of
// order; those of the file system.
func (w *TableWriter) Set(key, value []byte) error {
	if w.err != nil {
		return w.err
	}
	if err := checkLimits(key, value); err != nil {
		return err
	}
	w.key = append(append(w.key[:0], rootPrefix...), key...)
	// The number 0 is none: the store that ingests the table gives it one.
	return w.fail(w.table.Add(w.key, keys.MakeTrailer(0, keys.KindSet), value))
}

// Finish ends the table, which is on the device when it returns nil. A table without
// entries is ErrInvalidTable. After an error there is no file, as far as it can be removed.
func (w *TableWriter) Finish() error {
	if w.err == nil {
		_, err := w.table.Finish()
		_ = w.fail(err)
	}
	if w.err == nil {
		err := w.file.Close()
		w.file = nil
		_ = w.fail(err)
	}
	if w.err == nil {
		_ = w.fail(w.fs.SyncDir(filepath.Dir(w.name)))
	}
	if err := w.err; err != nil {
		w.Abort()
		return err
	}
	w.err = errTableFinished
	return nil
}

var errTableFinished = errors.New("lsm: table writer is finished")

// Abort ends the writer without a table and removes its file. After Finish it does nothing.
func (w *TableWriter) Abort() {
	if errors.Is(w.err, errTableFinished) {
		return
	}
	if w.table != nil {
		w.table.Abort()
	}
	if w.file != nil {
		_ = w.file.Close() // it is removed
	}
	_ = w.fs.Remove(w.name) // a file that stays is no table
	w.file, w.err = nil, errTableFinished
}

func (w *TableWriter) fail(err error) error {
	if w.err != nil || err == nil {
		return w.err
	}
	if errors.Is(err, sstable.ErrOrder) || errors.Is(err, sstable.ErrEmpty) {
		err = fmt.Errorf("%w: %w", ErrInvalidTable, err)
	}
	w.err = fmt.Errorf("lsm: table %s: %w", w.name, err)
	return w.err
}
