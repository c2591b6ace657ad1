package rangedel

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/internal/keys"
)

// Span is a range of keys, [Lower, Upper), with the tombstones that cover all of it.
type Span struct {
	Lower, Upper []byte
	// Seqs are the tombstones' numbers, newest first.
	Seqs []keys.SeqNum
}

// Newest returns the greatest number at or below seq, 0 if there is none.
func (s *Span) Newest(seq keys.SeqNum) keys.SeqNum {
	for _, n := range s.Seqs {
		if n <= seq {
			return n
		}
	}
	return 0
}

// builder appends spans in order and joins neighbours that touch and do not differ (R2).
type builder []Span

func (b *builder) add(lower, upper []byte, seqs []keys.SeqNum) {
	if len(seqs) == 0 || bytes.Compare(lower, upper) >= 0 {
		return
	}
	if n := len(*b); n > 0 {
		if last := &(*b)[n-1]; bytes.Equal(last.Upper, lower) && slices.Equal(last.Seqs, seqs) {
			last.Upper = upper
			return
		}
	}
	*b = append(*b, Span{lower, upper, seqs})
}

// Tombstone is one range tombstone, as it was written or as a part of that.
type Tombstone struct {
	Lower, Upper []byte
	Seq          keys.SeqNum
}

// Fragment cuts tombstones, in any order, at each other's bounds, and returns the spans,
// each with those of its numbers that the readers need. Between two bounds it looks at
// every tombstone that covers them.
func Fragment(in []Tombstone, r Readers) []Span {
	in = slices.DeleteFunc(slices.Clone(in), func(t Tombstone) bool { return bytes.Compare(t.Lower, t.Upper) >= 0 })
	slices.SortFunc(in, func(a, b Tombstone) int { return bytes.Compare(a.Lower, b.Lower) })
	bounds := make([][]byte, 0, 2*len(in))
	for i := range in {
		bounds = append(bounds, in[i].Lower, in[i].Upper)
	}
	slices.SortFunc(bounds, bytes.Compare)
	bounds = slices.CompactFunc(bounds, bytes.Equal)
	var out builder
	var open []Tombstone // those that cover the range between two bounds, newest first
	next := 0
	for i := range bounds {
		open = slices.DeleteFunc(open, func(t Tombstone) bool { return bytes.Compare(t.Upper, bounds[i]) <= 0 })
		for ; next < len(in) && bytes.Equal(in[next].Lower, bounds[i]); next++ {
			at, _ := slices.BinarySearchFunc(open, in[next], func(a, b Tombstone) int { return descending(a.Seq, b.Seq) })
			open = slices.Insert(open, at, in[next])
		}
		if len(open) == 0 {
			continue
		}
		seqs := make([]keys.SeqNum, len(open))
		for j := range open {
			seqs[j] = open[j].Seq
		}
		out.add(bounds[i], bounds[i+1], r.needed(slices.Compact(seqs)))
	}
	return out
}

func descending(a, b keys.SeqNum) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}
