package compaction_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
)

// simulation is a tree whose tables are sets of keys in memory: flushes are placed, jobs
// are picked, run beside each other and end in any order, and every key must be read at
// its newest number all the while.
type simulation struct {
	t       *testing.T
	rnd     *rand.Rand
	v       *manifest.Version
	content map[fileid.Num][]cell
	newest  map[string]keys.SeqNum
	params  compaction.Params
	seq     keys.SeqNum
	num     fileid.Num
	run     manifest.RunID
	picked  map[compaction.Reason]int
	moves   int
	written int64
	narrow  bool // most flushes are small and meet nothing
	flushed int64
}

// cell is a version of a key.
type cell struct {
	key string
	seq keys.SeqNum
	del bool
}

const cellBytes = 10

func newSimulation(t *testing.T, seed uint64) *simulation {
	rnd := rand.New(rand.NewPCG(seed, seed))
	return &simulation{
		t: t, rnd: rnd, v: &manifest.Version{}, content: map[fileid.Num][]cell{}, newest: map[string]keys.SeqNum{},
		picked: map[compaction.Reason]int{}, narrow: seed%2 == 1,
		params: compaction.Params{
			L0Trigger: 2 + rnd.IntN(4), TableBytes: 20 * cellBytes, MaxJobBytes: int64(60+rnd.IntN(200)) * cellBytes,
			BaseBytes: 300 * cellBytes, SmallTables: 3, Fanout: int64(3 + rnd.IntN(5)),
		},
	}
}

// tables makes tables of cells in order, cut about every n.
func (s *simulation) tables(cells []cell, n int) []*manifest.Table {
	var out []*manifest.Table
	for len(cells) > 0 {
		end := min(n/2+1+s.rnd.IntN(n), len(cells))
		for end < len(cells) && cells[end].key == cells[end-1].key {
			end++
		}
		s.num++
		tab := &manifest.Table{
			Num: s.num, UID: fileid.UID{byte(s.num), byte(s.num >> 8), byte(s.num >> 16)}, Bytes: int64(end) * cellBytes,
			Smallest: []byte(cells[0].key), Largest: []byte(cells[end-1].key),
			MinSeqNum: cells[0].seq, MaxSeqNum: cells[0].seq, Entries: uint64(end),
		}
		for _, c := range cells[:end] {
			tab.MinSeqNum, tab.MaxSeqNum = min(tab.MinSeqNum, c.seq), max(tab.MaxSeqNum, c.seq)
			if c.del {
				tab.Deletes++
			}
		}
		s.content[tab.Num] = slices.Clone(cells[:end])
		out = append(out, tab)
		cells = cells[end:]
	}
	return out
}

func sortCells(cells []cell) {
	slices.SortFunc(cells, func(a, b cell) int {
		return keys.Compare([]byte(a.key), keys.MakeTrailer(a.seq, 1), []byte(b.key), keys.MakeTrailer(b.seq, 1))
	})
}

// newestOnly keeps the newest version of each key.
func newestOnly(cells []cell) []cell {
	sortCells(cells)
	return slices.CompactFunc(cells, func(a, b cell) bool { return a.key == b.key })
}

func (s *simulation) apply(e *manifest.Edit) {
	v, err := s.v.Apply(e)
	require.NoError(s.t, err)
	s.v = v
}

// flush writes a memtable of keys from a window, so that ranges differ in width.
func (s *simulation) flush() {
	var cells []cell
	width, n, from := 1+s.rnd.IntN(400), 5+s.rnd.IntN(40), s.rnd.IntN(400)
	if s.narrow && s.rnd.IntN(8) > 0 {
		width, n, from = 3, 1+s.rnd.IntN(3), s.rnd.IntN(2000)
	}
	for range n {
		s.seq++
		c := cell{key: fmt.Sprintf("%04d", from+s.rnd.IntN(width)), seq: s.seq, del: n > 3 && s.rnd.IntN(4) == 0}
		s.newest[c.key] = c.seq
		cells = append(cells, c)
	}
	cells = newestOnly(cells)
	s.flushed += int64(len(cells)) * cellBytes
	tables := s.tables(cells, 8)
	level := compaction.PlaceFlush(s.v, tables, s.params)
	s.run++
	run := compaction.RunFor(s.v, level, s.run)
	e := &manifest.Edit{}
	for _, tab := range tables {
		e.Added = append(e.Added, manifest.AddedTable{Level: level, Run: run, Table: tab})
	}
	s.apply(e)
}

// start picks a job, if there is one.
func (s *simulation) start() bool {
	s.params.ElideBelow = s.seq
	j, ok := compaction.Pick(s.v, s.params)
	if ok {
		s.picked[j.Reason]++
		s.params.Running = append(s.params.Running, j)
	}
	return ok
}

// end merges a running job and installs its result.
func (s *simulation) end() {
	i := s.rnd.IntN(len(s.params.Running))
	j := s.params.Running[i]
	s.params.Running = slices.Delete(slices.Clone(s.params.Running), i, i+1)
	if j.Move {
		s.moves++
		s.apply(j.Edit(s.v, nil, 0))
		return
	}
	var cells []cell
	for _, tab := range j.Tables() {
		cells = append(cells, s.content[tab.Num]...)
	}
	cells = newestOnly(cells)
	if j.Output == manifest.LastLevel {
		cells = slices.DeleteFunc(cells, func(c cell) bool { return c.del })
	}
	s.written += int64(len(cells)) * cellBytes
	s.apply(j.Edit(s.v, s.tables(cells, 20), 0))
}

// check reads every key.
func (s *simulation) check() {
	require.NoError(s.t, s.v.CheckInvariants())
	found := map[string]cell{}
	s.v.All(func(_ manifest.Level, _ manifest.RunID, tab *manifest.Table) bool {
		for _, c := range s.content[tab.Num] {
			if _, newer := found[c.key]; !newer {
				found[c.key] = c
			}
		}
		return true
	})
	for key, seq := range s.newest {
		c, there := found[key]
		if there && c.seq != seq || !there && !s.deleted(key, seq) {
			require.Fail(s.t, "wrong version", "key %s: %d instead of %d", key, c.seq, seq)
		}
	}
}

// deleted reports whether the version was a tombstone: no set may be gone.
func (s *simulation) deleted(key string, seq keys.SeqNum) bool {
	for _, cells := range s.content {
		i, _ := slices.BinarySearchFunc(cells, key, func(c cell, k string) int { return bytes.Compare([]byte(c.key), []byte(k)) })
		if i < len(cells) && cells[i].key == key && cells[i].seq == seq {
			return cells[i].del
		}
	}
	return false
}

func TestJobsInAnyOrderNeverShowAnOldVersion(t *testing.T) {
	reasons := map[compaction.Reason]int{}
	moves := 0
	for seed := range uint64(40) {
		s := newSimulation(t, seed)
		for range 150 {
			switch n := s.rnd.IntN(10); {
			case n < 4:
				s.flush()
			case n < 8 && len(s.params.Running) < 3:
				s.start()
			case len(s.params.Running) > 0:
				s.end()
			}
			if s.rnd.IntN(8) == 0 {
				s.check()
			}
		}
		s.check()
		s.settle()
		for r, n := range s.picked {
			reasons[r] += n
		}
		moves += s.moves
	}
	for _, r := range []compaction.Reason{compaction.ReasonLevel0, compaction.ReasonSize, compaction.ReasonGarbage, compaction.ReasonSmall, compaction.ReasonIdle} {
		require.Positive(t, reasons[r], "%s was never picked", r)
	}
	require.Positive(t, moves)
}

// settle lets the store rest: it must come to one run per level and no tombstones.
func (s *simulation) settle() {
	for len(s.params.Running) > 0 {
		s.end()
	}
	s.params.Idle = true
	for n := 0; s.start(); n++ {
		require.Less(s.t, n, 1000, "settling does not end")
		s.end()
	}
	s.check()
	require.Empty(s.t, s.v.Levels[0])
	for level := manifest.Level(1); level < manifest.NumLevels; level++ {
		require.LessOrEqual(s.t, len(s.v.Levels[level]), 1)
	}
	debt := compaction.DebtOf(s.v, s.params)
	require.Zero(s.t, debt, "a store at rest has debt")
	for i := range s.v.Levels[manifest.LastLevel] {
		for _, tab := range s.v.Levels[manifest.LastLevel][i].Tables {
			require.Zero(s.t, tab.Deletes)
		}
	}
	for range 5 {
		from := s.rnd.IntN(600)
		s.compactRange(fmt.Appendf(nil, "%04d", from), fmt.Appendf(nil, "%04d", from+1+s.rnd.IntN(100)))
	}
	s.compactRange(nil, nil)
}

// compactRange compacts a range by hand: everything in it comes to the last level.
func (s *simulation) compactRange(lower, upper []byte) {
	s.params.Idle = false
	for range 3 {
		s.flush()
	}
	for n := 0; ; n++ {
		require.Less(s.t, n, 1000, "compacting by hand does not end")
		s.params.ElideBelow = s.seq
		j, done := compaction.PickManual(s.v, lower, upper, s.params)
		if done {
			break
		}
		require.NotNil(s.t, j)
		require.Equal(s.t, compaction.ReasonManual, j.Reason)
		s.params.Running = []*compaction.Job{j}
		s.end()
	}
	s.check()
	for level := range manifest.LastLevel {
		for i := range s.v.Levels[level] {
			require.Empty(s.t, s.v.Levels[level][i].Overlapping(lower, upper, true))
		}
	}
}
