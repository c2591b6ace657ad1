package lsm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// table is one SSTable of the store: its line in the manifest and its reader, which is
// opened when first needed and stays open until no version holds the table.
type table struct {
	db   *DB
	meta *manifest.Table

	reader atomic.Pointer[sstable.Reader]
	ranges *rangedel.Set // the table's range tombstones; set before reader is
	openMu sync.Mutex

	refs     atomic.Int64 // versions that hold it
	obsolete atomic.Bool  // a durable edit has removed it
}

// errRangeCount: iterators look for range tombstones only where the manifest has some.
var errRangeCount = errors.New("range tombstones are not as many as the manifest says")

// open returns the table's reader.
func (t *table) open() (*sstable.Reader, error) {
	if r := t.reader.Load(); r != nil {
		return r, nil
	}
	t.openMu.Lock()
	defer t.openMu.Unlock()
	if r := t.reader.Load(); r != nil {
		return r, nil
	}
	name := manifest.TableName(t.meta.Num)
	f, err := t.db.opts.seams.FS.Open(t.db.path(name), vfs.ReadOnly)
	if err != nil {
		return nil, t.db.tableError(fmt.Errorf("open table: %w", err))
	}
	r, err := sstable.Open(f, sstable.ReaderOptions{
		UID:    t.meta.UID,
		Size:   t.meta.Bytes,
		Digest: t.meta.Digest,
		Number: t.meta.Number(),
		Cache:  t.db.cache,
		Name:   name,
		Mapped: t.db.mapTables,
	})
	if err != nil {
		_ = f.Close() // the first error says what is wrong
		return nil, t.db.tableError(err)
	}
	if n := uint64(len(r.RangeTombstones())); n != t.meta.RangeDeletes {
		_ = r.Close() // nothing was written through it
		return nil, &CorruptionError{File: name, Offset: -1, Err: fmt.Errorf("%w: %d instead of %d", errRangeCount, n, t.meta.RangeDeletes)}
	}
	t.ranges = rangesOf(r.RangeTombstones())
	t.reader.Store(r)
	return r, nil
}

func (t *table) unref() {
	if t.refs.Add(-1) != 0 {
		return
	}
	if r := t.reader.Load(); r != nil {
		_ = r.Close() // nothing was written through it
	}
	if t.obsolete.Load() {
		t.db.deleter.add(manifest.TableName(t.meta.Num), t.meta.Bytes)
	}
}
