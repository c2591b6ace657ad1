package lsm

import (
	"context"
	"io"
	"path/filepath"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
)

// Tables for Ingest are in clear: whoever writes them has no key. An encrypted store verifies them
// where they are, and writes them into its directory as tables of its own, which differ in nothing
// but identity and cipher.

// rewrite brings one file into the directory of an encrypted store, and describes it.
func (in *ingestion) rewrite(ctx context.Context, d *DB, file string) error {
	r, _, err := d.openOutside(d.opts.outside(), file, filepath.Base(file))
	if err != nil {
		return outsideError(err)
	}
	defer r.Close() // read only: nothing can be lost
	found, err := r.Describe(ctx)
	if err != nil {
		return outsideError(err)
	}
	if err := canEnter(&found); err != nil {
		return err
	}
	o := d.opts.tableOptions(true) // as NewTableWriter does
	o.NewCipher = in.outputs.newCipher()
	if o.UID, err = fileid.NewUID(d.opts.seams.Random); err == nil {
		_, err = io.ReadFull(d.opts.seams.Random, o.Salt[:])
	}
	if err != nil {
		return err
	}
	t := &manifest.Table{Num: fileid.Num(d.nextFile.Add(1) - 1), Bytes: found.Size, UID: o.UID, Ingested: true}
	in.tables = append(in.tables, t)
	f, err := d.opts.seams.FS.Create(d.path(manifest.TableName(t.Num)))
	if err != nil {
		return err
	}
	meta, err := copyTable(ctx, f, o, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return outsideError(err)
	}
	t.Bytes, t.Digest, t.Key = meta.Size, meta.Digest, meta.Props.KeyID
	t.Smallest, t.Largest, t.Entries = meta.Smallest, meta.Largest, meta.Entries
	return nil
}

// copyTable writes the entries of a table to another one, synced.
func copyTable(ctx context.Context, f vfs.File, o sstable.WriterOptions, r *sstable.Reader) (sstable.Meta, error) {
	w, err := sstable.NewWriter(f, o)
	if err != nil {
		return sstable.Meta{}, err
	}
	defer w.Abort() // nothing after Finish
	var it sstable.Iter
	it.Init(r, sstable.IterOptions{NoFill: true})
	defer it.Close() // its error is that of Err
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%flushCheckEvery == 0 && ctx.Err() != nil {
			return sstable.Meta{}, ctx.Err()
		}
		if err := w.Add(it.Key(), it.Trailer(), it.Value()); err != nil {
			return sstable.Meta{}, err
		}
	}
	if err := it.Err(); err != nil {
		return sstable.Meta{}, err
	}
	return w.Finish()
}
