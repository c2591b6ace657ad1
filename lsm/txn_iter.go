package lsm

import (
	"bytes"

	"github.com/loamdb/loam/internal/keys"
)

// TxnIterator walks the keys of a transaction in order, in both directions: the snapshot
// with what the transaction has written over it. The rules of Iterator hold. It ends with
// the transaction, which closes it if need be.
//
// The transaction may write while it is open. The iterator then stays where it is: Key and
// Value are what they were, even if that key is written or deleted, and Valid too. Its next
// move goes from there, by the order of keys, to the neighbour that is there after the
// write. So a loop of Next meets a key written ahead of it, and not one written behind.
// Past the end, or before the start, it stays until it is moved the other way or seeks.
//
// What it passes over counts as read, present or absent: from where a seek began to where
// the iterator stands, but not beyond.
type TxnIterator struct {
	tx   *Txn
	base *Iterator // over the snapshot, within the bounds
	own  *write    // over the write set, not held to the bounds

	// Going forward base and own stand at their first entry at or after key, going back at
	// their last one at or before it. changes tells whether own still does.
	forward bool
	changes uint64

	key     []byte      // current one, behind the scope's id
	value   []byte      // current one: base's, once asked for, or buf
	lazy    bool        // it is base's, and was not asked for
	unread  error       // why nobody can read it, if it is the transaction's own; else nil
	expires int64       // of the current entry, 0: never
	version keys.SeqNum // of the current entry, 0: the transaction's own
	buf     []byte      // copy of a value of the transaction, which a write may change in place
	valid   bool
	place   place

	span   keyRange // what was read since the last seek
	err    error
	closed bool
}

// NewIter returns an iterator over what the verbs act in, positioned nowhere: call First, Last,
// SeekGE or SeekLT. The bounds are copied.
func (tx *Txn) NewIter(o *IterOptions) (*TxnIterator, error) {
	if tx.done {
		return nil, ErrClosed
	}
	base, err := tx.db.newIterAt(tx.scopeKeys, o, tx.seq, tx.at)
	if err != nil {
		return nil, err
	}
	it := &TxnIterator{tx: tx, base: base}
	tx.iters = append(tx.iters, it)
	return it, nil
}

// Valid reports whether the iterator is at an entry.
func (it *TxnIterator) Valid() bool { return it.valid }

// Key returns the current key, valid until the iterator moves. The caller must not
// change it.
func (it *TxnIterator) Key() []byte {
	if !it.valid {
		return nil
	}
	return it.user(it.key)
}

// Value returns the current value, valid until the iterator moves. The caller must not
// change it.
func (it *TxnIterator) Value() []byte {
	if !it.valid {
		return nil
	}
	if it.lazy {
		it.value, it.lazy, it.unread = it.base.Value(), false, it.base.Err()
	}
	if it.err = it.unread; it.err != nil {
		it.valid = false
		return nil
	}
	return it.value
}

// Err returns the error that ended the iteration, or nil.
func (it *TxnIterator) Err() error { return it.err }

// First moves to the first entry and reports whether there is one.
func (it *TxnIterator) First() bool {
	if !it.usable() {
		return false
	}
	it.base.First()
	return it.fromForward(it.base.lower)
}

// SeekGE moves to the first entry at or after key.
func (it *TxnIterator) SeekGE(key []byte) bool {
	if !it.usable() {
		return false
	}
	target := it.internal(key)
	if bytes.Compare(target, it.base.lower) < 0 {
		target = it.base.lower
	}
	it.base.SeekGE(key)
	return it.fromForward(target)
}

// Last moves to the last entry.
func (it *TxnIterator) Last() bool {
	if !it.usable() {
		return false
	}
	it.base.Last()
	return it.fromBackward(it.base.upper)
}

// SeekLT moves to the last entry before key.
func (it *TxnIterator) SeekLT(key []byte) bool {
	if !it.usable() {
		return false
	}
	target := it.internal(key)
	if bytes.Compare(target, it.base.upper) > 0 {
		target = it.base.upper
	}
	it.base.SeekLT(key)
	return it.fromBackward(target)
}

// Next moves to the next entry. From before the first entry, or when not positioned yet,
// it moves to the first; after the last entry it stays there.
func (it *TxnIterator) Next() bool {
	switch {
	case !it.usable() || !it.valid && it.place == placeEnd:
		return false
	case !it.valid:
		return it.First()
	case !it.forward:
		it.base.SeekGE(it.user(it.key))
		it.own, it.forward = it.seekOwn(it.key), true
	case it.changes != it.tx.writes.changes:
		it.own = it.seekOwn(it.key)
	}
	it.pass(it.key)
	return it.emitForward()
}

// Prev moves to the previous entry. From after the last entry, or when not positioned yet,
// it moves to the last; before the first entry it stays there.
func (it *TxnIterator) Prev() bool {
	switch {
	case !it.usable() || !it.valid && it.place == placeStart:
		return false
	case !it.valid:
		return it.Last()
	case it.forward:
		it.base.SeekLT(it.user(it.key))
		it.forward = false
	case it.base.Valid() && bytes.Equal(it.base.key, it.key):
		it.base.Prev()
	}
	it.own = it.tx.writes.seekLT(it.key)
	return it.emitBackward()
}

// Close releases what the iterator holds and returns the error that ended the iteration,
// if one did. It is idempotent.
func (it *TxnIterator) Close() error {
	if it.closed {
		return nil
	}
	it.noteSpan()
	it.closed, it.valid = true, false
	iters := it.tx.iters
	for i := range iters {
		if iters[i] == it {
			iters[i] = iters[len(iters)-1]
			it.tx.iters = iters[:len(iters)-1]
			break
		}
	}
	err := it.base.Close()
	if it.err != nil {
		err = it.err
	}
	return err
}

func (it *TxnIterator) usable() bool {
	if it.err == nil && (it.closed || it.tx.done || it.tx.db.closed.Load()) {
		it.err, it.valid = ErrClosed, false
	}
	return it.err == nil
}

// internal returns key behind the scope's id, for one call.
func (it *TxnIterator) internal(key []byte) []byte {
	it.tx.key = append(append(it.tx.key[:0], it.tx.prefix...), key...)
	return it.tx.key
}

func (it *TxnIterator) user(key []byte) []byte { return key[len(it.tx.prefix):] }

// seekOwn returns the first write of the transaction at or after key.
func (it *TxnIterator) seekOwn(key []byte) *write {
	it.changes = it.tx.writes.changes
	return it.tx.writes.seekGE(key)
}

// fromForward goes on from a seek of base to target.
func (it *TxnIterator) fromForward(target []byte) bool {
	it.beginSpan(target)
	it.own, it.forward = it.seekOwn(target), true
	return it.emitForward()
}

// fromBackward goes on from a seek of base to before target.
func (it *TxnIterator) fromBackward(target []byte) bool {
	it.beginSpan(target)
	it.own, it.forward = it.tx.writes.seekLT(target), false
	return it.emitBackward()
}

// pass moves what stands at key, going forward, past it.
func (it *TxnIterator) pass(key []byte) {
	own := it.own != nil && bytes.Equal(it.own.key, key)
	if it.base.Valid() && bytes.Equal(it.base.key, key) {
		it.base.Next()
	}
	if own {
		it.own = it.own.next[0]
	}
}

// emitForward stops at the first entry from where base and own are.
func (it *TxnIterator) emitForward() bool {
	it.valid = false
	for {
		own := it.own
		if own != nil && bytes.Compare(own.key, it.base.upper) >= 0 {
			own = nil
		}
		if it.err = it.base.Err(); it.err != nil {
			return false
		}
		if !it.base.Valid() && own == nil {
			it.place = placeEnd
			it.raiseSpan(it.base.upper, false)
			return false
		}
		if own == nil || it.base.Valid() && bytes.Compare(it.base.key, own.key) < 0 {
			if it.tx.writes.deletes(it.base.key) {
				it.leapForward()
				continue
			}
			it.stopAtBase()
			it.raiseSpan(it.key, true)
			return true
		}
		if expires, ok := it.ownValue(own); it.err != nil {
			return false
		} else if ok {
			it.stopAt(own.key, it.buf, expires)
			it.raiseSpan(it.key, true)
			return true
		}
		it.pass(own.key)
	}
}

// emitBackward stops at the last entry up to where base and own are.
func (it *TxnIterator) emitBackward() bool {
	it.valid = false
	for {
		own := it.own
		if own != nil && bytes.Compare(own.key, it.base.lower) < 0 {
			own = nil
		}
		if it.err = it.base.Err(); it.err != nil {
			return false
		}
		if !it.base.Valid() && own == nil {
			it.place = placeStart
			it.lowerSpan(it.base.lower)
			return false
		}
		if own == nil || it.base.Valid() && bytes.Compare(it.base.key, own.key) > 0 {
			if it.tx.writes.deletes(it.base.key) {
				it.leapBackward()
				continue
			}
			it.stopAtBase()
			it.lowerSpan(it.key)
			return true
		}
		if expires, ok := it.ownValue(own); it.err != nil {
			return false
		} else if ok {
			it.stopAt(own.key, it.buf, expires)
			it.lowerSpan(it.key)
			return true
		}
		if it.base.Valid() && bytes.Equal(it.base.key, own.key) {
			it.base.Prev()
		}
		it.own = it.tx.writes.seekLT(own.key)
	}
}

// leapForward moves base out of a range that the transaction has deleted.
func (it *TxnIterator) leapForward() {
	_, _, upper := it.tx.writes.ranges.At(it.base.key, keys.MaxSeqNum)
	if bytes.Compare(upper, it.base.upper) < 0 {
		it.base.SeekGE(it.user(upper))
	} else if it.base.Last() {
		it.base.Next()
	}
}

// leapBackward does the same going back.
func (it *TxnIterator) leapBackward() {
	_, lower, _ := it.tx.writes.ranges.At(it.base.key, keys.MaxSeqNum)
	if bytes.Compare(lower, it.base.lower) > 0 {
		it.base.SeekLT(it.user(lower))
	} else if it.base.First() {
		it.base.Prev()
	}
}

func (it *TxnIterator) stopAt(key, value []byte, expires int64) {
	it.key = append(it.key[:0], key...)
	it.value, it.expires, it.version, it.valid, it.lazy = value, expires, 0, true, false
}

// stopAtBase stops at base's entry, whose value may be in a blob file: it is read when asked
// for.
func (it *TxnIterator) stopAtBase() {
	it.stopAt(it.base.key, nil, it.base.expires)
	it.unread = nil
	it.version, it.lazy = it.base.version, true
	it.noteExpiry(it.base.expires)
}

// noteExpiry tells the transaction of an entry that it has read, and that expires.
func (it *TxnIterator) noteExpiry(expires int64) {
	if !it.tx.readOnly {
		it.tx.reads.noteExpiry(expires)
	}
}

// beginSpan ends the range that was read and begins another, empty one at key.
func (it *TxnIterator) beginSpan(key []byte) {
	if it.tx.readOnly {
		return
	}
	it.noteSpan()
	it.span.lower = append(it.span.lower[:0], key...)
	it.span.upper = append(it.span.upper[:0], key...)
}

// raiseSpan extends the range up to key, or beyond it.
func (it *TxnIterator) raiseSpan(key []byte, inclusive bool) {
	if it.tx.readOnly || bytes.Compare(key, it.span.upper) < 0 {
		return
	}
	it.span.upper = append(it.span.upper[:0], key...)
	if inclusive {
		it.span.upper = append(it.span.upper, 0)
	}
}

// lowerSpan extends the range down to key.
func (it *TxnIterator) lowerSpan(key []byte) {
	if !it.tx.readOnly && bytes.Compare(key, it.span.lower) < 0 {
		it.span.lower = append(it.span.lower[:0], key...)
	}
}

// noteSpan tells the transaction what was read.
func (it *TxnIterator) noteSpan() {
	if !it.closed && bytes.Compare(it.span.lower, it.span.upper) < 0 {
		it.tx.reads.addRange(it.span.lower, it.span.upper)
		it.tx.looked = true
	}
}
