package sstable

import (
	"bytes"
	"fmt"

	"github.com/loamdb/loam/internal/keys"
)

// RunTable is one table of a sorted run.
type RunTable struct {
	// Smallest and Largest bound the table's user keys. The tables of a run are in
	// order and share no user key; the largest of one may equal the smallest of the
	// next where it is exclusive.
	Smallest, Largest []byte
	// Open returns the table's reader when an iterator first reaches it. The reader
	// stays its owner's, and open as long as the iterator.
	Open func() (*Reader, error)
}

// RunIter walks the entries of a sorted run of tables, both ways: an Iter that goes on
// in the next table, which it opens only when it gets there. The rules of Iter hold.
type RunIter struct {
	tables []RunTable
	o      IterOptions
	it     Iter
	ti     int // the table that it is over, when open
	open   bool
	ready  bool
	err    error
}

// Init makes it an iterator over tables, which it does not copy, not positioned.
func (ri *RunIter) Init(tables []RunTable, o IterOptions) {
	_ = ri.it.Close() // its error was Err's
	ri.tables, ri.o, ri.open, ri.ready, ri.err = tables, o, false, true, nil
}

// Close releases what the iterator holds and returns its error, once.
func (ri *RunIter) Close() error {
	err := ri.Err()
	_ = ri.it.Close() // the same error
	ri.tables, ri.open, ri.ready, ri.err = nil, false, false, nil
	return err
}

// Valid reports whether the iterator is at an entry.
func (ri *RunIter) Valid() bool { return ri.it.valid }

// Err returns the error that ended the iteration, nil at an end of the run.
func (ri *RunIter) Err() error {
	if ri.err != nil {
		return ri.err
	}
	return ri.it.err
}

// Key returns the entry's user key, valid until the next move.
func (ri *RunIter) Key() []byte { return ri.it.rows.Key() }

// Trailer returns the entry's sequence number and kind.
func (ri *RunIter) Trailer() keys.Trailer { return ri.it.rows.Trailer() + ri.it.add }

// Value returns the entry's value, valid until the next move.
func (ri *RunIter) Value() []byte { return ri.it.rows.Value() }

// Reader returns the reader of the table that the current entry is in.
func (ri *RunIter) Reader() *Reader { return ri.it.r }

// First moves to the first entry within the bounds.
func (ri *RunIter) First() bool {
	if ri.o.Lower != nil {
		return ri.SeekGE(ri.o.Lower, seekAll)
	}
	return ri.start() && ri.forward(0)
}

// Last moves to the last entry within the bounds.
func (ri *RunIter) Last() bool {
	if ri.o.Upper != nil {
		return ri.SeekLT(ri.o.Upper)
	}
	return ri.start() && ri.back(len(ri.tables)-1)
}

// SeekGE moves to the first entry within the bounds that does not sort before key and t.
func (ri *RunIter) SeekGE(key []byte, t keys.Trailer) bool {
	if !ri.start() {
		return false
	}
	if ri.o.Lower != nil && bytes.Compare(key, ri.o.Lower) < 0 {
		key, t = ri.o.Lower, seekAll
	}
	i := ri.search(func(rt *RunTable) bool { return bytes.Compare(rt.Largest, key) >= 0 })
	if !ri.reach(i) {
		return false
	}
	if ri.it.SeekGE(key, t) {
		return true
	}
	return ri.it.err == nil && ri.forward(i+1)
}

// SeekLT moves to the last entry within the bounds whose user key is below key.
func (ri *RunIter) SeekLT(key []byte) bool {
	if !ri.start() {
		return false
	}
	if ri.o.Upper != nil && bytes.Compare(key, ri.o.Upper) > 0 {
		key = ri.o.Upper
	}
	i := ri.search(func(rt *RunTable) bool { return bytes.Compare(rt.Smallest, key) >= 0 }) - 1
	if !ri.reach(i) {
		return false
	}
	if ri.it.SeekLT(key) {
		return true
	}
	return ri.it.err == nil && ri.back(i-1)
}

// Next moves to the following entry.
func (ri *RunIter) Next() bool {
	if !ri.it.valid {
		return false
	}
	if ri.it.Next() {
		return true
	}
	return ri.it.err == nil && ri.forward(ri.ti+1)
}

// NextDistinct moves to the following entry if that is in the same block, is within the bounds, and is told to be of
// another key by the block's header. Else it does not move.
func (ri *RunIter) NextDistinct() bool {
	it := &ri.it
	switch {
	case !it.valid || !it.view.Unique():
		return false
	case it.checkUpper:
		return it.rows.NextBelow(it.o.Upper)
	}
	return it.rows.NextInside()
}

// Distinct reports whether the entry before the current one is in the same block, and told to be
// of another key by the block's header. The iterator must be at an entry.
func (ri *RunIter) Distinct() bool { return ri.it.rows.Index() > 0 && ri.it.view.Unique() }

// Prev moves to the preceding entry.
func (ri *RunIter) Prev() bool {
	if !ri.it.valid {
		return false
	}
	if ri.it.Prev() {
		return true
	}
	return ri.it.err == nil && ri.back(ri.ti-1)
}

// start begins a positioning call.
func (ri *RunIter) start() bool {
	ri.it.valid = false
	if !ri.ready {
		ri.err = ErrClosed
	}
	return ri.Err() == nil
}

// search returns the first table for which reached is true; it is false, then true.
func (ri *RunIter) search(reached func(*RunTable) bool) int {
	lo, hi := 0, len(ri.tables)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if reached(&ri.tables[mid]) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// forward moves to the first entry of table i or of those after it.
func (ri *RunIter) forward(i int) bool {
	for ; ri.reach(i); i++ {
		if ri.it.First() {
			return true
		}
		if ri.it.err != nil {
			return false
		}
	}
	return false
}

// back moves to the last entry of table i or of those before it.
func (ri *RunIter) back(i int) bool {
	for ; ri.reach(i); i-- {
		if ri.it.Last() {
			return true
		}
		if ri.it.err != nil {
			return false
		}
	}
	return false
}

// reach makes table i the current one. It is false beyond the run, for a table outside
// of the bounds, and on error.
func (ri *RunIter) reach(i int) bool {
	if i < 0 || i >= len(ri.tables) {
		return false
	}
	if ri.open && ri.ti == i {
		return true
	}
	t := &ri.tables[i]
	if ri.o.Upper != nil && bytes.Compare(t.Smallest, ri.o.Upper) >= 0 ||
		ri.o.Lower != nil && bytes.Compare(t.Largest, ri.o.Lower) < 0 {
		return false
	}
	r, err := t.Open()
	if err != nil {
		ri.err = fmt.Errorf("sstable: iterate: %w", err)
		return false
	}
	ri.it.Init(r, ri.o)
	ri.ti, ri.open = i, true
	return true
}
