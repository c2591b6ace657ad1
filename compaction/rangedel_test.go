package compaction_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/internal/vfs"
)

// ranged is what tables hold: points and range tombstones.
type ranged struct {
	points []entry
	ranges []rangedel.Tombstone
}

// at returns the value of key that a reader at seq sees.
func (r *ranged) at(key string, seq keys.SeqNum) (string, bool) {
	var newest *entry
	for i := range r.points {
		p := &r.points[i]
		if p.key == key && p.t.SeqNum() <= seq && (newest == nil || p.t > newest.t) {
			newest = p
		}
	}
	if newest == nil || newest.t.Kind() == keys.KindDelete {
		return "", false
	}
	for _, t := range r.ranges {
		if t.Seq <= seq && t.Seq > newest.t.SeqNum() && string(t.Lower) <= key && key < string(t.Upper) {
			return "", false
		}
	}
	return newest.value, true
}

// contents returns what the store's tables hold.
func (s *store) contents() *ranged {
	out := &ranged{points: s.all()}
	s.v.All(func(_ manifest.Level, _ manifest.RunID, tab *manifest.Table) bool {
		r, err := s.reader(tab)
		require.NoError(s.t, err)
		require.Len(s.t, r.RangeTombstones(), int(tab.RangeDeletes))
		for _, f := range r.RangeTombstones() {
			out.ranges = append(out.ranges, rangedel.Tombstone{Lower: f.Lower, Upper: f.Upper, Seq: f.Trailer.SeqNum()})
		}
		return true
	})
	return out
}

// Whatever is merged, in whatever order, now and every snapshot see what they saw; when
// there is no snapshot nothing that is deleted is left, and no tombstone.
func TestRangeTombstonesDeleteWhatTheyCover(t *testing.T) {
	for seed := range uint64(25) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		s := newStore(t, vfs.NewMem())
		s.rangeBytes = int(seed % 3 * 60) // 0: as many as there are
		whole := &ranged{}
		seq := keys.SeqNum(0)
		key := func() string { return fmt.Sprintf("key%03d", rnd.IntN(300)) }
		for range 8 {
			var points []entry
			var ranges []rangedel.Tombstone
			for range 20 + rnd.IntN(60) {
				seq++
				switch n := rnd.IntN(12); {
				case n == 0:
					lo, hi := key(), key()
					if lo > hi {
						lo, hi = hi, lo
					}
					ranges = append(ranges, rangedel.Tombstone{Lower: []byte(lo), Upper: []byte(hi + "x"), Seq: seq})
				case n < 3:
					points = append(points, entry{key(), keys.MakeTrailer(seq, keys.KindDelete), ""})
				default:
					points = append(points, entry{key(), keys.MakeTrailer(seq, keys.KindSet), fmt.Sprint(seq)})
				}
			}
			whole.points = append(whole.points, points...)
			whole.ranges = append(whole.ranges, ranges...)
			require.NoError(t, s.writeWithRanges(points, ranges))
			if rnd.IntN(3) == 0 {
				s.env.Snapshots = append(s.env.Snapshots, seq)
			}
			if rnd.IntN(4) == 0 && len(s.env.Snapshots) > 0 {
				s.env.Snapshots = slices.Delete(slices.Clone(s.env.Snapshots), 0, 1)
			}
			require.NoError(t, s.compact(rnd.IntN(3) == 0))
			requireSame(t, whole, s.contents(), append(slices.Clone(s.env.Snapshots), keys.MaxSeqNum))
		}
		s.env.Snapshots = nil
		require.NoError(t, s.compact(true))
		got := s.contents()
		requireSame(t, whole, got, []keys.SeqNum{keys.MaxSeqNum})
		require.Empty(t, got.ranges)
		for _, p := range got.points {
			_, ok := whole.at(p.key, keys.MaxSeqNum)
			require.True(t, ok, "%s is deleted, and still there", p.key)
		}
	}
}

// A flush of more range tombstones than a table can hold failed, and so did every other one: they
// are cut into tables of their own, wherever they lie among points.
func TestTheRangeTombstonesOfATableAreBounded(t *testing.T) {
	const most = 200
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		s := newStore(t, vfs.NewMem())
		s.rangeBytes = most
		whole := &ranged{}
		for i := range 250 {
			if rnd.IntN(10) > 0 {
				lower := rnd.IntN(300)
				whole.ranges = append(whole.ranges, rangedel.Tombstone{
					Lower: fmt.Appendf(nil, "key%03d", lower), Upper: fmt.Appendf(nil, "key%03d", lower+1+rnd.IntN(2)), Seq: keys.SeqNum(i + 1),
				})
			}
		}
		for i := range rnd.IntN(12) {
			whole.points = append(whole.points, entry{fmt.Sprintf("key%03d", rnd.IntN(300)), keys.MakeTrailer(keys.SeqNum(300+i), keys.KindSet), "v"})
		}
		require.NoError(t, s.writeWithRanges(whole.points, whole.ranges))
		requireSame(t, whole, s.contents(), []keys.SeqNum{keys.MaxSeqNum})
		require.Greater(t, s.v.NumTables(), 5)
		s.v.All(func(_ manifest.Level, _ manifest.RunID, tab *manifest.Table) bool {
			r, err := s.reader(tab)
			require.NoError(t, err)
			n := 0
			for _, f := range r.RangeTombstones() {
				n += len(f.Lower) + len(f.Upper)
			}
			require.LessOrEqual(t, n, most)
			return true
		})
	}
}

func requireSame(t *testing.T, want, got *ranged, seqs []keys.SeqNum) {
	t.Helper()
	for n := range 300 {
		k := fmt.Sprintf("key%03d", n)
		for _, seq := range seqs {
			w, wok := want.at(k, seq)
			g, gok := got.at(k, seq)
			require.Equal(t, wok, gok, "%s at %d", k, seq)
			require.Equal(t, w, g, "%s at %d", k, seq)
		}
	}
}

// Of a range tombstone only those parts go below which nothing older can be, and only where
// no snapshot and no bound is below its number.
func TestRangeTombstonesStayAboveOlderData(t *testing.T) {
	tab := func(lo, hi string, exclusive bool) *manifest.Table {
		return &manifest.Table{Smallest: []byte(lo), Largest: []byte(hi), LargestExclusive: exclusive}
	}
	span := func(lo, hi string, seqs ...keys.SeqNum) rangedel.Span {
		return rangedel.Span{Lower: []byte(lo), Upper: []byte(hi), Seqs: seqs}
	}
	older := []*manifest.Table{tab("c", "e", true), tab("g", "h", false), tab("q", "z", false)}
	for name, c := range map[string]struct {
		spans     []rangedel.Span
		snapshots []keys.SeqNum
		bound     keys.SeqNum
		want      []rangedel.Span
		floor     keys.SeqNum
	}{
		"nothing below":        {[]rangedel.Span{span("a", "b", 5), span("e", "g", 6)}, nil, 9, nil, 6},
		"parts":                {[]rangedel.Span{span("b", "p", 5)}, nil, 9, []rangedel.Span{span("c", "e", 5), span("g", "h\x00", 5)}, 5},
		"within older data":    {[]rangedel.Span{span("r", "s", 5)}, nil, 9, []rangedel.Span{span("r", "s", 5)}, 0},
		"above the bound":      {[]rangedel.Span{span("a", "b", 5)}, nil, 4, []rangedel.Span{span("a", "b", 5)}, 0},
		"a snapshot below":     {[]rangedel.Span{span("a", "b", 5)}, []keys.SeqNum{4}, 9, []rangedel.Span{span("a", "b", 5)}, 0},
		"a snapshot above":     {[]rangedel.Span{span("a", "b", 5)}, []keys.SeqNum{5}, 9, nil, 5},
		"the newer one stays":  {[]rangedel.Span{span("a", "d", 7, 3)}, []keys.SeqNum{4}, 9, []rangedel.Span{span("a", "c", 7), span("c", "d", 7, 3)}, 3},
		"the end of all":       {[]rangedel.Span{span("y", "zz", 5)}, nil, 9, []rangedel.Span{span("y", "z\x00", 5)}, 5},
		"up to an open bound":  {[]rangedel.Span{span("d", "g", 5)}, nil, 9, []rangedel.Span{span("d", "e", 5)}, 5},
		"from an open bound":   {[]rangedel.Span{span("e", "f", 5)}, nil, 9, nil, 5},
		"behind a closed one":  {[]rangedel.Span{span("h\x00", "i", 5)}, nil, 9, nil, 5},
		"from a closed one on": {[]rangedel.Span{span("h", "i", 5)}, nil, 9, []rangedel.Span{span("h", "h\x00", 5)}, 5},
	} {
		got, floor := compaction.Survivors(c.spans, c.snapshots, c.bound, older)
		require.Equal(t, c.want, got, name)
		require.Equal(t, c.floor, floor, name)
	}
}
