package sstable

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// WriterOptions say how a table is written. The zero value, with a UID, writes
// uncompressed blocks and no filter.
type WriterOptions struct {
	// UID is the table's identity, fresh from fileid.NewUID. Salt is random too.
	UID  fileid.UID
	Salt seal.Salt
	// NewCipher makes the cipher of an encrypted table; nil: it is not encrypted. UID and Salt
	// must then be new.
	NewCipher seal.NewCipher
	// Codec compresses data blocks and range tombstones; blocks that gain less than an
	// eighth are stored as they are.
	Codec block.Codec
	// BlockBytes is the size of a data block before compression. 0 means 4 KiB without
	// compression and 16 KiB with it.
	BlockBytes int
	// FilterBitsPerKey is the size of the filter; 0 means none.
	FilterBitsPerKey int
	// Scope returns the length of the scope prefix of a key, at most the key's; no scope's
	// prefix begins another's. With it, the properties list entries and bytes of the
	// large scopes. It may be nil.
	Scope func(key []byte) (prefixLen int)
}

// Meta describes a finished table: what the manifest keeps of it. It owns its memory.
type Meta struct {
	// Size is the file's length in bytes, Digest its XXH64 with seed 0.
	Size   int64
	Digest uint64
	// Smallest and Largest bound all keys, range tombstones included. Largest itself is
	// outside when LargestExclusive is set.
	Smallest, Largest []byte
	LargestExclusive  bool
	// MinSeqNum and MaxSeqNum bound all sequence numbers.
	MinSeqNum, MaxSeqNum keys.SeqNum
	// Entries counts points, Deletes the point tombstones among them, those markers of
	// expired entries included, RangeDeletes the
	// range tombstones.
	Entries, Deletes, RangeDeletes uint64
	// Props are the table's properties, as they are in the file.
	Props Properties
}

// ErrEmpty: Finish was called on a writer that was given nothing.
var ErrEmpty = errors.New("sstable: table without entries")

// Writer writes one table, front to back. It is not safe for concurrent use. Its
// first error sticks (S7). The file stays the caller's: the writer neither closes it
// nor makes its directory entry durable.
type Writer struct {
	o      WriterOptions
	out    output
	head   header
	guard  block.Guard
	block  block.Builder
	ranges block.Builder
	index  indexBuilder
	filter filter.Builder
	top    topIndex
	props  Properties
	scopes scopeCounter
	blobs  blobCounter
	err    error

	// The last entry, for the check of order (S1); the key is the writer's copy.
	lastKey     []byte
	lastTrailer keys.Trailer
	lastHash    uint64 // of lastKey, not yet in the filter
	// The first lower bound and the last range tombstone; the writer's copies.
	firstLower []byte
	lastRange  Fragment
	sep        []byte // scratch
	bound      int    // what the entries of the block under construction take at most
}

// NewWriter begins a table in f, an empty file opened for writing.
func NewWriter(f vfs.File, o WriterOptions) (*Writer, error) {
	if o.BlockBytes == 0 {
		o.BlockBytes = 4 << 10
		if o.Codec != block.CodecNone {
			o.BlockBytes = 16 << 10
		}
	}
	if o.BlockBytes < 0 || o.BlockBytes > maxBlockBytes || o.FilterBitsPerKey < 0 || o.FilterBitsPerKey > maxBitsPerKey {
		return nil, fmt.Errorf("sstable: options out of range: blocks of %d bytes, filter of %d bits per key", o.BlockBytes, o.FilterBitsPerKey)
	}
	w := &Writer{o: o}
	var err error
	if w.head, w.guard, err = newHeader(&o); err != nil {
		return nil, err
	}
	w.props.KeyID = w.head.keyID
	w.index.limit = partitionBytes
	w.out.init(f, outputBytes)
	w.out.buf = w.head.append(w.out.buf)
	return w, nil
}

// Limits of a table.
const (
	maxBlockBytes = 1 << 20
	maxBitsPerKey = 100
	maxRangeBytes = 256 << 20 // of the bounds of range tombstones, which share one block
)

// Add appends an entry, which must sort after the one before it. It copies key and
// value. Kinds that tables do not hold, and keys and values out of their limits, are
// ErrInvalidEntry, disorder is ErrOrder; both end the writer like a failed write.
func (w *Writer) Add(key []byte, t keys.Trailer, value []byte) error {
	if w.err != nil {
		return w.err
	}
	newKey := true
	if w.props.Entries > 0 {
		c := bytes.Compare(w.lastKey, key)
		if c > 0 || c == 0 && t >= w.lastTrailer {
			return w.fail(fmt.Errorf("%w: %x %v after %x %v", ErrOrder, abridged(key), t, abridged(w.lastKey), w.lastTrailer))
		}
		newKey = c != 0
	}
	kind := t.Kind()
	logical := len(value)
	if kind.IsBlob() {
		if logical = w.blobs.add(kind, value); logical < 0 {
			return w.fail(fmt.Errorf("%w: %v, malformed reference", ErrInvalidEntry, t))
		}
	}
	if !validPoint(kind, value) || len(key) > keys.MaxKeyLen || len(value) > keys.MaxValueLen {
		return w.fail(fmt.Errorf("%w: %v, key of %d bytes, value of %d", ErrInvalidEntry, t, len(key), len(value)))
	}
	if w.full(key, t, len(value)) {
		w.sep = appendSeparator(w.sep[:0], w.lastKey, key)
		if err := w.finishBlock(w.sep); err != nil {
			return err
		}
	}
	w.block.Add(key, t, value)
	w.bound += len(key) + len(value) + maxColumns
	if newKey {
		w.startKey(key)
	}
	w.lastTrailer = t
	w.count(kind, t.SeqNum(), len(key), value, logical)
	return nil
}

// full reports whether the block under construction must end before an entry.
func (w *Writer) full(key []byte, t keys.Trailer, valueLen int) bool {
	// The exact size is asked for only near the target: asking each time took a quarter
	// of the time of building a table of small entries.
	size := len(key) + valueLen
	if w.block.Len() == 0 || w.bound+size+maxColumns+maxFixed <= w.o.BlockBytes {
		return false
	}
	return w.block.SizeWith(key, t, valueLen) > w.o.BlockBytes || w.block.RawSize()+size > maxRawRatio*w.o.BlockBytes
}

const (
	// maxColumns is the most that an entry takes in a block beside key and value,
	// maxFixed what a block takes beside its entries.
	maxColumns = 20
	maxFixed   = 28

	// maxRawRatio limits how much longer the keys and values of a block are than the
	// block. Keys that share all but a few of 60,000 bytes would else make the writer
	// hold gigabytes for a block of 1 MiB, more than package block can count.
	maxRawRatio = 64
)

// validPoint reports whether tables hold points of kind k with such a value.
func validPoint(k keys.Kind, value []byte) bool {
	return k.Valid() && k != keys.KindRangeDelete && k != keys.KindIngest && len(value) >= k.MinValueLen()
}

// startKey notes that key is the first version of a new user key.
func (w *Writer) startKey(key []byte) {
	if w.o.FilterBitsPerKey > 0 {
		if w.props.Entries > 0 {
			w.filter.Add(w.lastHash)
		}
		w.lastHash = filter.Hash(key)
	}
	if w.props.Entries == 0 {
		w.props.Smallest = bytes.Clone(key)
	}
	if w.o.Scope != nil {
		w.scopes.enter(&w.props, key[:min(w.o.Scope(key), len(key))], w.o.BlockBytes)
	}
	w.lastKey = append(w.lastKey[:0], key...)
}

// count enters a point into the properties. logical is the length of its value, wherever
// that is.
func (w *Writer) count(kind keys.Kind, seq keys.SeqNum, keyLen int, value []byte, logical int) {
	p := &w.props
	if p.Entries == 0 {
		p.Points = SeqRange{seq, seq}
	}
	p.Points.Min, p.Points.Max = min(p.Points.Min, seq), max(p.Points.Max, seq)
	p.Entries++
	p.KeyBytes += uint64(keyLen)
	p.ValueBytes += uint64(len(value))
	p.count(kind, keyLen, len(value))
	w.scopes.entries++
	w.scopes.bytes += uint64(keyLen) + uint64(logical)
	p.countTime(kind, value)
}

// AddRangeTombstone appends a fragment of a range tombstone over [lower, upper). It
// may be called before, between and after calls of Add. Fragments come sorted by
// lower bound, then newest first; two of them cover the same range or disjoint ones.
// It copies the bounds.
func (w *Writer) AddRangeTombstone(lower, upper []byte, t keys.Trailer) error {
	if w.err != nil {
		return w.err
	}
	if t.Kind() != keys.KindRangeDelete || len(lower) > keys.MaxKeyLen || len(upper) > keys.MaxKeyLen || bytes.Compare(lower, upper) >= 0 {
		return w.fail(fmt.Errorf("%w: %v over [%x, %x)", ErrInvalidEntry, t, abridged(lower), abridged(upper)))
	}
	p, f := &w.props, Fragment{lower, upper, t}
	if p.Kinds[keys.KindRangeDelete].Bytes+uint64(len(lower)+len(upper)) > maxRangeBytes {
		return w.fail(fmt.Errorf("%w: too many range tombstones for one table", ErrInvalidEntry))
	}
	if p.Kinds[keys.KindRangeDelete].Entries == 0 {
		p.Ranges = SeqRange{t.SeqNum(), t.SeqNum()}
		w.firstLower = bytes.Clone(lower)
	} else if !followsFragment(&w.lastRange, &f) {
		return w.fail(fmt.Errorf("%w: tombstone %v over [%x, %x)", ErrOrder, t, abridged(lower), abridged(upper)))
	}
	p.Ranges.Min, p.Ranges.Max = min(p.Ranges.Min, t.SeqNum()), max(p.Ranges.Max, t.SeqNum())
	p.count(keys.KindRangeDelete, len(lower), len(upper))
	w.ranges.Add(lower, t, upper)
	last := &w.lastRange
	last.Lower, last.Upper, last.Trailer = append(last.Lower[:0], lower...), append(last.Upper[:0], upper...), t
	return nil
}

// Annotate gives the properties that the writer cannot derive. It may be called at
// any time before Finish; the last call counts. The slices are read by Finish. Of blob
// files it gives the identities, in the order in which references count them; Finish fills
// in the bytes.
func (w *Writer) Annotate(a Annotations) { w.props.Annotations = a }

// EstimatedBytes is about how long the file would be if it were finished now, before
// the compression of the block under construction.
func (w *Writer) EstimatedBytes() int64 {
	n := w.out.offset() + w.index.estimatedBytes() + int64(w.filter.Len()*w.o.FilterBitsPerKey/8)
	if w.block.Len() > 0 {
		n += int64(w.block.Size())
	}
	if w.ranges.Len() > 0 {
		n += int64(w.ranges.Size())
	}
	return n + w.head.footerSpace()
}

// LastUserKey returns the user key of the last entry, nil before the first. It is
// valid until the next call. A table may end only where the key changes (S4).
func (w *Writer) LastUserKey() []byte {
	if w.props.Entries == 0 {
		return nil
	}
	return w.lastKey
}

// Abort ends the writer without a table. The caller removes the file. It may be
// called after Finish, where it does nothing.
func (w *Writer) Abort() {
	if w.err == nil {
		w.err = ErrFinished
	}
	w.out.buf = nil
}

func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}

// abridged keeps error texts short.
func abridged(key []byte) []byte { return key[:min(len(key), 32)] }
