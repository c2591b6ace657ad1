package compaction_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

func stamped(t int64, value string) string {
	return string(binary.LittleEndian.AppendUint64(nil, uint64(t))) + value
}

func plusOne(t int64) string { return stamped(t, "\x01\x00\x00\x00\x00\x00\x00\x00+1") }

// expiring is an entry that expires at a time.
func expiring(key string, seq keys.SeqNum, t int64) entry {
	return entry{key, keys.MakeTrailer(seq, keys.KindSetWithExpiry), stamped(t, "value of "+key)}
}

// newExpiring returns a store whose time is now, with readers at that time only.
func newExpiring(t testing.TB, now int64) *store {
	s := newStore(t, vfs.NewMem())
	s.setNow(now)
	return s
}

func (s *store) setNow(now int64) {
	s.env.Expiry.Now, s.params.ExpiredBy = now, now
	s.env.Expiry.ReadTime = func(keys.SeqNum) int64 { return now }
}

// kinds lists what is left: key, number and kind.
func (s *store) kinds() []string {
	var out []string
	for _, e := range s.all() {
		out = append(out, fmt.Sprintf("%s %v", e.key, e.t))
	}
	return out
}

// An expired entry leaves a marker with its number and expiry, where a Delete would have to
// stay, and goes without one where nothing is below.
func TestExpiredEntriesLeaveMarkersAboveOlderData(t *testing.T) {
	s := newExpiring(t, 100)
	require.NoError(t, s.write([]entry{{"a", keys.MakeTrailer(1, keys.KindSet), "older"}, {"c", keys.MakeTrailer(2, keys.KindSet), "c"}}))
	require.NoError(t, s.compact(true))
	require.NoError(t, s.write([]entry{expiring("a", 3, 100), expiring("b", 4, 101)}))
	require.Equal(t, []string{"a 3,EXPMARK", "a 1,SET", "b 4,SETEXP", "c 2,SET"}, s.kinds())
	require.Equal(t, stamped(100, ""), s.all()[0].value)
	require.NoError(t, s.compact(true))
	require.Equal(t, []string{"b 4,SETEXP", "c 2,SET"}, s.kinds())
	s.setNow(101)
	require.NoError(t, s.compact(true))
	require.Equal(t, []string{"c 2,SET"}, s.kinds())
}

// A snapshot that reads at an earlier time keeps the value, one of a later number and time
// does not.
func TestSnapshotsKeepWhatHasExpiredSince(t *testing.T) {
	s := newExpiring(t, 100)
	s.env.Snapshots = []keys.SeqNum{5, 9}
	s.env.Expiry.ReadTime = func(seq keys.SeqNum) int64 {
		switch {
		case seq <= 5:
			return 50
		case seq <= 9:
			return 70
		}
		return 100
	}
	s.params.ExpiredBy = 50
	require.NoError(t, s.write([]entry{
		expiring("a", 3, 60), expiring("b", 4, 50), expiring("c", 6, 60), expiring("d", 7, 80), expiring("e", 10, 100), expiring("f", 11, 101),
	}))
	require.NoError(t, s.compact(true))
	require.Equal(t, []string{"a 3,SETEXP", "b 4,EXPMARK", "c 6,EXPMARK", "d 7,SETEXP", "e 10,EXPMARK", "f 11,SETEXP"}, s.kinds())
	s.env.Snapshots = nil
	s.setNow(100)
	require.NoError(t, s.compact(true))
	require.Equal(t, []string{"f 11,SETEXP"}, s.kinds())
}

// The marker stays while an operand that was committed before the expiry may be above it, and
// while it may be needed to tell of the expiry.
func TestMarkersStayUnderOperandsThatWereMeantForTheEntry(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*store)
		extra   []entry
		stays   bool
	}{
		"nothing above":          {},
		"earlier operand beside": {extra: []entry{{"a", keys.MakeTrailer(9, keys.KindMerge), plusOne(99)}}, stays: true},
		"later operand beside":   {extra: []entry{{"a", keys.MakeTrailer(9, keys.KindMerge), plusOne(100)}}},
		"operand of another key": {extra: []entry{{"b", keys.MakeTrailer(9, keys.KindMerge), plusOne(99)}}},
		"earlier operand in a memtable": {stays: true, prepare: func(s *store) {
			s.env.Expiry.OldestMerge, s.params.OldestMerge = 99, 99
		}},
		"later operand in a memtable": {prepare: func(s *store) { s.env.Expiry.OldestMerge, s.params.OldestMerge = 100, 100 }},
		"not swept by time":           {stays: true, prepare: func(s *store) { s.env.Expiry.MarkersBy, s.params.MarkersBy = 99, 99 }},
		"swept by time":               {prepare: func(s *store) { s.env.Expiry.MarkersBy, s.params.MarkersBy = 100, 100 }},
		"not swept by number": {stays: true, prepare: func(s *store) {
			s.env.Expiry.MarkersUpTo, s.params.MarkersUpTo = 2, 2
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newExpiring(t, 200)
			if c.prepare != nil {
				c.prepare(s)
			}
			require.NoError(t, s.write(append([]entry{expiring("a", 3, 100)}, c.extra...)))
			require.NoError(t, s.compact(true)) // it ends, whatever it may not drop
			marker := false
			for _, k := range s.kinds() {
				marker = marker || k == "a 3,EXPMARK"
				require.NotContains(t, k, "SETEXP")
			}
			if name != "operand of another key" { // the picker looks at tables, not at keys
				require.Equal(t, c.stays, marker, "%v", s.kinds())
			}
		})
	}
}

// An operand in a table that came after the job was picked keeps the marker, too.
func TestMarkersStayUnderOperandsOfOtherTables(t *testing.T) {
	for _, when := range []int64{99, 100} {
		s := newExpiring(t, 200)
		require.NoError(t, s.write([]entry{{"a", keys.MakeTrailer(1, keys.KindSet), "older"}}))
		require.NoError(t, s.compact(true))
		require.NoError(t, s.write([]entry{expiring("a", 3, 100)}))
		p := s.params
		p.Idle, p.ElideBelow = true, keys.MaxSeqNum
		j, ok := compaction.Pick(s.v, p)
		require.True(t, ok)
		require.False(t, j.Move)
		picked := s.v
		require.NoError(t, s.write([]entry{{"a", keys.MakeTrailer(9, keys.KindMerge), plusOne(when)}}))
		s.env.Expiry.Tables, s.v = s.v, picked
		require.NoError(t, s.do(j))
		if when < 100 {
			require.Equal(t, []string{"a 3,EXPMARK"}, s.kinds())
		} else {
			require.Empty(t, s.kinds())
		}
	}
}

// A table of which enough has expired is rewritten in its place; one of nothing else goes
// unread; a store at rest rewrites for little, when the last that expires has.
func TestTablesAreRewrittenForWhatHasExpired(t *testing.T) {
	fill := func(s *store, every int) {
		var es []entry
		for i := range 300 {
			key := fmt.Sprintf("k%04d", i)
			if i%every == 0 {
				es = append(es, expiring(key, keys.SeqNum(i+1), 100+int64(i)))
			} else {
				es = append(es, entry{key, keys.MakeTrailer(keys.SeqNum(i+1), keys.KindSet), "value of " + key})
			}
		}
		require.NoError(s.t, s.write(es))
		require.NoError(s.t, s.compact(true))
	}
	left := func(s *store) (n uint64) {
		s.v.All(func(_ manifest.Level, _ manifest.RunID, t *manifest.Table) bool {
			n += t.Expires + t.Markers
			return true
		})
		return n
	}
	s := newExpiring(t, 50)
	fill(s, 2)
	require.Equal(t, uint64(150), left(s))
	next := compaction.NextExpiry(s.v, 50)
	require.Greater(t, next, int64(50))
	s.setNow(next)
	require.NoError(t, s.compact(false))
	require.Less(t, left(s), uint64(150))
	for steps := 0; left(s) > 0; steps++ {
		require.Less(t, steps, 200)
		next = compaction.NextExpiry(s.v, next)
		require.Positive(t, next)
		s.setNow(next)
		require.NoError(t, s.compact(true))
	}
	require.Zero(t, compaction.NextExpiry(s.v, next))

	s = newExpiring(t, 50)
	fill(s, 20)
	s.setNow(1000)
	require.NoError(t, s.compact(false))
	require.Positive(t, left(s), "too little for a store in use")
	require.NoError(t, s.compact(true))
	require.Zero(t, left(s))

	s = newExpiring(t, 50)
	fill(s, 1)
	s.setNow(1000)
	s.params.ElideBelow = s.elideBelow()
	j, ok := compaction.Pick(s.v, s.params)
	require.True(t, ok)
	require.True(t, j.Drop)
	require.Equal(t, compaction.ReasonExpired, j.Reason)
	require.Equal(t, keys.SeqNum(300), j.Floor)
	s.params.MarkersBy = 398
	j, ok = compaction.Pick(s.v, s.params)
	require.True(t, !ok || !j.Drop || j.Floor < 300, "somebody still has to be told of one of them")
	s.params.MarkersBy = math.MaxInt64
	s.params.ElideBelow = 10
	j, ok = compaction.Pick(s.v, s.params)
	require.True(t, !ok || !j.Drop, "a snapshot, or a horizon, needs to know")
}
