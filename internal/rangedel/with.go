package rangedel

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/internal/keys"
)

// With returns the set with one more tombstone, over [lower, upper), which must not be
// empty. Its number is above all others. The bounds are kept. Numbers that none of the
// readers needs are left out where the new tombstone lies.
//
// It takes time in proportion to the spans that the new one meets, and to the logarithm of
// how many there are.
func (s *Set) With(lower, upper []byte, seq keys.SeqNum, r Readers) *Set {
	if s == nil {
		out := Of([]Span{{lower, upper, []keys.SeqNum{seq}}})
		out.exactFrom = r.Visible
		return out
	}
	var room [4]Span
	met := room[:0] // those that overlap [lower, upper), and those that touch it, to be joined
	s.root.ascend(lower, func(span *Span) bool {
		if bytes.Compare(span.Lower, upper) > 0 {
			return false
		}
		met = append(met, *span)
		return true
	})
	out := &Set{pairs: s.pairs, deepest: s.deepest, exactFrom: r.Visible}
	from, through := lower, lower
	if len(met) > 0 {
		from, through = met[0].Lower, met[len(met)-1].Lower
	}
	for i := range met {
		out.pairs -= len(met[i].Seqs)
	}
	in := insert(met, lower, upper, seq, &r)
	out.count(in)
	out.root = rootOf(splice(nil, &s.root, &s.root, from, through, in))
	return out
}

// insert returns what becomes of the spans that overlap or touch [lower, upper) with a
// tombstone above all of them over it.
func insert(met []Span, lower, upper []byte, seq keys.SeqNum, r *Readers) []Span {
	out := make(builder, 0, 2*len(met)+1)
	alone := []keys.SeqNum{seq}
	at := lower // the new one is placed up to here
	for i := range met {
		o := &met[i]
		begin, end := greater(o.Lower, lower), o.Upper
		if bytes.Compare(end, upper) > 0 {
			end = upper
		}
		out.add(o.Lower, begin, o.Seqs)
		out.add(at, begin, alone)
		if bytes.Compare(begin, end) < 0 {
			out.add(begin, end, r.needed(slices.Insert(slices.Clone(o.Seqs), 0, seq)))
		}
		at = end
		out.add(end, o.Upper, o.Seqs)
	}
	out.add(at, upper, alone)
	return out
}

func greater(a, b []byte) []byte {
	if bytes.Compare(a, b) > 0 {
		return a
	}
	return b
}
