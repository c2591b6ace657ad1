package lsm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/loamdb/loam/internal/fileid"
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
	held   int64         // the memory that they take; likewise
	openMu sync.Mutex

	blobs    []*blobFile  // those that it refers to, in its order
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
	if err := t.db.keyring.admits(f, t.meta.Num, t.meta.Key != 0); err != nil {
		_ = f.Close() // as above
		return nil, clearError(name, err)
	}
	r, err := sstable.Open(f, sstable.ReaderOptions{
		UID:    t.meta.UID,
		Size:   t.meta.Bytes,
		Digest: t.meta.Digest,
		Number: t.meta.Number(),
		Cache:  t.db.cache,
		Blob:   t.blob,

		OpenCipher: t.db.keyring.openCipher(),
		KeyID:      t.meta.Key,

		BlobData: t.blobData(),
		Name:     name,
		Mapped:   t.db.mapTables,
	})
	if err != nil {
		_ = f.Close() // the first error says what is wrong
		return nil, t.db.tableError(err)
	}
	if n := uint64(len(r.RangeTombstones())); n != t.meta.RangeDeletes {
		_ = r.Close() // nothing was written through it
		return nil, &CorruptionError{File: name, Offset: -1, Err: fmt.Errorf("%w: %d instead of %d", errRangeCount, n, t.meta.RangeDeletes)}
	}
	if err := checkBlobList(r.Properties(), t.meta, func(i int) fileid.UID { return t.blobs[i].meta.UID }); err != nil {
		_ = r.Close() // nothing was written through it
		return nil, err
	}
	t.ranges = rangesOf(r.RangeTombstones())
	t.held = t.ranges.Bytes() + int64(len(r.RangeTombstones()))*int64(unsafe.Sizeof(sstable.Fragment{}))
	t.db.arenas.countRanges(t.held)
	t.reader.Store(r)
	return r, nil
}

func (t *table) unref() {
	if t.refs.Add(-1) != 0 {
		return
	}
	if r := t.reader.Load(); r != nil {
		_ = r.Close() // nothing was written through it
		t.db.arenas.countRanges(-t.held)
	}
	for _, b := range t.blobs {
		b.unref()
	}
	t.db.keyring.release(t.meta.Key, manifest.TableName(t.meta.Num))
	if t.obsolete.Load() {
		t.db.deleter.add(manifest.TableName(t.meta.Num), t.meta.Bytes)
	}
}
