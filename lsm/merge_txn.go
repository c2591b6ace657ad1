package lsm

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// Operands that a transaction has written. On a key that it has Set or deleted they are folded
// at once. Otherwise they wait beside each other until the commit, and are folded into what
// the snapshot has by whoever of the transaction reads the key.

// Merge changes the value of key by an operand, as DB.Merge does, when the transaction commits;
// its own reads see it at once. Merging alone reads nothing, and conflicts with nothing;
// reading the key makes it depend on what others do to it. Errors are those of Set and of
// DB.Merge.
func (tx *Txn) Merge(op string, key, operand []byte) error {
	if err := tx.writable(); err != nil {
		return err
	}
	tx.err = tx.merge(op, key, operand)
	tx.noteWrite(keys.KindMerge)
	return tx.err
}

func (tx *Txn) merge(op string, key, operand []byte) error {
	if err := checkLimits(key, nil); err != nil {
		return err
	}
	var buf [64]byte
	value, err := tx.db.mergeValue(buf[:0], op, operand)
	if err != nil {
		return err
	}
	tx.key = append(append(tx.key[:0], tx.prefix...), key...)
	w := tx.writes.find(tx.key)
	switch {
	case w == nil:
		tx.writes.merges = true
		return tx.writes.put(keys.KindMerge, tx.key, value)
	case w.kind != keys.KindMerge:
		base, err := tx.db.baseOf(tx.key, w.kind.Opened(), w.value) // it is in clear still
		if err != nil {
			return err
		}
		if base.Expiry != 0 && base.Expiry <= tx.ownTime() {
			base = fold.Base{} // it was written to be past
		}
		var c fold.Chain
		c.Reset(true)
		c.SetBase(0, base)
		c.Add(1, value)
		_, b, err := c.Fold(tx.db.operators.known, nil)
		if err != nil {
			return tx.db.operators.error(err)
		}
		kind, whole := b.AppendEntry(nil)
		if sealed := kind.Sealed(); w.kind.IsSealed() && sealed != keys.KindInvalid {
			kind = sealed
		}
		return tx.writes.put(kind, tx.key, whole)
	}
	return tx.writes.mergeMore(tx.db.operators.known, w, value, op)
}

// mergeMore adds an operand to those of a key, or joins it with the last of them.
func (s *writeSet) mergeMore(ops *fold.Operators, w *write, value []byte, op string) error {
	last := &w.value
	if n := len(w.more); n > 0 {
		last = &w.more[n-1]
	}
	if len(*last) <= maxJoinedBytes {
		if one, ok := ops.Combine(nil, *last, value, nil); ok {
			total := s.bytes + int64(len(one)-len(*last))
			if err := s.fits(s.ops+s.rangeOps, total+s.rangeBytes); err != nil {
				return err
			}
			*last, s.bytes = one, total
			return nil
		}
	}
	if len(w.more) >= maxOwnOperands-1 {
		return &MergeError{Operator: op, Err: fmt.Errorf("%w: more than %d in one transaction", errManyOperands, maxOwnOperands)}
	}
	total := s.bytes + int64(len(w.key)+len(value))
	if err := s.fits(s.ops+1+s.rangeOps, total+s.rangeBytes); err != nil {
		return err
	}
	w.more = append(w.more, bytes.Clone(value))
	s.ops, s.bytes = s.ops+1, total
	return nil
}

// dropMore forgets all operands of a key but the first, which is about to be replaced.
func (s *writeSet) dropMore(w *write) {
	for _, v := range w.more {
		s.ops--
		s.bytes -= int64(len(w.key) + len(v))
	}
	w.more = nil
}

// getOwn appends to dst what the transaction's operands on a key, which stands in tx.key behind
// the scope's id too, make of what the snapshot has, and tells when that expires.
func (tx *Txn) getOwn(dst, key []byte, w *write) ([]byte, int64, error) {
	var b fold.Base
	if !tx.writes.deletes(tx.key) {
		value, e, err := tx.db.getEntry(nil, tx.prefix, key, tx.seq, tx.at)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return dst, 0, err
		}
		tx.notePoint(e)
		if err == nil {
			b = fold.Base{State: fold.Present, Value: value, Expiry: e.expires}
		}
	}
	return tx.foldOwn(dst, b, w)
}

// foldOwn appends to dst what the transaction's operands on a key make of b, and tells when
// that expires. They come before whatever ends: their commit is still to come, and conflicts if it
// does not (getOwn).
func (tx *Txn) foldOwn(dst []byte, b fold.Base, w *write) ([]byte, int64, error) {
	if tx.chain == nil {
		tx.chain = new(fold.Chain)
	}
	c := tx.chain
	c.Reset(true)
	c.SetBase(0, b)
	if !(mutant.Enabled && mutant.Is(mutant.ForgetOwnMerges) && b.State == fold.Present) {
		c.Add(1, w.value)
	}
	for i, v := range w.more {
		c.Add(keys.SeqNum(2+i), v)
	}
	out, folded, err := c.Fold(tx.db.operators.known, dst)
	if err != nil {
		return dst, 0, tx.db.operators.error(err)
	}
	return out, folded.Expiry, nil
}

// ownValue makes what one of the transaction's writes, at which own stands, makes its reads see
// the current value: buf, unless nobody can read it. It tells when that expires; ok is false if there is nothing.
func (it *TxnIterator) ownValue(own *write) (expires int64, ok bool) {
	it.unread = nil
	if own.kind != keys.KindMerge {
		var value []byte
		if value, expires, ok = it.tx.own(own); ok {
			it.buf = append(it.buf[:0], value...)
		}
		return expires, ok
	}
	var b fold.Base
	if it.base.Valid() && bytes.Equal(it.base.key, own.key) && !it.tx.writes.deletes(own.key) {
		b = fold.Base{State: fold.Present, Expiry: it.base.expires}
		if it.unread = it.base.Unreadable(); it.unread == nil {
			b.Value = it.base.Value()
		}
		if it.err = it.base.Err(); it.err != nil {
			return 0, false // of a value in a blob file
		}
		it.noteExpiry(b.Expiry)
	}
	if it.unread != nil {
		return b.Expiry, true
	}
	it.buf, expires, it.unread = it.tx.foldOwn(it.buf[:0], b, own)
	return expires, true
}
