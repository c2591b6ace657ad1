package lsm

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// table is one SSTable of the store: its line in the manifest and its reader, which is
// opened when first needed and stays open until no version holds the table.
type table struct {
	db   *DB
	meta *manifest.Table

	reader atomic.Pointer[sstable.Reader]
	openMu sync.Mutex

	refs     atomic.Int64 // versions that hold it
	obsolete atomic.Bool  // a durable edit has removed it
}

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
	if n := len(r.RangeTombstones()); n > 0 {
		// No read applies them yet: what they delete would come back.
		_ = r.Close() // nothing was written through it
		return nil, fmt.Errorf("%w: %s has %d range tombstones", ErrTooNew, name, n)
	}
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
