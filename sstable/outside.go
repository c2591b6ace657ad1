package sstable

import (
	"context"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
)

// Tables that were built outside of a store. Their entries have the number 0, which no
// store gives out; a store that takes such a table in gives all of it one number, which it
// keeps beside the table's UID (ReaderOptions.Number), so that nothing is rewritten.

// Unnumbered reports whether a store can give all entries of the table one number: they are
// points, and have none. A user key may still be there more than once, in several kinds.
func (p *Properties) Unnumbered() bool {
	return p.Entries > 0 && p.Points == SeqRange{} && p.Kinds[keys.KindRangeDelete].Entries == 0
}

// stored returns the trailer that stands in the file's order where t stands in the
// reader's: below every entry of the table if all are newer than t.
func (r *Reader) stored(t keys.Trailer) keys.Trailer {
	if t < r.add {
		return 0
	}
	return t - r.add
}

// Identify returns which table is in f, as far as its header says, and the file's length:
// what Open must be told of a table that no manifest names.
func Identify(f vfs.File, name string) (uid fileid.UID, size int64, err error) {
	if size, err = f.Size(); err != nil {
		return uid, 0, fmt.Errorf("sstable: size of %s: %w", name, err)
	}
	r := Reader{f: f, o: ReaderOptions{Name: name}}
	if size < headerLen {
		return uid, size, r.corrupt(-1, fmt.Errorf("%d bytes: %w", size, errLength))
	}
	var b [headerLen]byte
	if err := r.readAt(b[:], 0); err != nil {
		return uid, size, err
	}
	h, err := decodeHeader(b[:])
	if err != nil {
		return uid, size, r.refuse(0, err)
	}
	return h.uid, size, nil
}

// Describe verifies the table, as Verify does, and returns what a manifest is to keep of it.
func (r *Reader) Describe(ctx context.Context) (Meta, error) {
	digest, err := r.verify(ctx)
	if err != nil {
		return Meta{}, err
	}
	return newMeta(r.o.Size, digest, r.props), nil
}
