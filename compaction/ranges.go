package compaction

import (
	"bytes"
	"slices"

	"github.com/loamdb/loam/internal/manifest"
)

// span is a range of user keys with an inclusive end, as tables have it: the key after
// the greatest one is not known. open says that the end itself is outside, as where a
// range tombstone ends.
type span struct {
	lower, upper []byte
	open         bool
}

func spanOf(t *manifest.Table) span {
	return span{t.Smallest, t.Largest, t.LargestExclusive}
}

// endsBefore reports whether every key of s is below key.
func (s span) endsBefore(key []byte) bool {
	c := bytes.Compare(s.upper, key)
	return c < 0 || c == 0 && s.open
}

func (s span) overlaps(o span) bool {
	return !s.endsBefore(o.lower) && !o.endsBefore(s.lower)
}

// join returns the least span that holds both.
func (s span) join(o span) span {
	if bytes.Compare(o.lower, s.lower) < 0 {
		s.lower = o.lower
	}
	if c := bytes.Compare(o.upper, s.upper); c > 0 || c == 0 && s.open {
		s.upper, s.open = o.upper, o.open
	}
	return s
}

// overlapping returns the tables of a run that overlap s.
func (s span) overlapping(r *manifest.Run) []*manifest.Table {
	return r.Overlapping(s.lower, s.upper, s.open)
}

// overlapsLevel reports whether any table of the level overlaps s.
func (s span) overlapsLevel(v *manifest.Version, level manifest.Level) bool {
	for i := range v.Levels[level] {
		if len(s.overlapping(&v.Levels[level][i])) > 0 {
			return true
		}
	}
	return false
}

// group is a set of tables that overlaps nothing outside of it among the tables it was
// made from.
type group struct {
	span   span
	tables []placed
}

// placed is a table with the run it is in; rank numbers the runs, newest first.
type placed struct {
	*manifest.Table
	rank int
}

// groups splits the tables of runs into the least groups that overlap no other.
func groups(runs []*manifest.Run) []group {
	var all []placed
	for rank, r := range runs {
		for _, t := range r.Tables {
			all = append(all, placed{t, rank})
		}
	}
	slices.SortFunc(all, func(a, b placed) int { return bytes.Compare(a.Smallest, b.Smallest) })
	var out []group
	for _, t := range all {
		s := spanOf(t.Table)
		if n := len(out); n > 0 && out[n-1].span.overlaps(s) {
			out[n-1].span = out[n-1].span.join(s)
			out[n-1].tables = append(out[n-1].tables, t)
		} else {
			out = append(out, group{span: s, tables: []placed{t}})
		}
	}
	return out
}

// bytesOf returns the total length of tables.
func bytesOf(tables []*manifest.Table) int64 {
	var n int64
	for _, t := range tables {
		n += t.Bytes
	}
	return n
}
