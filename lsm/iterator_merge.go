package lsm

import (
	"bytes"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
)

// Iterators and merge operands. Going forward the versions of a key come newest first: from an
// operand on they are collected down to the base. Going back they come oldest first, and pile
// up on the base.

// foldForward emits the key whose newest visible version is an operand, at which s, the front
// of the merge, stands. emitted is false, without an error, if the key turns out to be absent.
func (it *Iterator) foldForward(s *source) (emitted, ok bool) {
	c := &it.chain
	c.Reset(false)
	for {
		t, value, err := s.whole()
		if err != nil {
			return false, it.fail(it.db.tableError(err))
		}
		done, err := it.db.take(c, it.key, t, value)
		if unopened(err) {
			it.in.err = err
			break
		}
		if err != nil {
			return false, it.fail(err)
		}
		if done {
			break
		}
		if !it.advance(s) {
			return false, false
		}
		if s = it.merge.top(); s == nil || !bytes.Equal(s.key, it.key) {
			break
		}
		if len(it.ranges) > 0 {
			newest, ok := it.covering(s.key)
			if !ok {
				return false, false
			}
			if s.trailer.SeqNum() < newest {
				break
			}
		}
	}
	return it.foldChain()
}

// foldChain makes the fold of the chain the current value. What cannot be folded is an entry all the same,
// which ends no loop: in.err says why nobody can read it.
func (it *Iterator) foldChain() (emitted, ok bool) {
	if it.in.err != nil && !it.chain.DropExpired() { // of the base
		b := it.chain.Base()
		if !it.sees(b) {
			it.in = inBlob{}
			return false, true
		}
		return it.showUnreadable(b.Expiry)
	}
	it.in.err, it.in.sealed = nil, false
	it.in.secret = it.chain.Sealed()
	out, b, err := it.chain.Fold(it.db.operators.known, it.valBuf[:0])
	if err != nil {
		it.in.err = it.db.operators.error(err)
		return it.showUnreadable(0)
	}
	it.valBuf = out
	if !it.sees(b) {
		return false, true
	}
	it.value, it.expires, it.valid = it.valBuf, b.Expiry, true
	return true, true
}

// showUnreadable makes the current entry one without a value, for in.err.
func (it *Iterator) showUnreadable(expires int64) (emitted, ok bool) {
	it.value, it.expires, it.valid, it.in.sealed = nil, expires, true, true
	return true, true
}

// pileUp adds the operand at which s stands to the chain of a key whose versions come oldest
// first. Unless piled it is the first one above the version with the number base, which is
// below.
func (it *Iterator) pileUp(s *source, piled bool, base keys.SeqNum) (ok bool) {
	if !piled {
		if !it.baseHere() {
			return false
		}
		it.chain.Reset(true)
		b := it.below
		if b.State == fold.Present {
			b.Value, b.Sealed = it.valBuf, it.in.secret
		}
		it.chain.SetBase(base, b)
	}
	it.chain.Add(s.trailer.SeqNum(), s.value())
	return true
}
