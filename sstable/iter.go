package sstable

import (
	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable/block"
)

// IterOptions say what an iterator shows and how it reads.
type IterOptions struct {
	// Lower and Upper bound the user keys, [Lower, Upper); nil is unbounded. They must
	// not be changed while the iterator uses them.
	Lower, Upper []byte
	// NoFill reads the file in large sequential pieces, past the cache: for
	// compaction and other whole scans, which would sweep the cache.
	NoFill bool
	// Above lets the iterator leave out blocks whose entries are all numbered Above or
	// less. What it shows then depends on how entries lie in blocks: everything
	// above, and some of what is not. 0 leaves out nothing.
	Above keys.SeqNum
}

// Iter walks the entries of one table, both ways. The zero Iter is ready for Init; it
// may be reused by a further Init. It is not safe for concurrent use. It holds one
// data block and one partition of the cache, until Close or the next Init.
//
// Positioning calls return Valid. An iterator that ran off either end, or met an
// error, is not valid: Next and Prev then do nothing, Err tells the cases apart, and
// only a seek makes it valid again. An error sticks until Init (S5).
type Iter struct {
	r     *Reader
	o     IterOptions
	add   keys.Trailer // the reader's
	rows  block.Iter
	valid bool
	// Whether an entry of the current block may lie outside of the bounds: decided
	// once a block, so that a step costs no comparison.
	checkLower, checkUpper bool

	part     *metaBlock // the current partition; nil: none
	scratch  metaBlock  // what part points to, unless the reader keeps it
	pi, bi   int        // ordinals of the partition, and of the block within it
	view     block.Block
	h        cache.Handle // of the current block; empty under NoFill
	hasBlock bool
	touched  byte // keeps the reading of lines from being left out
	stream   stream
	err      error
}

// Init makes it an iterator over r, not positioned.
func (it *Iter) Init(r *Reader, o IterOptions) {
	it.drop()
	it.stream.forget()
	it.r, it.o, it.add, it.err = r, o, r.add, nil
}

// Close releases what the iterator holds and returns its error, once. Positioning
// calls then fail with ErrClosed, until Init.
func (it *Iter) Close() error {
	if it.r == nil {
		return nil
	}
	err := it.err
	it.drop()
	it.stream.forget()
	it.r, it.err = nil, nil
	return err
}

// Valid reports whether the iterator is at an entry.
func (it *Iter) Valid() bool { return it.valid }

// Err returns the error that ended the iteration, nil at an end of the table.
func (it *Iter) Err() error { return it.err }

// Key returns the entry's user key, valid until the next move.
func (it *Iter) Key() []byte { return it.rows.Key() }

// Trailer returns the entry's sequence number and kind.
func (it *Iter) Trailer() keys.Trailer { return it.rows.Trailer() + it.add }

// Value returns the entry's value, valid until the next move.
func (it *Iter) Value() []byte { return it.rows.Value() }

// First moves to the first entry within the bounds.
func (it *Iter) First() bool {
	if it.o.Lower != nil {
		return it.SeekGE(it.o.Lower, seekAll)
	}
	return it.start() && it.toBlock(0, 0, +1) && it.rows.First() && it.settle(+1)
}

// Last moves to the last entry within the bounds.
func (it *Iter) Last() bool {
	if it.o.Upper != nil {
		return it.SeekLT(it.o.Upper)
	}
	if !it.start() || len(it.r.top.partitions) == 0 {
		return false
	}
	pi := len(it.r.top.partitions) - 1
	return it.toBlock(pi, it.r.top.partitions[pi].count-1, -1) && it.rows.Last() && it.settle(-1)
}

// seekAll sorts before every version of a key.
var seekAll = keys.SeekTrailer(keys.MaxSeqNum)

// Next moves to the following entry.
func (it *Iter) Next() bool {
	if !it.valid {
		return false
	}
	if it.rows.Next() {
		if it.checkUpper {
			it.valid = it.belowUpper()
		}
		return it.valid
	}
	return it.toBlock(it.pi, it.bi+1, +1) && it.rows.First() && it.settle(+1)
}

// Prev moves to the preceding entry.
func (it *Iter) Prev() bool {
	if !it.valid {
		return false
	}
	if it.rows.Prev() {
		if it.checkLower {
			it.valid = it.notBelowLower()
		}
		return it.valid
	}
	if !it.toBlock(it.pi, it.bi-1, -1) {
		return false
	}
	// Going back, the rows of a block come in the order that processors do not expect: each is waited
	// for. Asked for in order, all of them come in the time of a few: 91 → 72 ns an entry.
	it.touched += it.view.Touch()
	return it.rows.Last() && it.settle(-1)
}
