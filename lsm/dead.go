package lsm

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/sstable"
)

type tableNum = fileid.Num

// deadIDs are the ids whose entries merges leave out: dead, and seen alive by no snapshot.
// Immutable; nil has none.
//
// Each time ids become ripe the generation rises. A table remembers the generation without
// whose ids it was written: of ids up to it the table holds nothing.
type deadIDs struct {
	ids  []scope.ID // ascending
	gens []uint64   // the generation in which each became ripe
	gen  uint64     // the greatest one ever
}

func (s *deadIDs) len() int {
	if s == nil {
		return 0
	}
	return len(s.ids)
}

// with returns the set with ids, which it lacks, in a new generation.
func (s *deadIDs) with(ids []scope.ID) *deadIDs {
	slices.Sort(ids)
	if s == nil {
		s = &deadIDs{}
	}
	out := &deadIDs{gen: s.gen + 1}
	i := 0
	for _, id := range ids {
		for ; i < len(s.ids) && s.ids[i] < id; i++ {
			out.ids, out.gens = append(out.ids, s.ids[i]), append(out.gens, s.gens[i])
		}
		out.ids, out.gens = append(out.ids, id), append(out.gens, out.gen)
	}
	out.ids, out.gens = append(out.ids, s.ids[i:]...), append(out.gens, s.gens[i:]...)
	return out
}

// without returns the set without ids, which are ascending.
func (s *deadIDs) without(ids []scope.ID) *deadIDs {
	out := &deadIDs{gen: s.gen}
	for i, id := range s.ids {
		if _, drop := slices.BinarySearch(ids, id); !drop {
			out.ids, out.gens = append(out.ids, id), append(out.gens, s.gens[i])
		}
	}
	return out
}

// within returns the range of indices of the ids whose keys a table may hold, and how many
// ids, dead or not, there can be between its bounds.
func (s *deadIDs) within(t *manifest.Table) (from, to int, span uint64) {
	lo, _, err := scope.DecodeID(t.Smallest)
	hi, n, err2 := scope.DecodeID(t.Largest)
	if err != nil || err2 != nil {
		return 0, 0, 0 // no key of ours: it has no ids that could be dead
	}
	if t.LargestExclusive && n == len(t.Largest) && hi > lo {
		hi-- // it ends where the keys of hi begin
	}
	from, _ = slices.BinarySearch(s.ids, lo)
	to, _ = slices.BinarySearch(s.ids, hi+1)
	return from, to, uint64(hi-lo) + 1
}

// in calls f with the index of each id of which a table may hold entries, given the
// generation without which it was written.
func (s *deadIDs) in(t *manifest.Table, clean uint64, f func(int)) {
	if s == nil || clean >= s.gen {
		return
	}
	from, to, _ := s.within(t)
	for i := from; i < to; i++ {
		if s.gens[i] > clean {
			f(i)
		}
	}
}

// all reports whether every id between a table's bounds is dead.
func (s *deadIDs) all(t *manifest.Table) bool {
	from, to, span := s.within(t)
	return span > 0 && uint64(to-from) == span
}

// weigh estimates how many bytes of keys and values in a table are of the ids of which it
// may hold entries. Scopes larger than a block stand in the table's properties; the others
// are taken to be of one size.
func (s *deadIDs) weigh(t *manifest.Table, clean uint64, p *sstable.Properties) uint64 {
	dead, unlisted := uint64(0), uint64(0)
	s.in(t, clean, func(i int) {
		prefix := scope.AppendID(nil, s.ids[i])
		at, ok := slices.BinarySearchFunc(p.Scopes, prefix, compareUsage)
		if ok {
			dead += p.Scopes[at].Bytes
		} else {
			unlisted++
		}
	})
	if unlisted == 0 || p.ScopesExact {
		return dead
	}
	rest := p.KeyBytes + p.ValueBytes
	for i := range p.Scopes {
		rest -= min(p.Scopes[i].Bytes, rest)
	}
	_, _, span := s.within(t)
	small := max(span-min(uint64(len(p.Scopes)), span), 1)
	return dead + max(uint64(float64(rest)*float64(unlisted)/float64(small)), 1)
}

func compareUsage(u sstable.ScopeUsage, prefix []byte) int { return bytes.Compare(u.Prefix, prefix) }

// Parts of a table, in bytes, that are dead: from manyDead on it is rewritten soon, from
// someDead on when the store is at rest. What is less waits for a merge, or for more: a
// store that drops a small scope now and then must not rewrite a full table each time.
const (
	manyDead = 4
	someDead = 64
)

// judge returns what a table that holds so many dead bytes is worth. small says that a
// rewrite costs nothing to speak of.
func judge(dead, total uint64, small bool) compaction.Dead {
	switch {
	case dead == 0:
		return compaction.DeadNone
	case dead*manyDead >= total:
		return compaction.DeadMany
	case dead*someDead >= total || small:
		return compaction.DeadSome
	}
	return compaction.DeadNone
}

// filter returns a function that reports whether a key is of a dead id, for keys that
// mostly come in order, or nil if none is.
func (s *deadIDs) filter() func(key []byte) bool {
	if s.len() == 0 {
		return nil
	}
	var prefix []byte // of the last key; no id's prefix begins another's
	dead := false
	return func(key []byte) bool {
		if len(prefix) > 0 && bytes.HasPrefix(key, prefix) {
			return dead
		}
		id, n, err := scope.DecodeID(key)
		if err != nil {
			return false
		}
		prefix = append(prefix[:0], key[:n]...)
		_, dead = slices.BinarySearch(s.ids, id)
		return dead
	}
}
