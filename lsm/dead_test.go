package lsm

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/sstable"
	"github.com/stretchr/testify/require"
)

func tableOf(lo, hi scope.ID) *manifest.Table {
	return &manifest.Table{
		Smallest: append(scope.AppendID(nil, lo), "a"...), Largest: append(scope.AppendID(nil, hi), "z"...),
	}
}

// unclean returns the ids of which a table written without a generation may hold entries.
func unclean(s *deadIDs, t *manifest.Table, clean uint64) (out []scope.ID) {
	s.in(t, clean, func(i int) { out = append(out, s.ids[i]) })
	return out
}

func TestDeadIDsByGenerations(t *testing.T) {
	var none *deadIDs
	require.Zero(t, none.len())
	require.Nil(t, none.filter())
	s := none.with([]scope.ID{9, 5}).with([]scope.ID{300, 7, 3})
	require.Equal(t, []scope.ID{3, 5, 7, 9, 300}, s.ids)
	require.Equal(t, []scope.ID{5, 7, 9}, unclean(s, tableOf(4, 200), 0))
	require.Equal(t, []scope.ID{7}, unclean(s, tableOf(4, 200), 1), "of the first generation it is free")
	require.Empty(t, unclean(s, tableOf(4, 200), 2))
	require.Empty(t, unclean(s, tableOf(10, 299), 0))
	require.Equal(t, []scope.ID{300}, unclean(s, tableOf(300, 1<<40), 0))
	exclusive := tableOf(4, 9)
	exclusive.Largest, exclusive.LargestExclusive = scope.AppendID(nil, 9), true
	require.Equal(t, []scope.ID{5, 7}, unclean(s, exclusive, 0), "it ends where 9 begins")
	require.Empty(t, unclean(s, &manifest.Table{Smallest: []byte{0xff}, Largest: []byte{0xff}}, 0), "no key of ours")

	fewer := s.without([]scope.ID{5, 300})
	require.Equal(t, []scope.ID{3, 7, 9}, fewer.ids)
	require.Equal(t, s.gen, fewer.gen)
	require.False(t, s.all(tableOf(5, 7)))
	require.True(t, s.with([]scope.ID{6}).all(tableOf(5, 7)))
	require.True(t, s.all(tableOf(9, 9)))
}

func TestTheFilterKnowsTheDeadInAnyOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var s *deadIDs
	dead := map[scope.ID]bool{}
	for range 50 {
		if id := scope.ID(3 + rnd.IntN(1000)); !dead[id] {
			dead[id] = true
			s = s.with([]scope.ID{id})
		}
	}
	filter := s.filter()
	for range 5000 {
		id := scope.ID(1 + rnd.IntN(1100))
		key := append(scope.AppendID(nil, id), fmt.Sprint(rnd.IntN(3))...)
		require.Equal(t, dead[id], filter(key), "%d", id)
	}
	require.False(t, filter([]byte{0xff}))
	require.False(t, filter(nil))
}

// What a table holds of dropped scopes is known for large ones and estimated for small ones.
func TestTablesAreWeighed(t *testing.T) {
	p := &sstable.Properties{KeyBytes: 40_000, ValueBytes: 60_000, Scopes: []sstable.ScopeUsage{
		{Prefix: scope.AppendID(nil, 5), Bytes: 50_000}, {Prefix: scope.AppendID(nil, 8), Bytes: 30_000},
	}}
	table := tableOf(3, 14) // twelve ids, ten of them small, in 20,000 bytes
	var s *deadIDs
	require.Equal(t, uint64(50_000), s.with([]scope.ID{5}).weigh(table, 0, p))
	require.Equal(t, uint64(84_000), s.with([]scope.ID{5, 6, 7, 8}).weigh(table, 0, p))
	require.Equal(t, uint64(30_000), s.with([]scope.ID{5}).with([]scope.ID{8}).weigh(table, 1, p))
	p.ScopesExact = true
	require.Zero(t, s.with([]scope.ID{6, 7}).weigh(table, 0, p), "every scope is listed")

	require.Equal(t, compaction.DeadNone, judge(0, 100_000, true))
	require.Equal(t, compaction.DeadSome, judge(1, 100_000, true))
	require.Equal(t, compaction.DeadNone, judge(1000, 100_000, false), "it waits for more")
	require.Equal(t, compaction.DeadSome, judge(2000, 100_000, false))
	require.Equal(t, compaction.DeadMany, judge(25_000, 100_000, false))
}
