package rangedel

import (
	"bytes"
	"slices"
	"sort"

	"github.com/loamdb/loam/internal/keys"
)

// With returns the set with one more tombstone, over [lower, upper), which must not be
// empty. Its number is above all others. The bounds are kept. Numbers that none of the
// readers needs are left out where the new tombstone lies.
//
// It takes time in proportion to the spans that the new one meets, and to the number of
// chunks.
func (s *Set) With(lower, upper []byte, seq keys.SeqNum, r Readers) *Set {
	out := &Set{exactFrom: r.Visible}
	if s == nil {
		out.append([]Span{{lower, upper, []keys.SeqNum{seq}}})
		return out
	}
	from, to := s.meets(lower, upper)
	out.chunks = make([][]Span, 0, len(s.chunks)+2)
	out.chunks = append(out.chunks, s.chunks[:from]...)
	out.pairs = s.pairs
	old := s.chunks[from:to][0]
	if to > from+1 {
		old = slices.Concat(s.chunks[from:to]...)
	}
	for i := range old {
		out.pairs -= len(old[i].Seqs)
	}
	out.append(insert(old, lower, upper, seq, &r))
	out.chunks = append(out.chunks, s.chunks[to:]...)
	return out
}

// meets returns the chunks with spans that overlap [lower, upper] or touch it, or else one
// beside it, to which the new span is added. There is always one.
func (s *Set) meets(lower, upper []byte) (from, to int) {
	// The span before may end at lower, and be joined.
	from = max(0, sort.Search(len(s.chunks), func(c int) bool { return bytes.Compare(s.chunks[c][0].Lower, lower) >= 0 })-1)
	to = sort.Search(len(s.chunks), func(c int) bool { return bytes.Compare(s.chunks[c][0].Lower, upper) > 0 })
	return from, max(from+1, to)
}

// insert returns the spans with a tombstone above all of them over [lower, upper).
func insert(old []Span, lower, upper []byte, seq keys.SeqNum, r *Readers) []Span {
	before := sort.Search(len(old), func(i int) bool { return bytes.Compare(old[i].Upper, lower) > 0 })
	after := before + sort.Search(len(old)-before, func(i int) bool { return bytes.Compare(old[before+i].Lower, upper) >= 0 })
	out := make(builder, 0, len(old)+2)
	out = append(out, old[:before]...)
	alone := []keys.SeqNum{seq}
	at := lower // the new one is placed up to here
	for i := before; i < after; i++ {
		o := &old[i]
		begin, end := greater(o.Lower, lower), o.Upper
		if bytes.Compare(end, upper) > 0 {
			end = upper
		}
		out.add(o.Lower, begin, o.Seqs)
		out.add(at, begin, alone)
		out.add(begin, end, r.needed(slices.Insert(slices.Clone(o.Seqs), 0, seq)))
		at = end
		out.add(end, o.Upper, o.Seqs)
	}
	out.add(at, upper, alone)
	if after < len(old) { // the first may be joined, the others are apart already
		out.add(old[after].Lower, old[after].Upper, old[after].Seqs)
		out = append(out, old[after+1:]...)
	}
	return out
}

func greater(a, b []byte) []byte {
	if bytes.Compare(a, b) > 0 {
		return a
	}
	return b
}
