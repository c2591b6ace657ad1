package compaction_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

// lettered is a store whose scopes are the first letters of its keys.
type lettered struct {
	*store
	dead  string                // letters of dropped scopes
	clean map[fileid.Num]string // tables written without the letters
}

func newLettered(t *testing.T) *lettered {
	s := &lettered{store: newStore(t, vfs.NewMem()), clean: map[fileid.Num]string{}}
	s.params.Dead = s.deadIn
	return s
}

func (s *lettered) deadIn(t *manifest.Table) compaction.Dead {
	lo, hi := t.Smallest[0], t.Largest[0]
	found, all := 0, true
	for c := lo; c <= hi; c++ {
		is := strings.IndexByte(s.dead, c) >= 0
		all = all && is
		if is && strings.IndexByte(s.clean[t.Num], c) < 0 {
			found++
		}
	}
	switch {
	case found == 0:
		return compaction.DeadNone
	case all:
		return compaction.DeadAll
	case found*4 >= int(hi-lo)+1:
		return compaction.DeadMany
	}
	return compaction.DeadSome
}

// drop makes letters dead.
func (s *lettered) drop(letters string) {
	s.dead += letters
	s.env.Dead = func(key []byte) bool { return strings.IndexByte(s.dead, key[0]) >= 0 }
}

// settle runs every job that there is and returns how many dropped and how many rewrote
// tables for the sake of what is dead.
func (s *lettered) settle(idle bool) (drops, rewrites int) {
	s.params.Idle = idle
	for range 1000 {
		s.params.ElideBelow = s.elideBelow()
		j, ok := compaction.Pick(s.v, s.params)
		if !ok {
			return drops, rewrites
		}
		switch {
		case j.Drop:
			drops++
			s.install(j.Edit(s.v, nil, 0))
			continue
		case j.Reason == compaction.ReasonDead:
			rewrites++
		}
		before := s.num
		require.NoError(s.t, s.do(j))
		for n := before + 1; n <= s.num; n++ {
			s.clean[n] = s.dead
		}
	}
	require.Fail(s.t, "compaction does not end")
	return 0, 0
}

func letteredEntries(rnd *rand.Rand, seq *keys.SeqNum, letters string, n int) []entry {
	var out []entry
	for range n {
		*seq++
		kind, value := keys.KindSet, "some value of some length"
		if rnd.IntN(5) == 0 {
			kind, value = keys.KindDelete, ""
		}
		out = append(out, entry{fmt.Sprintf("%c%04d", letters[rnd.IntN(len(letters))], rnd.IntN(500)), keys.MakeTrailer(*seq, kind), value})
	}
	return out
}

// Whatever is dropped goes, all of it, and nothing else does: the living are as they are
// without any drop.
func TestOnlyTheDeadAreLeftOut(t *testing.T) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		s := newLettered(t)
		var all []entry
		seq := keys.SeqNum(0)
		for round := range 12 {
			entries := letteredEntries(rnd, &seq, "abcdefgh", 200)
			entries = slices.DeleteFunc(entries, func(e entry) bool { return strings.IndexByte(s.dead, e.key[0]) >= 0 })
			all = append(all, entries...)
			require.NoError(t, s.write(entries))
			if round%4 == 3 {
				s.drop(string("hcaf"[round/4]))
			}
			s.settle(rnd.IntN(3) == 0)
		}
		s.settle(true)
		for _, e := range s.all() {
			require.NotContains(t, s.dead, e.key[:1], "%s is dead", e.key)
		}
		all = slices.DeleteFunc(all, func(e entry) bool { return strings.IndexByte(s.dead, e.key[0]) >= 0 })
		slices.SortFunc(all, func(a, b entry) int { return keys.Compare([]byte(a.key), a.t, []byte(b.key), b.t) })
		require.Equal(t, visible(all, seq), visible(s.all(), seq))
	}
}

// A table of nothing but dropped scopes goes without being read, damaged or not, unless a
// job has it already.
func TestTablesOfNothingAliveAreDroppedUnread(t *testing.T) {
	s := newLettered(t)
	rnd, seq := rand.New(rand.NewPCG(1, 9)), keys.SeqNum(0)
	for _, letters := range []string{"a", "b", "c"} {
		require.NoError(t, s.write(letteredEntries(rnd, &seq, letters, 600)))
	}
	s.settle(true)
	before := s.v.NumTables()
	s.drop("b")
	s.params.Avoid = func(fileid.Num) bool { return true }
	s.env.Open = nil
	drops, rewrites := s.settle(false)
	require.Equal(t, 1, drops, "all in one edit")
	require.LessOrEqual(t, rewrites, 0, "what cannot be read is not")
	require.Less(t, s.v.NumTables(), before)

	s.drop("ac")
	j, ok := compaction.Pick(s.v, s.params)
	require.True(t, ok)
	require.True(t, j.Drop)
	require.Equal(t, "dead", j.Reason.String())
	s.params.Running = []*compaction.Job{j}
	_, ok = compaction.Pick(s.v, s.params)
	require.False(t, ok, "they are taken")
}

// A little that is dead waits until the store is at rest, much does not; either is looked
// for once.
func TestTablesWithSomethingDeadAreRewrittenOnce(t *testing.T) {
	for letters, urgent := range map[string]bool{"b": false, "bcd": true} {
		s := newLettered(t)
		s.params.TableBytes = 1 << 20
		rnd, seq := rand.New(rand.NewPCG(2, 9)), keys.SeqNum(0)
		require.NoError(t, s.write(letteredEntries(rnd, &seq, "abcdefgh", 600)))
		s.settle(true)
		s.drop(letters)
		_, rewrites := s.settle(false)
		require.Equal(t, urgent, rewrites == 1, "%s: %d", letters, rewrites)
		_, more := s.settle(true)
		require.Equal(t, 1, rewrites+more)
		for _, e := range s.all() {
			require.NotContains(t, letters, e.key[:1])
		}
	}
}
