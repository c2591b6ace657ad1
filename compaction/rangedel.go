package compaction

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/sstable"
)

// Range tombstones in a merge: those of all inputs are cut at each other's bounds, and of
// each span only those numbers stay that a snapshot, or now, sees first. They hide the
// points below them (drop.go). One that nothing lies below any more is left out. The rest
// is cut where output tables are cut, so that each table covers no more than its own keys.

// survivors returns what of the spans, whose numbers are those needed for the stripes, a
// merge has to keep, and the greatest number of a tombstone of which a part is left out. A
// tombstone goes where it is in the oldest stripe, its number is at or below the bound,
// and nothing older than the merge's inputs can be.
func (d *dropper) survivors(spans []rangedel.Span, used *inUse) (kept []rangedel.Span, floor keys.SeqNum) {
	if mutant.Enabled && mutant.Is(mutant.ElideRangeAbove) {
		used = &inUse{}
	}
	for _, s := range spans {
		last := s.Seqs[len(s.Seqs)-1]
		if used == nil || last > d.bound || d.stripe(last) != 0 {
			kept = append(kept, s)
			continue
		}
		newer := s.Seqs[: len(s.Seqs)-1 : len(s.Seqs)-1]
		used.split(s.Lower, s.Upper, func(lower, upper []byte, inUse bool) {
			switch {
			case inUse:
				kept = append(kept, rangedel.Span{Lower: lower, Upper: upper, Seqs: s.Seqs})
				return
			case len(newer) > 0:
				kept = append(kept, rangedel.Span{Lower: lower, Upper: upper, Seqs: newer})
			}
			floor = max(floor, last)
		})
	}
	return kept, floor
}

// split calls f for the parts of [lower, upper), in order: those that a span of the set may
// hold keys of, and those that none does.
func (u *inUse) split(lower, upper []byte, f func(lower, upper []byte, inUse bool)) {
	i, _ := slices.BinarySearchFunc(u.spans, lower, func(s span, key []byte) int {
		if s.endsBefore(key) {
			return -1
		}
		return 1
	})
	for ; bytes.Compare(lower, upper) < 0; i++ {
		if i == len(u.spans) || bytes.Compare(u.spans[i].lower, upper) >= 0 {
			f(lower, upper, false)
			return
		}
		s := u.spans[i]
		if bytes.Compare(lower, s.lower) < 0 {
			f(lower, s.lower, false)
			lower = s.lower
		}
		end := s.upper
		if !s.open {
			end = append(bytes.Clone(end), 0) // the least key after an inclusive end
		}
		if bytes.Compare(end, upper) > 0 {
			end = upper
		}
		f(lower, end, true)
		lower = end
	}
}

// rangeBytes is how much a span counts of what a table may have.
func rangeBytes(s *rangedel.Span) int { return len(s.Seqs) * (len(s.Lower) + len(s.Upper)) }

// takeBelow adds to w what of the spans lies below end, all when end is nil, and returns
// the rest. It takes one, and others while they are not more than most bytes.
func takeBelow(w *sstable.Writer, spans []rangedel.Span, end []byte, most int) ([]rangedel.Span, error) {
	taken := 0
	for i, s := range spans {
		taken += rangeBytes(&s)
		if end != nil && bytes.Compare(s.Lower, end) >= 0 || i > 0 && taken > most {
			return spans[i:], nil
		}
		upper := s.Upper
		if end != nil && bytes.Compare(upper, end) > 0 {
			upper = end
		}
		for _, seq := range s.Seqs {
			if err := w.AddRangeTombstone(s.Lower, upper, keys.MakeTrailer(seq, keys.KindRangeDelete)); err != nil {
				return nil, err
			}
		}
		if bytes.Compare(upper, s.Upper) < 0 {
			rest := slices.Clone(spans[i:])
			rest[0].Lower = upper
			return rest, nil
		}
	}
	return nil, nil
}
