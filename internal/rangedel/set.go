package rangedel

import (
	"bytes"
	"unsafe"

	"github.com/loamdb/loam/internal/keys"
)

// Set is a set of range tombstones, immutable. A nil Set is empty. It may be used by any
// number of goroutines.
type Set struct {
	root      node
	pairs     int
	deepest   int // the most numbers that a span has, or had
	exactFrom keys.SeqNum
}

// Of returns the set of spans that fulfil R1. It keeps them.
func Of(spans []Span) *Set {
	if len(spans) == 0 {
		return nil
	}
	s := &Set{root: rootOf(appendLeaves(nil, spans))}
	s.count(spans)
	return s
}

// count adds spans to the counts.
func (s *Set) count(spans []Span) {
	for i := range spans {
		s.pairs += len(spans[i].Seqs)
		s.deepest = max(s.deepest, len(spans[i].Seqs))
	}
}

// Pairs returns how many numbers its spans have in all, which its memory is in proportion
// to.
func (s *Set) Pairs() int {
	if s == nil {
		return 0
	}
	return s.pairs
}

// Bytes returns how much memory its spans take, with their bounds and numbers.
func (s *Set) Bytes() int64 {
	spans := s.Spans()
	n := len(spans) * int(unsafe.Sizeof(Span{}))
	for i := range spans {
		n += len(spans[i].Lower) + len(spans[i].Upper) + len(spans[i].Seqs)*int(unsafe.Sizeof(keys.SeqNum(0)))
	}
	return int64(n)
}

// Growth returns how many pairs n more tombstones bring about at most, besides one for each
// span that is there, if they become visible at once: each cuts two spans.
func (s *Set) Growth(n int) int {
	if s == nil {
		return 2 * n
	}
	return 2 * n * (s.deepest + 1)
}

// ExactFrom returns the least number at which a reader that is no snapshot finds in it all
// that it must: what With left out was needed below it alone.
func (s *Set) ExactFrom() keys.SeqNum {
	if s == nil {
		return 0
	}
	return s.exactFrom
}

// Spans returns all spans, in order. They must not be changed.
func (s *Set) Spans() []Span {
	if s == nil {
		return nil
	}
	var out []Span
	s.root.ascend(nil, func(span *Span) bool {
		out = append(out, *span)
		return true
	})
	return out
}

// Newest returns the greatest number at or below seq of a tombstone that covers key, 0 if
// there is none.
func (s *Set) Newest(key []byte, seq keys.SeqNum) keys.SeqNum {
	newest, _, _ := s.At(key, seq)
	return newest
}

// At returns what Newest does, and around key the bounds within which it is the same; nil
// is no bound.
func (s *Set) At(key []byte, seq keys.SeqNum) (newest keys.SeqNum, lower, upper []byte) {
	if s == nil {
		return 0, nil, nil
	}
	span, next := s.root.around(key)
	switch {
	case span == nil:
		return 0, nil, next
	case bytes.Compare(key, span.Upper) < 0:
		return span.Newest(seq), span.Lower, span.Upper
	}
	return 0, span.Upper, next
}

// Covers reports whether every key from lower to upper, upper itself included unless
// exclusive, is covered by a tombstone with a number above after and at most seq.
func (s *Set) Covers(lower, upper []byte, exclusive bool, after, seq keys.SeqNum) bool {
	for at := lower; ; {
		newest, _, end := s.At(at, seq)
		if newest <= after {
			return false
		}
		if c := bytes.Compare(end, upper); c > 0 || c == 0 && exclusive {
			return true
		}
		at = end // of a span: it is never nil
	}
}

// Within reports whether a tombstone over any key of [lower, upper) has a number above after
// and at most upTo.
func (s *Set) Within(lower, upper []byte, after, upTo keys.SeqNum) bool {
	if s == nil {
		return false
	}
	found := false
	s.root.ascend(lower, func(span *Span) bool {
		if bytes.Compare(span.Lower, upper) >= 0 {
			return false
		}
		found = bytes.Compare(span.Upper, lower) > 0 && span.Newest(upTo) > after
		return !found
	})
	return found
}
