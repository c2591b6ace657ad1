package sstable

import (
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable/blob"
)

// Tables and blob files. The value of an entry of a blob kind ends in a reference
// (blob.Ref), of which the file counts in the table's list of blob files. The table's owner
// knows where these are (ReaderOptions.Blob).

// errNoBlob: the table's owner has not said where its blob files are.
var errNoBlob = errors.New("blob files are not known")

// decodeRef decodes the reference at the end of an entry's value.
func decodeRef(kind keys.Kind, value []byte) (blob.Ref, error) {
	n := kind.MinValueLen()
	if len(value) < n {
		return blob.Ref{}, blob.ErrMalformedRef
	}
	return blob.DecodeRef(value[n:])
}

// ValueLen returns the length of the value that an entry stands for, which for one in a blob
// file its reference tells.
func ValueLen(kind keys.Kind, value []byte) int {
	if !kind.IsBlob() {
		return len(value)
	}
	ref, err := decodeRef(kind, value)
	if err != nil {
		return len(value) // reading it will tell
	}
	return kind.MinValueLen() + ref.ValueLen()
}

// blobCounter adds up what entries refer to.
type blobCounter struct{ bytes []uint64 }

// add counts an entry and returns the length of its value, -1 if it is malformed.
func (c *blobCounter) add(kind keys.Kind, value []byte) (logical int) {
	ref, err := decodeRef(kind, value)
	if err != nil {
		return -1
	}
	for ref.File >= len(c.bytes) {
		if ref.File > len(c.bytes) {
			return -1 // writers count the files as they come
		}
		c.bytes = append(c.bytes, 0)
	}
	c.bytes[ref.File] += uint64(ref.Stored)
	return kind.MinValueLen() + ref.ValueLen()
}

// finish completes the table's list of blob files.
func (c *blobCounter) finish(p *Properties) error {
	if len(p.Blobs) != len(c.bytes) {
		return fmt.Errorf("%w: references to %d blob files, of which %d are named", ErrInvalidEntry, len(c.bytes), len(p.Blobs))
	}
	for i, n := range c.bytes {
		p.Blobs[i].Bytes = n
	}
	return nil
}

// AppendBlob appends to dst the value of an entry of a blob kind, of which the table has
// stored: what the entry of the inline kind would have. stored may be the end of dst's
// memory. With an error dst comes back as it was.
func (r *Reader) AppendBlob(dst []byte, kind keys.Kind, stored []byte) ([]byte, error) {
	header := stored[:min(kind.MinValueLen(), len(stored))] // which may be appended onto itself
	out, err := r.AppendBody(append(dst, header...), kind, stored)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// AppendBody is AppendBlob without what precedes the value proper.
func (r *Reader) AppendBody(dst []byte, kind keys.Kind, stored []byte) ([]byte, error) {
	var buf [128]byte
	stored = append(buf[:0], stored...)
	ref, br, err := r.refer(kind, stored)
	if err != nil {
		return dst, err
	}
	out, err := br.Append(dst, &ref)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// refer decodes the reference of an entry and returns it with the reader of its file.
func (r *Reader) refer(kind keys.Kind, stored []byte) (blob.Ref, *blob.Reader, error) {
	ref, err := decodeRef(kind, stored)
	if err == nil && ref.File >= len(r.props.Blobs) {
		err = fmt.Errorf("blob file %d of %d: %w", ref.File, len(r.props.Blobs), errMalformed)
	}
	if err == nil && r.o.Blob == nil {
		err = errNoBlob
	}
	if err != nil {
		return ref, nil, r.corrupt(-1, err)
	}
	br, err := r.o.Blob(ref.File)
	return ref, br, err
}

// BlobFile returns the reader of the table's n-th blob file.
func (r *Reader) BlobFile(n int) (*blob.Reader, error) {
	if r.o.Blob == nil || n >= len(r.props.Blobs) {
		return nil, r.corrupt(-1, errNoBlob)
	}
	return r.o.Blob(n)
}

// blobWalk compares, for Verify, the references of a table with its properties, and with the
// lengths of the blob files where they are known.
type blobWalk struct{ seen []uint64 }

func newBlobWalk(p *Properties) blobWalk { return blobWalk{seen: make([]uint64, len(p.Blobs))} }

// enter checks the reference of an entry and returns the length of its value.
func (w *blobWalk) enter(r *Reader, kind keys.Kind, value []byte) (logical int, err error) {
	ref, err := decodeRef(kind, value)
	if err != nil || ref.File >= len(w.seen) {
		return 0, fmt.Errorf("reference to a blob file: %w", errMalformed)
	}
	if data := r.o.BlobData; data != nil && (ref.File >= len(data) || !ref.Within(data[ref.File])) {
		return 0, fmt.Errorf("reference beyond its blob file: %w", errMalformed)
	}
	w.seen[ref.File] += uint64(ref.Stored)
	return kind.MinValueLen() + ref.ValueLen(), nil
}

// agree reports whether p lists what was seen.
func (w *blobWalk) agree(p *Properties) bool {
	return slices.EqualFunc(p.Blobs, w.seen, func(b BlobUsage, n uint64) bool { return b.Bytes == n })
}
