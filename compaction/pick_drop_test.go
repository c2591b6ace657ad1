package compaction_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/rangedel"
)

// Range tombstones of dropped scopes are left out with the points, where nothing else would
// let them go, by flushes and by merges; those of the living stay, and hide what they hid.
// All that was read is accounted for.
func TestRangeTombstonesOfTheDeadAreLeftOut(t *testing.T) {
	for _, dropFirst := range []bool{true, false} {
		s := newLettered(t)
		s.params.TableBytes = 1 << 20
		rnd, seq := rand.New(rand.NewPCG(3, 9)), keys.SeqNum(0)
		require.NoError(t, s.write(letteredEntries(rnd, &seq, "abcd", 600)))
		s.settle(true)
		s.env.Snapshots = []keys.SeqNum{seq} // keeps everything, and with it the ranges
		if dropFirst {
			s.drop("b")
		}
		var ranges []rangedel.Tombstone
		for _, letter := range "bc" {
			seq++
			at := string(letter)
			ranges = append(ranges, rangedel.Tombstone{Lower: []byte(at + "0100"), Upper: []byte(at + "0300"), Seq: seq})
			seq++
			ranges = append(ranges, rangedel.Tombstone{Lower: []byte(at + "0200"), Upper: []byte{byte(letter + 1)}, Seq: seq})
		}
		points := letteredEntries(rnd, &seq, "abcd", 200)
		require.NoError(t, s.writeWithRanges(points, ranges))
		if !dropFirst {
			require.NotEmpty(t, s.letters('b'))
			s.drop("b")
		}
		s.settle(true)
		require.Empty(t, s.letters('b'))
		require.NotEmpty(t, s.letters('c'))
		now := s.contents()
		for _, p := range now.points {
			require.NotEqual(t, byte('b'), p.key[0])
		}
		hidden := 0
		for _, p := range now.points {
			if _, ok := now.at(p.key, keys.MaxSeqNum); p.key[0] == 'c' && !ok {
				hidden++
			}
		}
		require.Positive(t, hidden, "the snapshot keeps what the living's ranges hide")
	}
}

// letters returns the range tombstones in tables that begin with a letter.
func (s *lettered) letters(letter byte) (out []rangedel.Tombstone) {
	for _, r := range s.contents().ranges {
		if r.Lower[0] == letter {
			out = append(out, r)
		}
	}
	return out
}

// Covered tables and dead ones go by one kind of job, several by one edit, and by either
// reason a table that a job has is left to it.
func TestCoveredAndDeadTablesAreDroppedByOneMechanism(t *testing.T) {
	table := func(s *lettered, i int) *manifest.Table { return s.v.Levels[manifest.LastLevel][0].Tables[i] }
	s := newLettered(t)
	rnd, seq := rand.New(rand.NewPCG(4, 9)), keys.SeqNum(0)
	for _, letter := range []string{"a", "b", "c", "d"} {
		require.NoError(t, s.write(letteredEntries(rnd, &seq, letter, 600)))
		s.settle(true)
	}
	n := s.v.NumTables()
	first, last := table(s, 0), table(s, n-1)
	s.params.Covered = func(tab *manifest.Table) bool { return tab == first || tab == last }
	s.drop("b")
	j, ok := compaction.Pick(s.v, s.params)
	require.True(t, ok)
	require.True(t, j.Drop)
	require.Equal(t, "covered", j.Reason.String())
	require.Equal(t, []*manifest.Table{first, last}, j.Tables())

	s.params.Running = []*compaction.Job{j}
	k, ok := compaction.Pick(s.v, s.params)
	require.True(t, ok)
	require.True(t, k.Drop)
	require.Equal(t, "dead", k.Reason.String())
	s.params.Running = nil
	s.install(j.Edit(s.v, nil, 0))
	s.install(k.Edit(s.v, nil, 0))
	require.Equal(t, n-2-len(k.Tables()), s.v.NumTables())
}
