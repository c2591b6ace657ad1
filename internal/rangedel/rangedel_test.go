package rangedel_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/rangedel"
	"github.com/stretchr/testify/require"
)

// plain is the oracle: tombstones in a list.
type plain []rangedel.Tombstone

func (p plain) newest(key string, seq keys.SeqNum) keys.SeqNum {
	var n keys.SeqNum
	for _, t := range p {
		if t.Seq <= seq && string(t.Lower) <= key && key < string(t.Upper) {
			n = max(n, t.Seq)
		}
	}
	return n
}

func key(n int) string { return fmt.Sprintf("%03d", n) }

func requireInvariants(t *testing.T, spans []rangedel.Span) {
	t.Helper()
	for i, s := range spans {
		require.Less(t, string(s.Lower), string(s.Upper), "R1")
		require.NotEmpty(t, s.Seqs, "R1")
		for j := 1; j < len(s.Seqs); j++ {
			require.Greater(t, s.Seqs[j-1], s.Seqs[j], "R1")
		}
		if i > 0 {
			require.LessOrEqual(t, string(spans[i-1].Upper), string(s.Lower), "R1")
			if string(spans[i-1].Upper) == string(s.Lower) {
				require.NotEqual(t, spans[i-1].Seqs, s.Seqs, "R2")
			}
		}
	}
}

// Sets that grow tombstone by tombstone, while snapshots come and go, tell every reader
// that there is the same as a list of all tombstones; so does Fragment over them at once.
func TestSetsAnswerLikeAListOfTombstones(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var all plain
		var set *rangedel.Set
		var snapshots []keys.SeqNum
		width := 1 + rnd.IntN(400)
		for seq := keys.SeqNum(1); seq < 300; seq++ {
			switch {
			case rnd.IntN(10) == 0:
				snapshots = append(snapshots, seq)
				continue
			case len(snapshots) > 0 && rnd.IntN(10) == 0:
				snapshots = slices.Delete(snapshots, 0, 1)
			}
			lo := rnd.IntN(400)
			ts := rangedel.Tombstone{Lower: []byte(key(lo)), Upper: []byte(key(lo + 1 + rnd.IntN(width))), Seq: seq}
			all = append(all, ts)
			set = set.With(ts.Lower, ts.Upper, seq, rangedel.Readers{Snapshots: snapshots, Visible: seq - 1})
			readers := append(slices.Clone(snapshots), seq-1, seq, keys.MaxSeqNum)
			require.LessOrEqual(t, set.ExactFrom(), seq-1)
			require.True(t, seq%16 > 0 || set.InShape())
			for range 20 {
				k, at := key(rnd.IntN(820)), readers[rnd.IntN(len(readers))]
				want := all.newest(k, at)
				require.Equal(t, want, set.Newest([]byte(k), at), "seed %d, %s at %d", seed, k, at)
				requireWindow(t, all, set, k, at, want)
			}
		}
		spans := set.Spans()
		requireInvariants(t, spans)
		pairs := 0
		for _, s := range spans {
			pairs += len(s.Seqs)
		}
		require.Equal(t, pairs, set.Pairs())

		fragments := rangedel.Fragment(all, rangedel.Latest(snapshots))
		requireInvariants(t, fragments)
		whole := rangedel.Of(fragments)
		require.True(t, whole.InShape())
		for range 200 {
			k := key(rnd.IntN(820))
			for _, at := range append(slices.Clone(snapshots), keys.MaxSeqNum) {
				require.Equal(t, all.newest(k, at), whole.Newest([]byte(k), at))
			}
		}
	}
}

// requireWindow checks that At's answer holds between its bounds and no further key of the
// test contradicts it.
func requireWindow(t *testing.T, all plain, set *rangedel.Set, k string, at, want keys.SeqNum) {
	t.Helper()
	newest, lower, upper := set.At([]byte(k), at)
	require.Equal(t, want, newest)
	for n := 0; n < 820; n += 31 {
		other := key(n)
		if (lower == nil || other >= string(lower)) && (upper == nil || other < string(upper)) {
			require.Equal(t, want, all.newest(other, at), "%s in the window of %s", other, k)
		}
	}
}

// Trimming a queue again and again, each time a little further, keeps one span: a store
// that did it 10,000 times would else hold 50 million numbers.
func TestTrimmingAgainAndAgainStaysSmall(t *testing.T) {
	var set *rangedel.Set
	for seq := keys.SeqNum(1); seq <= 10_000; seq++ {
		set = set.With([]byte("a"), fmt.Appendf(nil, "b%08d", seq), seq, rangedel.Readers{Visible: seq - 1})
	}
	require.LessOrEqual(t, set.Pairs(), 4)
}

// One more tombstone copies a few spans however many there are: what it allocates grows with
// the logarithm. A list that each copies anew, of whatever, would take four times as much here.
func TestOneMoreTombstoneCopiesAFewSpans(t *testing.T) {
	bytesEach := func(n int) uint64 {
		var bounds [][]byte
		for i := range 2 * n {
			bounds = append(bounds, fmt.Appendf(nil, "k%08d", i))
		}
		order := rand.New(rand.NewPCG(1, 2)).Perm(n)
		var before, after runtime.MemStats
		var set *rangedel.Set
		runtime.ReadMemStats(&before)
		for i, k := range order {
			set = set.With(bounds[2*k], bounds[2*k+1], keys.SeqNum(i+1), rangedel.Readers{Visible: keys.SeqNum(i)})
		}
		runtime.ReadMemStats(&after)
		require.Equal(t, n, set.Pairs())
		return (after.TotalAlloc - before.TotalAlloc) / uint64(n)
	}
	few, many := bytesEach(2<<10), bytesEach(32<<10)
	t.Logf("%d and %d bytes", few, many)
	require.Less(t, many, 2*few)
}

// Wide tombstones take what they cover out of the tree, which stays in shape, and small.
func TestATombstoneOverManySpansLeavesOne(t *testing.T) {
	var set *rangedel.Set
	seq := keys.SeqNum(0)
	add := func(lower, upper int) {
		seq++
		set = set.With(fmt.Appendf(nil, "%06d", lower), fmt.Appendf(nil, "%06d", upper), seq, rangedel.Latest(nil))
	}
	for round := range 3 {
		for i := range 1000 {
			add(10*i, 10*i+5)
		}
		add(10*round+7, 9_000)
		require.True(t, set.InShape())
		require.LessOrEqual(t, set.Pairs(), 102+3*round)
		require.Equal(t, seq, set.Newest([]byte("002001"), keys.MaxSeqNum))
	}
}

// Nobody reads inside a batch: of what it covers twice only the newer number stays.
func TestABatchKeepsOneNumberPerSpan(t *testing.T) {
	var set *rangedel.Set
	for i := range 100 {
		r := rangedel.Readers{Visible: 10, Unread: 11}
		set = set.With([]byte(key(i)), []byte(key(300-i)), keys.SeqNum(11+i), r)
	}
	require.LessOrEqual(t, set.Pairs(), 200)
	require.Equal(t, keys.SeqNum(110), set.Newest([]byte(key(150)), keys.MaxSeqNum))
	require.Equal(t, keys.SeqNum(11), set.Newest([]byte(key(0)), keys.MaxSeqNum))
}

func TestCoversNeedsEveryKey(t *testing.T) {
	set := rangedel.Of(rangedel.Fragment([]rangedel.Tombstone{
		{Lower: []byte("b"), Upper: []byte("d"), Seq: 5},
		{Lower: []byte("d"), Upper: []byte("f"), Seq: 7},
		{Lower: []byte("g"), Upper: []byte("h"), Seq: 9},
	}, rangedel.Readers{}))
	for _, c := range []struct {
		lower, upper string
		exclusive    bool
		after, seq   keys.SeqNum
		want         bool
	}{
		{"b", "e", false, 4, 9, true},
		{"b", "f", true, 4, 9, true},
		{"b", "f", false, 4, 9, false},
		{"b", "e", false, 5, 9, false},
		{"d", "e", false, 5, 9, true},
		{"d", "e", false, 5, 6, false},
		{"a", "c", false, 1, 9, false},
		{"e", "g", false, 1, 9, false},
	} {
		require.Equal(t, c.want, set.Covers([]byte(c.lower), []byte(c.upper), c.exclusive, c.after, c.seq), "%+v", c)
	}
	require.False(t, (*rangedel.Set)(nil).Covers([]byte("a"), []byte("b"), false, 0, 9))
}

func TestWithinFindsTombstonesOfAWindow(t *testing.T) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		var all plain
		for seq := keys.SeqNum(1); seq < 60; seq++ {
			lo := rnd.IntN(800)
			all = append(all, rangedel.Tombstone{Lower: []byte(key(lo)), Upper: []byte(key(lo + 1 + rnd.IntN(20))), Seq: seq})
		}
		set := rangedel.Of(rangedel.Fragment(all, rangedel.Readers{}))
		for range 2000 {
			lo := rnd.IntN(850)
			lower, upper := []byte(key(lo)), []byte(key(lo+1+rnd.IntN(5)))
			after := keys.SeqNum(rnd.IntN(60))
			upTo := after + keys.SeqNum(rnd.IntN(20))
			want := false
			for _, ts := range all {
				want = want || ts.Seq > after && ts.Seq <= upTo && string(ts.Lower) < string(upper) && string(lower) < string(ts.Upper)
			}
			require.Equal(t, want, set.Within(lower, upper, after, upTo), "%s-%s (%d, %d]", lower, upper, after, upTo)
		}
	}
	require.False(t, (*rangedel.Set)(nil).Within(nil, []byte("z"), 0, 9))
}

func BenchmarkNewest(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var set *rangedel.Set
			for i := range n {
				seq := keys.SeqNum(i + 1)
				set = set.With(fmt.Appendf(nil, "k%08d", i*10), fmt.Appendf(nil, "k%08d", i*10+5), seq, rangedel.Readers{Visible: seq - 1})
			}
			k := fmt.Appendf(nil, "k%08d", n*5)
			for b.Loop() {
				set.Newest(k, keys.MaxSeqNum)
			}
		})
	}
}

// One more tombstone in a set of many, of ranges that touch.
func BenchmarkWith(b *testing.B) {
	const n = 5000
	perm := rand.New(rand.NewPCG(1, 2)).Perm(n)
	bound := func(i int) []byte { return fmt.Appendf(nil, "k%08d", i) }
	var set *rangedel.Set
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%n == 0 {
			set = nil
		}
		k := perm[i%n]
		seq := keys.SeqNum(i + 1)
		set = set.With(bound(k), bound(k+1), seq, rangedel.Readers{Visible: seq - 1})
		i++
	}
}
