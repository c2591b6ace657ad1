package sstable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/blob"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// ReaderOptions say which table a file is expected to be, and how it is read.
type ReaderOptions struct {
	// UID and Size are the table's, from its Meta. A file with others is refused.
	UID  fileid.UID
	Size int64
	// Digest is the file's XXH64, which Verify compares; 0 when it is not known.
	Digest uint64
	// Number, if it is not 0, is the sequence number of every entry of the table, which was
	// built outside of a store: its entries have the number 0. Others are refused.
	Number keys.SeqNum
	// OpenCipher makes the cipher of an encrypted table; nil: such tables are refused.
	OpenCipher seal.OpenCipher
	// KeyID is the data key that the manifest names for the table, which must be the one that
	// the table names; 0: whatever that names, and a plain table too.
	KeyID seal.KeyID
	// Cache holds the table's blocks.
	Cache *cache.Cache
	// Blob returns the reader of the table's n-th blob file (Properties.Blobs). It may be nil
	// of a table without values in blob files. Readers stay their owner's.
	Blob func(n int) (*blob.Reader, error)
	// BlobData is how many bytes of values these files have, for Verify; nil is not known.
	BlobData []int64
	// Name is the file's name in errors.
	Name string
	// Mapped reads blocks through a mapping of the file where the system has one: a
	// block that the page cache holds is then copied without a system call. The file is
	// closed once it is mapped, so that open descriptors do not grow with the tables.
	Mapped bool
}

// Fragment is one range tombstone, of the keys within [Lower, Upper).
type Fragment struct {
	Lower, Upper []byte
	Trailer      keys.Trailer
}

// Reader reads one table. Its methods may be called from any number of goroutines,
// Close only once nothing else runs.
type Reader struct {
	// Constant after Open.
	f         vfs.File   // nil once mapped: the mapping suffices, and needs no descriptor
	mapped    vfs.Mapped // nil: by ReadAt
	guard     block.Guard
	o         ReaderOptions
	footer    footer
	top       topIndex
	props     Properties
	fragments []Fragment
	// filterLines is the number of lines of the filter, 0 when there is none of use.
	filterLines int
	cached      *cache.File
	// add is what trailers lack in the file: Number, as a trailer of kind 0.
	add keys.Trailer

	// meta are the index partitions, then the filter chunks, once they are kept.
	meta []atomic.Pointer[metaBlock]
}

// Open opens the table in f, which was opened for reading and is the reader's from
// here on when the error is nil. It reads the frame, the top index, the properties and
// the range tombstones. Damage is a *CorruptionError, around seal.ErrAuth where the table is
// encrypted, a table of a later version ErrTooNew, an encrypted one without OpenCipher
// ErrSealed, and errors of OpenCipher and of the file keep their chain.
func Open(f vfs.File, o ReaderOptions) (*Reader, error) {
	r := &Reader{f: f, o: o, add: keys.MakeTrailer(o.Number, 0)}
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("sstable: size of %s: %w", o.Name, err)
	}
	if size != o.Size || size < headerLen+footerLen {
		return nil, r.doubt(-1, fmt.Errorf("%d bytes instead of %d: %w", size, o.Size, errLength))
	}
	if o.Mapped {
		m, err := f.Map(size, vfs.ReadOnly)
		if err != nil && !errors.Is(err, vfs.ErrNotSupported) {
			return nil, fmt.Errorf("sstable: map %s: %w", o.Name, err)
		}
		r.mapped = m
	}
	if err := r.readFrame(); err != nil {
		r.unmap(&err)
		return nil, err
	}
	if r.mapped != nil {
		r.f = nil
		_ = f.Close() // read only: nothing can be lost
	}
	n := int(r.footer.partitions + r.footer.chunks)
	r.meta = make([]atomic.Pointer[metaBlock], n)
	r.cached = o.Cache.NewFile(int(r.footer.blocks) + n)
	return r, nil
}

// readFrame reads and decodes everything that is kept in memory.
func (r *Reader) readFrame() error {
	h, err := r.readHeader()
	if err != nil {
		return err
	}
	off := r.o.Size - h.footerSpace()
	if off < headerLen {
		return r.doubt(-1, fmt.Errorf("%d bytes: %w", r.o.Size, errLength))
	}
	var buf [footerLen + seal.Overhead]byte
	b := buf[:h.footerSpace()]
	if err := r.readAt(b, off); err != nil {
		return err
	}
	if r.footer, err = h.openFooter(b, &r.guard, r.o.Size); err != nil {
		return r.refuse(off, err)
	}
	payload, err := r.readSealed(r.footer.top, 0)
	if err != nil {
		return err
	}
	if r.top, err = decodeTop(payload, &r.footer); err != nil {
		return r.refuse(r.footer.top.off, err)
	}
	if payload, err = r.readSealed(r.footer.props, 0); err != nil {
		return err
	}
	if r.props, err = decodeProperties(payload); err != nil {
		return r.refuse(r.footer.props.off, err)
	}
	if err = r.checkProperties(); err == nil && r.o.Number != 0 && !r.props.Unnumbered() {
		err = fmt.Errorf("entries have numbers of their own: %w", errMalformed)
	}
	if err != nil {
		return r.refuse(r.footer.props.off, err)
	}
	return r.readFragments()
}

// readHeader reads the header, and finds out how blocks are to be opened.
func (r *Reader) readHeader() (header, error) {
	var b [headerLen]byte
	if err := r.readAt(b[:], 0); err != nil {
		return header{}, err
	}
	h, err := decodeHeader(b[:])
	if err == nil {
		err = h.agrees(r.o.UID, r.o.KeyID)
	}
	if err != nil {
		return h, r.doubt(0, err)
	}
	if r.guard, err = h.guard(r.o.OpenCipher); err != nil {
		return h, fmt.Errorf("sstable: %s: %w", r.o.Name, err)
	}
	return h, nil
}

// checkProperties compares the properties with the footer, refuses dictionaries, which this
// version does not know, and decides whether the filter can be used: one of an unknown policy
// or hash says nothing.
func (r *Reader) checkProperties() error {
	p, f := &r.props, &r.footer
	if p.Blocks != uint64(f.blocks) || (p.Entries == 0) != (f.blocks == 0) || p.KeyID != f.keyID ||
		(p.Kinds[keys.KindRangeDelete].Entries == 0) != (f.ranges.len == 0) || bytes.Compare(p.Smallest, p.Largest) > 0 {
		return fmt.Errorf("properties and footer differ: %w", errMalformed)
	}
	if len(p.Dictionaries) > 0 {
		return fmt.Errorf("blocks need dictionaries %v: %w", p.Dictionaries, ErrTooNew)
	}
	if f.chunks == 0 || p.Filter.Policy != filter.Policy || p.Filter.Hash != filter.HashID {
		return nil
	}
	if p.Filter.Lines == 0 || (p.Filter.Lines-1)/filter.ChunkLines+1 != uint64(f.chunks) {
		return fmt.Errorf("filter of %d lines in %d chunks: %w", p.Filter.Lines, f.chunks, errMalformed)
	}
	r.filterLines = int(p.Filter.Lines)
	return nil
}

// readFragments decodes the range tombstones.
func (r *Reader) readFragments() error {
	if r.footer.ranges.len == 0 {
		return nil
	}
	c := r.props.Kinds[keys.KindRangeDelete]
	if c.Bytes > maxRangeBytes || c.Entries > c.Bytes { // an upper bound is never empty
		return r.corrupt(r.footer.props.off, fmt.Errorf("%d bytes of range tombstones: %w", c.Bytes, errMalformed))
	}
	payload, err := r.readSealed(r.footer.ranges, 64+c.Bytes+32*c.Entries)
	if err != nil {
		return err
	}
	if r.fragments, err = decodeFragments(payload, c); err != nil {
		return r.refuse(r.footer.ranges.off, err)
	}
	return nil
}

// decodeFragments decodes the block of range tombstones, of which the properties say c.
// A block stores the prefix of all lower bounds once, so that its bounds may be ten
// thousand times longer than it is: they are counted as they are copied (S6). Fragments
// of one range share their bounds.
func decodeFragments(payload []byte, c KindCount) ([]Fragment, error) {
	b, err := block.Decode(payload)
	if err != nil {
		return nil, err
	}
	if uint64(b.Count()) != c.Entries {
		return nil, fmt.Errorf("%d range tombstones instead of %d: %w", b.Count(), c.Entries, errMalformed)
	}
	var out []Fragment
	var last Fragment
	var lower []byte
	left := c.Bytes
	for i := range b.Count() {
		lower = b.AppendKey(lower[:0], i)
		f := Fragment{Lower: lower, Upper: b.Value(i), Trailer: b.Trailer(i)}
		if f.Trailer.Kind() != keys.KindRangeDelete || bytes.Compare(f.Lower, f.Upper) >= 0 {
			return nil, fmt.Errorf("range tombstone %d: %w", i, errMalformed)
		}
		if i > 0 && !followsFragment(&last, &f) {
			return nil, fmt.Errorf("range tombstone %d: %w", i, errOrder)
		}
		n := uint64(len(f.Lower) + len(f.Upper))
		if n > left {
			return nil, fmt.Errorf("range tombstones of more than %d bytes: %w", c.Bytes, errMalformed)
		}
		left -= n
		if i > 0 && bytes.Equal(last.Lower, f.Lower) { // then the upper bounds are equal, too
			f.Lower, f.Upper = last.Lower, last.Upper
		} else {
			f.Lower, f.Upper = append([]byte{}, f.Lower...), bytes.Clone(f.Upper)
		}
		out = append(out, f)
		last = f
	}
	if left != 0 {
		return nil, fmt.Errorf("range tombstones of %d bytes less than %d: %w", left, c.Bytes, errMalformed)
	}
	return out, nil
}

// followsFragment reports whether f may come after last: a tombstone of the same range
// that is older, or one of a later range.
func followsFragment(last, f *Fragment) bool {
	if bytes.Equal(last.Lower, f.Lower) {
		return bytes.Equal(last.Upper, f.Upper) && f.Trailer < last.Trailer
	}
	return bytes.Compare(last.Upper, f.Lower) <= 0
}

// Properties returns the table's properties, which must not be changed.
func (r *Reader) Properties() *Properties { return &r.props }

// RangeTombstones returns the table's range tombstones, sorted by lower bound, then
// newest first; two of them cover the same range or disjoint ones. They must not be
// changed. Get and Iter do not apply them (S3).
func (r *Reader) RangeTombstones() []Fragment { return r.fragments }

// Close gives up the table's blocks, its mapping and its file. Nothing else may run or
// follow; iterators must be closed before.
func (r *Reader) Close() error {
	r.dropMeta()
	r.cached.Close()
	var err error
	r.unmap(&err)
	if r.f == nil {
		return err
	}
	if cerr := r.f.Close(); cerr != nil && err == nil {
		err = fmt.Errorf("sstable: close %s: %w", r.o.Name, cerr)
	}
	return err
}

// unmap closes the mapping; its error becomes *err if that is nil.
func (r *Reader) unmap(err *error) {
	if r.mapped == nil {
		return
	}
	if uerr := r.mapped.Close(); uerr != nil && *err == nil {
		*err = fmt.Errorf("sstable: unmap %s: %w", r.o.Name, uerr)
	}
	r.mapped = nil
}

// readAt fills b from off. A file that ends early is damage: its length was checked.
func (r *Reader) readAt(b []byte, off int64) error {
	n, err := len(b), error(nil)
	if r.mapped != nil {
		err = r.mapped.Load(b, off)
	} else {
		n, err = r.f.ReadAt(b, off)
	}
	switch {
	case err == nil, n == len(b) && errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return r.doubt(off, fmt.Errorf("file ends: %w", errLength))
	}
	return fmt.Errorf("sstable: read %s at %d: %w", r.o.Name, off, err)
}

// refuse makes a *CorruptionError of err, unless it says that the table is too new.
func (r *Reader) refuse(off int64, err error) error {
	if errors.Is(err, block.ErrCodec) { // the checksum was right: a later version wrote it
		err = fmt.Errorf("%w: %w", ErrTooNew, err)
	}
	if errors.Is(err, ErrTooNew) {
		return fmt.Errorf("sstable: %s: %w", r.o.Name, err)
	}
	return r.corrupt(off, err)
}

// doubt is refuse for what lies in clear, or is missing: a file that is encrypted is not
// authentic then.
func (r *Reader) doubt(off int64, err error) error {
	encrypted := r.o.KeyID != 0 || r.guard.Encrypted()
	if encrypted && !errors.Is(err, ErrTooNew) && !errors.Is(err, seal.ErrAuth) {
		err = fmt.Errorf("%w: %w", seal.ErrAuth, err)
	}
	return r.refuse(off, err)
}

func (r *Reader) corrupt(off int64, err error) error {
	return &CorruptionError{File: r.o.Name, Offset: off, Err: err}
}
