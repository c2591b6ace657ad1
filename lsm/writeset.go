package lsm

import (
	"bytes"
	"iter"
	"math/bits"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/scope"
)

// writeSet is what a transaction has written, each key once, in order: a skip list, whose
// nodes stay where they are as long as the transaction lives, so that iterators may stand
// at them while it writes. The zero writeSet is empty and ready.
//
// Deleted ranges stand beside the list and come first in the payload: what was written in
// them before has become a delete, and what is written later stands above.
type writeSet struct {
	head    [maxWriteHeight]*write
	ops     int
	bytes   int64  // of keys and values
	changes uint64 // of the order: how often a key was added
	merges  bool   // there may be operands
	ranges  *rangedel.Set
	// What the ranges take at most, before those that meet are joined.
	rangeOps   int
	rangeBytes int64
	rnd        uint64

	nodes  []write  // not given out yet
	towers []*write // likewise
	text   []byte   // room for keys and values
}

// write is the last operation on a key.
type write struct {
	key   []byte // behind the scope's id
	value []byte
	kind  keys.Kind
	more  [][]byte // of a merge: further operands, in their order
	next  []*write
}

const (
	maxWriteHeight = 16 // enough for four to the power of it
	maxWriteChunk  = 64 << 10
)

// seekGE returns the first write at or after key, or nil.
func (s *writeSet) seekGE(key []byte) *write {
	var prev [maxWriteHeight]*write
	s.descend(key, &prev)
	return s.after(prev[0], 0)
}

// seekLT returns the last write before key, or nil.
func (s *writeSet) seekLT(key []byte) *write {
	var prev [maxWriteHeight]*write
	s.descend(key, &prev)
	return prev[0]
}

// find returns the write of key, or nil.
func (s *writeSet) find(key []byte) *write {
	if s.ops == 0 {
		return nil
	}
	if w := s.seekGE(key); w != nil && bytes.Equal(w.key, key) {
		return w
	}
	return nil
}

// first returns the first write, or nil.
func (s *writeSet) first() *write { return s.head[0] }

// after returns what follows w on a level; nil stands for the head.
func (s *writeSet) after(w *write, level int) *write {
	if w == nil {
		return s.head[level]
	}
	return w.next[level]
}

// descend finds, on each level, the last write before key.
func (s *writeSet) descend(key []byte, prev *[maxWriteHeight]*write) {
	var w *write
	for level := maxWriteHeight - 1; level >= 0; level-- {
		for n := s.after(w, level); n != nil && bytes.Compare(n.key, key) < 0; n = w.next[level] {
			w = n
		}
		prev[level] = w
	}
}

// put records an operation in the place of an earlier one on the key. It copies both
// slices, and refuses what no memtable could hold.
func (s *writeSet) put(kind keys.Kind, key, value []byte) error {
	var prev [maxWriteHeight]*write
	s.descend(key, &prev)
	w := s.after(prev[0], 0)
	ops, total := s.ops, s.bytes
	known := w != nil && bytes.Equal(w.key, key)
	if known {
		total += int64(len(value) - len(w.value))
	} else {
		ops++
		total += int64(len(key) + len(value))
	}
	if err := s.fits(ops+s.rangeOps, total+s.rangeBytes); err != nil {
		return err
	}
	if !known {
		w = s.insert(key, &prev)
	}
	if len(w.more) > 0 {
		before := s.bytes
		s.dropMore(w)
		ops, total = s.ops, total-(before-s.bytes)
	}
	w.kind = kind
	if cap(w.value) >= len(value) {
		w.value = append(w.value[:0], value...)
	} else {
		w.value = s.copy(value)
	}
	s.ops, s.bytes = ops, total
	return nil
}

// fits refuses what no memtable could hold.
func (s *writeSet) fits(ops int, bytes int64) error {
	if size := memtableBytesFor(ops, bytes); size > maxBatchBytes {
		return &LimitError{What: "transaction", Bytes: size, Limit: maxBatchBytes}
	}
	return nil
}

// deleteRange records the delete of [lower, upper), whose bounds it copies, and refuses what
// put refuses.
func (s *writeSet) deleteRange(lower, upper []byte) error {
	ops, total := s.rangeOps+1, s.rangeBytes+int64(len(lower)+len(upper))
	if err := s.fits(s.ops+ops, s.bytes+total); err != nil {
		return err
	}
	s.rangeOps, s.rangeBytes = ops, total
	s.ranges = s.ranges.With(bytes.Clone(lower), bytes.Clone(upper), 1, rangedel.Readers{Unread: 1})
	for w := s.seekGE(lower); w != nil && bytes.Compare(w.key, upper) < 0; w = w.next[0] {
		s.dropMore(w)
		s.bytes -= int64(len(w.value))
		w.kind, w.value = keys.KindDelete, w.value[:0]
	}
	return nil
}

// deletes reports whether a deleted range holds key.
func (s *writeSet) deletes(key []byte) bool { return s.ranges.Newest(key, keys.MaxSeqNum) > 0 }

// deleted yields the deleted ranges, each within one scope: those of scopes whose ids follow
// one another may have been joined.
func (s *writeSet) deleted() iter.Seq[keyRange] {
	return func(yield func(keyRange) bool) {
		for _, r := range s.ranges.Spans() {
			for lower := r.Lower; lower != nil; {
				part := keyRange{lower, r.Upper}
				id, _, _ := scope.DecodeID(lower) // which each bound begins with
				lower = nil
				if end := scope.AppendUpperBound(nil, id); bytes.Compare(end, r.Upper) < 0 && !(mutant.Enabled && mutant.Is(mutant.JoinScopeRanges)) {
					part.upper, lower = end, end
				}
				if !yield(part) {
					return
				}
			}
		}
	}
}

// empty reports whether nothing was written.
func (s *writeSet) empty() bool { return s.ops == 0 && s.ranges == nil }

// size returns the number of operations, how many of them delete a range, and the bytes of
// their keys and values.
func (s *writeSet) size() (ops, ranges int, bytes int64) {
	bytes = s.bytes
	for r := range s.deleted() {
		ranges++
		bytes += int64(len(r.lower) + len(r.upper))
	}
	return s.ops + ranges, ranges, bytes
}

// insert adds a key behind prev.
func (s *writeSet) insert(key []byte, prev *[maxWriteHeight]*write) *write {
	s.rnd = s.rnd*6364136223846793005 + 1442695040888963407
	height := min(1+bits.TrailingZeros64(s.rnd>>32|1<<62)/2, maxWriteHeight)
	if len(s.nodes) == 0 {
		s.nodes = make([]write, min(max(s.ops, 4), 256))
	}
	if len(s.towers) < height {
		s.towers = make([]*write, max(height, min(max(2*s.ops, 8), 512)))
	}
	w := &s.nodes[0]
	s.nodes = s.nodes[1:]
	w.next, s.towers = s.towers[:height:height], s.towers[height:]
	w.key = s.copy(key)
	for level := range w.next {
		w.next[level] = s.after(prev[level], level)
		if p := prev[level]; p == nil {
			s.head[level] = w
		} else {
			p.next[level] = w
		}
	}
	s.changes++
	return w
}

// copy returns a copy of b that nothing else shares.
func (s *writeSet) copy(b []byte) []byte {
	if len(b) > maxWriteChunk/4 {
		return bytes.Clone(b)
	}
	if cap(s.text)-len(s.text) < len(b) {
		s.text = make([]byte, 0, max(len(b), int(min(max(2*s.bytes, 256), maxWriteChunk))))
	}
	n := len(s.text)
	s.text = append(s.text, b...)
	return s.text[n:len(s.text):len(s.text)]
}

// appendPayload appends the operations as the log holds them.
func (s *writeSet) appendPayload(dst []byte) []byte {
	for r := range s.deleted() {
		dst = appendOp(dst, keys.KindRangeDelete, nil, r.lower, r.upper)
	}
	for w := s.first(); w != nil; w = w.next[0] {
		dst = appendOp(dst, w.kind, nil, w.key, w.value)
		for _, more := range w.more {
			dst = appendOp(dst, w.kind, nil, w.key, more)
		}
	}
	return dst
}
