package compaction

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable"
)

// Range tombstones pass through a merge: none is left out, and none hides an entry here.
// They are cut where output tables are cut, so that each table covers no more than its
// own keys.

// fragment cuts range tombstones that overlap at each other's bounds, so that any two
// cover the same range or disjoint ones, and sorts them as sstable.Writer wants them.
func fragment(in []sstable.Fragment) []sstable.Fragment {
	var bounds [][]byte
	for i := range in {
		bounds = append(bounds, in[i].Lower, in[i].Upper)
	}
	slices.SortFunc(bounds, bytes.Compare)
	bounds = slices.CompactFunc(bounds, bytes.Equal)
	var out []sstable.Fragment
	for i := range in {
		at, _ := slices.BinarySearchFunc(bounds, in[i].Lower, bytes.Compare)
		for ; bytes.Compare(bounds[at], in[i].Upper) < 0; at++ {
			out = append(out, sstable.Fragment{Lower: bounds[at], Upper: bounds[at+1], Trailer: in[i].Trailer})
		}
	}
	slices.SortFunc(out, func(a, b sstable.Fragment) int {
		return keys.Compare(a.Lower, a.Trailer, b.Lower, b.Trailer)
	})
	// One tombstone that two tables share the parts of meets itself nowhere else.
	return slices.CompactFunc(out, func(a, b sstable.Fragment) bool {
		return a.Trailer == b.Trailer && bytes.Equal(a.Lower, b.Lower)
	})
}

// takeBelow adds to w what of the fragments lies below end, all when end is nil, and
// returns the rest.
func takeBelow(w *sstable.Writer, fragments []sstable.Fragment, end []byte) ([]sstable.Fragment, error) {
	var rest []sstable.Fragment
	for i, f := range fragments {
		if end != nil && bytes.Compare(f.Lower, end) >= 0 {
			return append(rest, fragments[i:]...), nil
		}
		upper := f.Upper
		if end != nil && bytes.Compare(upper, end) > 0 {
			upper = end
			rest = append(rest, sstable.Fragment{Lower: end, Upper: f.Upper, Trailer: f.Trailer})
		}
		if err := w.AddRangeTombstone(f.Lower, upper, f.Trailer); err != nil {
			return nil, err
		}
	}
	return rest, nil
}
