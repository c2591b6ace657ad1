package compaction_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/loamdb/loam/internal/vfs"
)

var foldOps = func() *fold.Operators {
	o, err := fold.NewOperators([]fold.Operator{{
		Name: "test.join", // appends, and cannot combine
		Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			dst = append(dst, value...)
			for _, o := range operands {
				dst = append(dst, o...)
			}
			return dst, nil
		},
	}})
	if err != nil {
		panic(err)
	}
	return o
}()

func operand(op string, at int64, text string) string {
	return string(fold.AppendOperand(nil, fold.Header{Time: at, Operator: fold.IDOf(op)}, []byte(text)))
}

func merge(key string, seq keys.SeqNum, op, text string) entry {
	return entry{key, keys.MakeTrailer(seq, keys.KindMerge), operand(op, int64(seq), text)}
}

func set(key string, seq keys.SeqNum, value string) entry {
	return entry{key, keys.MakeTrailer(seq, keys.KindSet), value}
}

// foldedAt returns what a key is to a reader at seq: the fold of its versions, and how many
// operands that took.
func (r *ranged) foldedAt(t testing.TB, key string, seq keys.SeqNum) (fold.Base, int) {
	var versions []entry
	for _, p := range r.points {
		if p.key == key && p.t.SeqNum() <= seq {
			versions = append(versions, p)
		}
	}
	slices.SortFunc(versions, func(a, b entry) int { return int(min(max(int64(b.t)-int64(a.t), -1), 1)) })
	deleted := keys.SeqNum(0)
	for _, d := range r.ranges {
		if d.Seq <= seq && string(d.Lower) <= key && key < string(d.Upper) {
			deleted = max(deleted, d.Seq)
		}
	}
	var c fold.Chain
	c.Reset(false)
	for _, v := range versions {
		if v.t.SeqNum() < deleted {
			break
		}
		if v.t.Kind() == keys.KindMerge {
			c.Add(v.t.SeqNum(), []byte(v.value))
			continue
		}
		b, ok := fold.BaseOf(v.t.Kind(), []byte(v.value))
		require.True(t, ok)
		c.SetBase(v.t.SeqNum(), b)
		break
	}
	_, b, err := c.Fold(foldOps, nil)
	require.NoError(t, err)
	return b, c.Len()
}

// valueAt is what compaction asks for: what the store's tables say of a number.
func (s *store) valueAt(key []byte, seq keys.SeqNum) (fold.Base, error) {
	b, _ := s.contents().foldedAt(s.t, string(key), seq)
	return b, nil
}

// Whatever is folded, in whatever order, now and every snapshot see what they saw, and fold a
// bounded number of operands to see it; when there is no snapshot every key is one value.
func TestNobodySeesAFold(t *testing.T) {
	folded, fences := uint64(0), 0
	for seed := range uint64(10) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		s := newStore(t, vfs.NewMem())
		s.env.Operators, s.env.ValueAt = foldOps, s.valueAt
		s.env.ExpiresWithin = func(after, upTo int64) bool { return rnd.IntN(4) == 0 }
		var all ranged
		seq := keys.SeqNum(0)
		width := 2 + rnd.IntN(12)
		for round := range 10 {
			var points []entry
			var ranges []rangedel.Tombstone
			for range 20 + rnd.IntN(120) {
				seq++
				key := fmt.Sprintf("key%02d", rnd.IntN(width))
				switch rnd.IntN(24) {
				case 0:
					points = append(points, set(key, seq, fmt.Sprintf("<%d>", seq)))
				case 1:
					points = append(points, entry{key, keys.MakeTrailer(seq, keys.KindDelete), ""})
				case 2:
					value := string(binary.LittleEndian.AppendUint64(nil, uint64(seq)+uint64(rnd.IntN(40)))) + "short"
					points = append(points, entry{key, keys.MakeTrailer(seq, keys.KindSetWithExpiry), value})
					s.env.ExpiresWithin = func(after, upTo int64) bool { return true }
				case 3:
					if rnd.IntN(4) == 0 {
						ranges = append(ranges, rangedel.Tombstone{Lower: []byte(key), Upper: fmt.Appendf(nil, "key%02d", width), Seq: seq})
					}
				default:
					points = append(points, merge(key, seq, []string{fold.BytesAppend, "test.join"}[rnd.IntN(2)], fmt.Sprintf("+%d", seq)))
				}
				if rnd.IntN(60) == 0 {
					s.env.Snapshots = append(s.env.Snapshots, seq)
				}
				if rnd.IntN(60) == 0 {
					s.env.FoldFences = append(s.env.FoldFences, seq)
					fences++
				}
			}
			all.points, all.ranges = append(all.points, points...), append(all.ranges, ranges...)
			if len(points)+len(ranges) == 0 {
				continue
			}
			require.NoError(t, s.writeWithRanges(points, ranges))
			if n := len(s.env.Snapshots); n > 0 && rnd.IntN(3) == 0 {
				s.env.Snapshots = slices.Delete(s.env.Snapshots, 0, 1+rnd.IntN(n))
			}
			require.NoError(t, s.compact(round%4 == 3))
			got := s.contents()
			for _, at := range append(slices.Clone(s.env.Snapshots), keys.MaxSeqNum) {
				for i := range width {
					key := fmt.Sprintf("key%02d", i)
					want, _ := all.foldedAt(t, key, at)
					have, _ := got.foldedAt(t, key, at)
					require.Equal(t, want, have, "seed %d, round %d, %s at %d", seed, round, key, at)
				}
			}
		}
		folded += s.stats.Folded
		s.env.Snapshots, s.env.FoldFences = nil, nil
		require.NoError(t, s.compact(true))
		for _, e := range s.all() {
			require.NotEqual(t, keys.KindDelete, e.t.Kind())
		}
		for i := range width {
			key := fmt.Sprintf("key%02d", i)
			want, _ := all.foldedAt(t, key, keys.MaxSeqNum)
			have, n := s.contents().foldedAt(t, key, keys.MaxSeqNum)
			require.Equal(t, want, have)
			require.LessOrEqual(t, n, fold.MaxChain)
		}
	}
	require.Positive(t, folded)
	require.Positive(t, fences)
}

// lines are the entries of a store, newest first within a key.
func (s *store) lines() (out []string) {
	for _, e := range s.all() {
		text := e.value
		if e.t.Kind() == keys.KindMerge {
			h, o := fold.Split([]byte(e.value))
			text = fmt.Sprintf("%s at %d", o, h.Time)
		}
		out = append(out, fmt.Sprintf("%s %d %s %s", e.key, e.t.SeqNum(), e.t.Kind(), text))
	}
	return out
}

// What becomes of a chain, case by case: what is written is a base level and a run above it.
func TestWhatBecomesOfAChain(t *testing.T) {
	app, join := fold.BytesAppend, "test.join"
	for name, c := range map[string]struct {
		base, above       []entry
		ranges            []rangedel.Tombstone // above
		snapshots, fences []keys.SeqNum
		expires           bool
		want              []string
	}{
		"full": {
			base: []entry{set("k", 1, "v")}, above: []entry{merge("k", 2, app, "a"), merge("k", 3, join, "b")},
			want: []string{"k 3 SET vab"},
		},
		"above a delete": {
			base:  []entry{set("k", 1, "v"), {"k", keys.MakeTrailer(2, keys.KindDelete), ""}},
			above: []entry{merge("k", 3, app, "a")},
			want:  []string{"k 3 SET a"},
		},
		"nothing below": {
			base: []entry{set("j", 1, "v"), set("l", 2, "v")}, above: []entry{merge("k", 3, app, "a"), merge("k", 4, app, "b")},
			want: []string{"j 1 SET v", "k 4 SET ab", "l 2 SET v"},
		},
		"under a snapshot": {
			base: []entry{set("k", 1, "v")}, above: []entry{merge("k", 2, app, "a"), merge("k", 3, app, "b"), merge("k", 4, app, "c")},
			snapshots: []keys.SeqNum{2},
			want:      []string{"k 4 MERGE bc at 4", "k 2 SET va"},
		},
		"under a fence": {
			base: []entry{set("k", 1, "v")}, above: []entry{merge("k", 2, app, "a"), merge("k", 3, app, "b"), merge("k", 4, app, "c")},
			fences: []keys.SeqNum{2},
			want:   []string{"k 4 MERGE bc at 4", "k 2 SET va"},
		},
		"unable to combine": {
			base: []entry{set("k", 1, "v")}, above: []entry{merge("k", 2, join, "a"), merge("k", 3, join, "b")},
			snapshots: []keys.SeqNum{1},
			want:      []string{"k 3 MERGE b at 3", "k 2 MERGE a at 2", "k 1 SET v"},
		},
		"over an expiry": {
			base: []entry{set("k", 1, "v")}, above: []entry{merge("k", 2, app, "a"), merge("k", 3, app, "b")},
			snapshots: []keys.SeqNum{1}, expires: true,
			want: []string{"k 3 MERGE b at 3", "k 2 MERGE a at 2", "k 1 SET v"},
		},
		"above a range tombstone": {
			base: []entry{set("k", 1, "v")}, above: []entry{merge("k", 4, app, "a")},
			ranges:    []rangedel.Tombstone{{Lower: []byte("a"), Upper: []byte("z"), Seq: 3}},
			snapshots: []keys.SeqNum{2},
			want:      []string{"k 4 SET a", "k 1 SET v"},
		},
		"beside its fold": {
			base: []entry{set("j", 1, "v")}, above: []entry{merge("k", 3, app, "a"), set("k", 3, "va"), merge("k", 4, app, "b")},
			want: []string{"j 1 SET v", "k 4 SET vab"},
		},
		"unknown": {
			base: []entry{set("k", 1, "v")}, above: []entry{merge("k", 2, "nobody's", "a"), merge("k", 3, app, "b")},
			want: []string{"k 3 MERGE b at 3", "k 2 MERGE a at 2", "k 1 SET v"},
		},
		"expiry inherited": {
			base:  []entry{{"k", keys.MakeTrailer(1, keys.KindSetWithExpiry), string(binary.LittleEndian.AppendUint64(nil, 'x')) + "v"}},
			above: []entry{merge("k", 2, app, "a")},
			want:  []string{"k 2 SETEXP x\x00\x00\x00\x00\x00\x00\x00va"},
		},
		"expired": {
			base:  []entry{{"k", keys.MakeTrailer(1, keys.KindSetWithExpiry), string(binary.LittleEndian.AppendUint64(nil, 2)) + "v"}},
			above: []entry{merge("k", 2, app, "a")},
			want:  []string{"k 2 SET a"},
		},
		"reclaimed": {
			base:  []entry{{"k", keys.MakeTrailer(1, keys.KindExpiryMarker), string(binary.LittleEndian.AppendUint64(nil, 3))}},
			above: []entry{merge("k", 2, app, "a"), merge("k", 3, app, "b")},
			want:  []string{"k 3 SET b"},
		},
	} {
		s := newStore(t, vfs.NewMem())
		s.env.Expiry.MarkersBy, s.params.MarkersBy = 0, 0 // operands are to come
		require.NoError(t, s.write(c.base), name)
		require.NoError(t, s.compact(true), name)
		s.env.Operators, s.env.Snapshots, s.env.FoldFences = foldOps, c.snapshots, c.fences
		if c.expires {
			s.env.ExpiresWithin = func(after, upTo int64) bool { return after < 3 && upTo >= 3 }
		}
		ops := s.env.Operators
		s.env.Operators = nil // the flush writes what it is given
		if c.ranges == nil {
			c.ranges = []rangedel.Tombstone{{Lower: []byte("x"), Upper: []byte("y"), Seq: 9}} // no trivial move
		}
		require.NoError(t, s.writeWithRanges(c.above, c.ranges), name)
		s.env.Operators = ops
		require.NoError(t, s.compact(true), name)
		require.Equal(t, c.want, s.lines(), name)
	}
}

// Chains that are too long to stay are folded into what the store has below them, beside what
// snapshots need; when that cannot be read they stay.
func TestLongChainsAreFoldedIntoWhatLiesBelow(t *testing.T) {
	for _, c := range []struct {
		op        string
		snapshots []keys.SeqNum
		err       error
		want      int // entries
	}{
		{"test.join", nil, nil, 1},
		{"test.join", []keys.SeqNum{150}, nil, 2},
		{"test.join", nil, errors.New("unreadable"), 100},
		{fold.BytesAppend, nil, errors.New("not asked for"), 1},
	} {
		s := newStore(t, vfs.NewMem())
		require.NoError(t, s.write([]entry{set("k", 1, "v")}))
		s.env.Operators, s.env.Snapshots = foldOps, c.snapshots
		asked := 0
		s.env.ValueAt = func(key []byte, seq keys.SeqNum) (fold.Base, error) {
			asked++
			require.Equal(t, "k", string(key))
			require.Equal(t, keys.SeqNum(100), seq)
			return fold.Base{State: fold.Present, Value: []byte("v")}, c.err
		}
		var chain []entry
		for i := range keys.SeqNum(100) {
			chain = append(chain, merge("k", 101+i, c.op, "a"))
		}
		v := s.v
		s.v = &manifest.Version{} // what is below is out of sight
		require.NoError(t, s.write(chain))
		got := s.lines()
		require.Len(t, got, c.want, "%v", c)
		if c.err == nil {
			require.Contains(t, got[0], "k 200 SET vaaa")
			require.Equal(t, 1, asked)
		}
		s.v = v
	}
}
