package rangedel

import (
	"bytes"
	"sort"
	"unsafe"

	"github.com/loamdb/loam/internal/keys"
)

// Set is a set of range tombstones, immutable. A nil Set is empty. It may be used by any
// number of goroutines.
type Set struct {
	chunks    [][]Span // none empty; see chunkSpans
	pairs     int
	exactFrom keys.SeqNum
}

// chunkSpans bounds a chunk. A change copies the chunks that it meets and the slice of
// chunks: with 10,000 spans some kilobytes, where one flat slice would be half a megabyte.
const chunkSpans = 64

// Of returns the set of spans that fulfil R1. It keeps them.
func Of(spans []Span) *Set {
	if len(spans) == 0 {
		return nil
	}
	s := &Set{}
	s.append(spans)
	return s
}

func (s *Set) append(spans []Span) {
	for i := range spans {
		s.pairs += len(spans[i].Seqs)
	}
	// In equal parts, so that the next one that grows does not leave one of a single span.
	for parts := (len(spans) + chunkSpans - 1) / chunkSpans; parts > 0; parts-- {
		n := (len(spans) + parts - 1) / parts
		s.chunks = append(s.chunks, spans[:n:n])
		spans = spans[n:]
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
	if s == nil {
		return 0
	}
	n := 0
	for _, c := range s.chunks {
		n += len(c) * int(unsafe.Sizeof(Span{}))
		for i := range c {
			n += len(c[i].Lower) + len(c[i].Upper) + len(c[i].Seqs)*int(unsafe.Sizeof(keys.SeqNum(0)))
		}
	}
	return int64(n)
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
	for _, c := range s.chunks {
		out = append(out, c...)
	}
	return out
}

// find returns the place of the last span that begins at or before key; ok is false if
// all begin after it.
func (s *Set) find(key []byte) (chunk, i int, ok bool) {
	chunk = sort.Search(len(s.chunks), func(c int) bool { return bytes.Compare(s.chunks[c][0].Lower, key) > 0 }) - 1
	if chunk < 0 {
		return 0, 0, false
	}
	spans := s.chunks[chunk]
	i = sort.Search(len(spans), func(i int) bool { return bytes.Compare(spans[i].Lower, key) > 0 }) - 1
	return chunk, i, true
}

// Newest returns the greatest number at or below seq of a tombstone that covers key, 0 if
// there is none.
func (s *Set) Newest(key []byte, seq keys.SeqNum) keys.SeqNum {
	if s == nil {
		return 0
	}
	c, i, ok := s.find(key)
	if !ok {
		return 0
	}
	span := &s.chunks[c][i]
	if bytes.Compare(key, span.Upper) >= 0 {
		return 0
	}
	return span.Newest(seq)
}

// At returns what Newest does, and around key the bounds within which it is the same; nil
// is no bound.
func (s *Set) At(key []byte, seq keys.SeqNum) (newest keys.SeqNum, lower, upper []byte) {
	if s == nil {
		return 0, nil, nil
	}
	c, i, ok := s.find(key)
	if !ok {
		return 0, nil, s.chunks[0][0].Lower
	}
	span := &s.chunks[c][i]
	if bytes.Compare(key, span.Upper) < 0 {
		return span.Newest(seq), span.Lower, span.Upper
	}
	switch {
	case i+1 < len(s.chunks[c]):
		upper = s.chunks[c][i+1].Lower
	case c+1 < len(s.chunks):
		upper = s.chunks[c+1][0].Lower
	}
	return 0, span.Upper, upper
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
	c, i, ok := s.find(lower)
	if ok && bytes.Compare(s.chunks[c][i].Upper, lower) <= 0 {
		i++
	}
	for ; c < len(s.chunks); c, i = c+1, 0 {
		for ; i < len(s.chunks[c]); i++ {
			span := &s.chunks[c][i]
			if bytes.Compare(span.Lower, upper) >= 0 {
				return false
			}
			if span.Newest(upTo) > after {
				return true
			}
		}
	}
	return false
}
