package lsm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/blob"
)

// scrubFile is a table or a blob file, held, under the scrub.
type scrubFile struct {
	num    fileid.Num
	name   string
	bytes  int64
	digest uint64

	obsolete *atomic.Bool
	unref    func()
	// locate finds the damage in a file whose digest differs; nil if every part can be read.
	locate func(ctx context.Context, f vfs.File) *CorruptionError
}

func scrubTable(t *table) *scrubFile {
	m := t.meta
	return &scrubFile{m.Num, manifest.TableName(m.Num), m.Bytes, m.Digest, &t.obsolete, t.unref, t.locate}
}

func scrubBlob(b *blobFile) *scrubFile {
	m := b.meta
	return &scrubFile{m.Num, manifest.BlobName(m.Num), m.Bytes, m.Digest, &b.obsolete, b.unref, b.locate}
}

// locate finds the damage in a table whose digest differs; nil if every part can be read.
func (t *table) locate(ctx context.Context, f vfs.File) *CorruptionError {
	name := manifest.TableName(t.meta.Num)
	w, err := sstable.OpenWreck(ctx, f, sstable.WreckOptions{UID: t.meta.UID, OpenCipher: t.db.keyring.openCipher(), KeyID: t.meta.Key, Name: name})
	if err != nil {
		return &CorruptionError{File: name, Offset: -1, Err: damageCause(err)}
	}
	for w.Next() {
	}
	if all := w.Damage(); len(all) > 0 {
		return &CorruptionError{File: name, Offset: all[0].Offset, Err: andOthers(damageCause(all[0].Err), len(all)-1)}
	}
	return nil
}

// andOthers says how many other parts are damaged.
func andOthers(err error, n int) error {
	if n > 0 {
		return fmt.Errorf("%w, and %d other parts", err, n)
	}
	return err
}

// locate is that of a blob file.
func (b *blobFile) locate(ctx context.Context, _ vfs.File) *CorruptionError {
	name := manifest.BlobName(b.meta.Num)
	whole := func(err error) *CorruptionError {
		return &CorruptionError{File: name, Offset: -1, Err: damageCause(err)}
	}
	f, err := b.db.opts.seams.FS.Open(b.db.path(name), vfs.ReadOnly)
	if err != nil {
		return whole(err)
	}
	r, err := openBlob(f, b.meta, b.db.keyring, nil, false)
	if err != nil {
		_ = f.Close() // read only: nothing can be lost
		var c *blob.CorruptionError
		if errors.As(err, &c) {
			return &CorruptionError{File: name, Offset: c.Offset, Err: c.Err}
		}
		return whole(err)
	}
	defer r.Close() // as above
	all, err := r.Examine(ctx)
	if err != nil {
		return nil // the caller tries again, or has a digest that differs
	}
	for _, e := range all {
		var c *blob.CorruptionError
		if errors.As(e, &c) && c.Offset >= 0 {
			return &CorruptionError{File: name, Offset: c.Offset, Err: andOthers(c.Err, len(all)-1)}
		}
	}
	return nil
}
